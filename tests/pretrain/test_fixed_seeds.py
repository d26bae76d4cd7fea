"""Sources of randomness with a seed of their own: what they move, and what they leave alone."""

from unittest import mock

import parts
import pytest
import torch
from tiny import EXPERIMENT

from kbench.corpus.manifest import Manifest
from kbench.experiment import load
from kbench.pretrain import loop
from kbench.pretrain.processes import Processes
from kbench.pretrain.trainer import Trainer

SOURCES = ("initialisation", "order", "steps", "corpus")
PAIRS = Manifest(corpus="world", pairs=parts.BATCH * parts.STEPS, shards=[])


def trained(seed, **fixed):
    """Return a trainer of random features at a seed, but for the sources that are fixed."""
    config = parts.trainer("wpse-gaussian", Processes()).config
    training = config.training.model_copy(update={"resample": True})
    config = config.model_copy(update={"seed": seed, "fixed_seeds": fixed, "training": training})
    return Trainer(config, PAIRS, "cpu", Processes())


def drawn(trainer):
    """Return what each source draws: first weights, the seed of the order, a step's features."""
    weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    images, tokens = parts.batches(Processes())[0]
    seen = []
    original = trainer.model.draw
    trainer.model.draw = lambda generator: seen.append(original(generator)) or seen[-1]
    trainer.step(images, tokens)
    with mock.patch.object(loop.stream, "PairStream") as stream:
        loop._pairs(trainer.config, PAIRS, None, trainer)
    share = stream.call_args.args[-1]
    order, corpus = torch.tensor(share.seed), torch.tensor(share.resampled)
    return {
        "initialisation": weights,
        "order": order,
        "steps": seen[0].frequencies,
        "corpus": corpus,
    }


@pytest.mark.parametrize("fixed", [*SOURCES, None])
def test_a_fixed_source_draws_the_same_at_every_seed_and_the_others_do_not(fixed):
    chosen = {fixed: 7} if fixed else {}
    first, second = (drawn(trained(seed, **chosen)) for seed in (0, 1))
    same = {source for source in SOURCES if torch.equal(first[source], second[source])}
    assert same == ({fixed} if fixed else set())


def test_a_source_at_the_runs_own_seed_changes_no_number_and_another_does():
    own, alone = drawn(trained(3, steps=3)), drawn(trained(3))
    assert all(torch.equal(own[source], alone[source]) for source in SOURCES)


def resolved(tmp_path, chosen):
    path = tmp_path / "fixed.yaml"
    variants = "variants: [cosine, {similarity: wpse-gaussian, set: {features: 32}}]"
    assert variants in EXPERIMENT
    path.write_text(EXPERIMENT.replace(variants, f"variants: [{{similarity: cosine{chosen}}}]"))
    return load.resolve(load.load(str(path)))


def test_runs_that_fix_nothing_keep_their_names(tmp_path):
    [plain, *_] = resolved(tmp_path, "")
    [fixed, *_] = resolved(tmp_path, ", fixed_seeds: {order: 1}")
    assert plain.fixed_seeds == {} and fixed.fixed_seeds == {"order": 1}
    assert plain.hash != fixed.hash
    assert plain.hash == plain.model_copy(update={"fixed_seeds": {}}).hash


def test_a_corpus_that_is_not_resampled_draws_nothing():
    trainer = trained(0)
    assert loop_share(trainer, resample=False).resampled is None
    assert loop_share(trainer, resample=True).resampled == 0


def loop_share(trainer, resample):
    training = trainer.config.training.model_copy(update={"resample": resample})
    config = trainer.config.model_copy(update={"training": training})
    with mock.patch.object(loop.stream, "PairStream") as stream:
        loop._pairs(config, PAIRS, None, trainer)
    return stream.call_args.args[-1]


def test_runs_that_do_not_resample_keep_their_names(tmp_path):
    [plain, *_] = resolved(tmp_path, "")
    training = plain.training.model_copy(update={"resample": True})
    assert plain.model_copy(update={"training": training}).hash != plain.hash
    assert "resample" in plain.training.model_dump() and not plain.training.resample


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        ("corpus: 1", ("corpus", "training.resample")),  # of which nothing is drawn
        ("ordr: 1", ("fixed_seeds", "initialisation")),
    ],
)
def test_a_source_that_is_not_there_is_refused(kbench, refused, tmp_path, fixed, words):
    path = tmp_path / "fixed.yaml"
    variants = "variants: [cosine, {similarity: wpse-gaussian, set: {features: 32}}]"
    chosen = f"variants: [{{similarity: cosine, fixed_seeds: {{{fixed}}}}}]"
    path.write_text(EXPERIMENT.replace(variants, chosen))
    refused(kbench("check", path), *words)
