"""The full table of similarities and objectives: each cell is refused with its reason before
anything is computed, or trains.
"""

import itertools

import parts
import pytest
import torch
from tiny import EXPERIMENT

from kbench import objective, similarity
from kbench.experiment import load
from kbench.pretrain.processes import Processes

CELLS = list(itertools.product(similarity.names(), objective.names()))


def refusal(variant, criterion):
    return objective.get(criterion).refuse(similarity.get(variant))


@pytest.mark.parametrize(("variant", "criterion"), CELLS)
def test_check_says_whether_a_combination_makes_sense(
    kbench, refused, tmp_path, variant, criterion
):
    path = tmp_path / "cell.yaml"
    chosen = f"variants: [{{similarity: {variant}, objective: {criterion}}}]"
    variants = "variants: [cosine, {similarity: wpse-gaussian, set: {features: 32}}]"
    path.write_text(EXPERIMENT.replace(variants, chosen))
    reason = refusal(variant, criterion)
    if reason is None:
        [run] = load.resolve(load.load(str(path)))
        assert (run.similarity, run.objective) == (variant, criterion)
    else:
        refused(kbench("check", path), reason, variant, criterion)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "criterion"), [c for c in CELLS if refusal(*c) is None])
def test_a_combination_that_is_not_refused_takes_steps(monkeypatch, variant, criterion):
    monkeypatch.setitem(parts.CASES, "cell", (variant, criterion, parts.PLAIN, {}))
    trainer = parts.trainer("cell", Processes())
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    for images, tokens in parts.batches(Processes())[:2]:
        measured = trainer.step(images, tokens)
        assert all(bool(value.isfinite()) for value in measured.values())
    moved = [n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])]
    assert any(name.startswith("towers.visual") for name in moved)
    assert any(name.startswith("towers.text") for name in moved)
