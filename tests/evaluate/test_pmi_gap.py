"""The gap to PMI: zero for PMI itself whatever the objective, and defined for every variant and
objective.
"""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from score_table import of_table

from kbench import files, objective, similarity, tasks
from kbench.evaluate import store
from kbench.evaluate.run import TrainedRun
from kbench.records.documents import ModelCard
from kbench.tasks import pmi_gap
from kbench.world import World

BATCH = 128

# Logits that are best for the objective, from PMI: the inverse of its to_pmi, from the objective's
# own optimum.
OPTIMAL = {
    "infonce": lambda pmi, trained: pmi + 2.5,
    "sigmoid": lambda pmi, trained: pmi - math.log(BATCH - 1) - trained.bias.item(),
    "spectral": lambda pmi, trained: pmi.exp(),
    "minc": lambda pmi, trained: pmi.exp(),
    "cyclip": lambda pmi, trained: pmi + 2.5,
    "dhel": lambda pmi, trained: pmi + 2.5,
    "kcl": lambda pmi, trained: pmi + 2.5,
    "entailment": lambda pmi, trained: pmi + 2.5,
    "sinkhorn": lambda pmi, trained: pmi + 2.5,
    "amorlip": lambda pmi, trained: pmi + trained.constant,
    "kullback-leibler": lambda pmi, trained: pmi + 1,
    "jensen-shannon": lambda pmi, trained: pmi,
    "hellinger": lambda pmi, trained: pmi,
    "likelihood": lambda pmi, trained: pmi,
}
every_objective = pytest.mark.parametrize("name", objective.names())


@pytest.fixture(scope="module")
def world():
    return World()


def scored(folder, world, trained, logits):
    """Score a run whose logits are a given table (scenes, captions), for an objective."""
    run, features = of_table(folder, world, trained, logits, BATCH)
    with torch.inference_mode():
        return tasks.get("pmi_gap").score(run, features, None, device="cpu")


def values(outcome):
    return {name: outcome.average(name).value for name in outcome.values}


@every_objective
def test_exact_pmi_has_no_gap(tmp_path, world, name):
    trained = objective.create(name)
    outcome = scored(tmp_path, world, trained, OPTIMAL[name](torch.from_numpy(world.pmi), trained))
    found = values(outcome)
    assert found["excess_loss"] == pytest.approx(0, abs=1e-6) and found["rmse"] == pytest.approx(
        0, abs=1e-6
    )
    assert found["pearson"] == pytest.approx(1) and found["spearman"] == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(outcome.arrays["logits"], outcome.arrays["pmi"], atol=1e-6)


@every_objective
def test_only_what_the_objective_cannot_see_is_forgiven(tmp_path, world, name):
    trained = objective.create(name)
    outcome = scored(
        tmp_path, world, trained, OPTIMAL[name](torch.from_numpy(world.pmi) + 0.7, trained)
    )
    assert values(outcome)["rmse"] == pytest.approx(0 if trained.blind_to_shift else 0.7, abs=1e-6)
    assert outcome.settings["constant_removed"] == trained.blind_to_shift


@every_objective
def test_other_scores_have_a_gap(tmp_path, world, name):
    trained, pmi = objective.create(name), torch.from_numpy(world.pmi)
    for index, wrong in enumerate((0.8 * pmi, pmi.clamp(min=0), torch.zeros_like(pmi))):
        found = values(scored(tmp_path / str(index), world, trained, OPTIMAL[name](wrong, trained)))
        assert found["excess_loss"] > 0.01 and found["rmse"] > 0.01
    # The last is constant: a correlation has no value, and the gap is that of knowing nothing.
    assert found["pearson"] is None and found["spearman"] is None and found["excess_loss"] > 2


def test_ratios_that_are_not_positive_count_as_the_rarest_that_a_batch_shows():
    estimate = objective.create("spectral").to_pmi(torch.tensor([-3.0, 0.0, 1e-9, 1.0]), BATCH)
    assert estimate.tolist() == pytest.approx([-2 * math.log(BATCH)] * 3 + [0])


def test_the_learned_bias_of_the_sigmoid_loss_is_used(random_runs, tmp_path):
    run = random_runs[1]("cosine")
    tensors = load_file(run.weights) | {"objective.bias": torch.tensor(-4.25)}
    save_file(tensors, tmp_path / "model.safetensors")
    other = TrainedRun(tmp_path)

    card = ModelCard.model_construct(checkpoint_sha256=files.sha256(tmp_path / "model.safetensors"))
    vars(other).update(config=run.config.model_copy(update={"objective": "sigmoid"}), card=card)
    assert other.objective.bias.item() == -4.25


@pytest.mark.parametrize("variant", similarity.names())
def test_every_variant_and_objective_has_a_gap(random_runs, variant, monkeypatch):
    monkeypatch.setattr(pmi_gap, "BATCH_SIZE", 64)
    monkeypatch.setattr(pmi_gap, "SPECTRUM_PAIRS", 64)
    evaluation, run_of = random_runs
    run = run_of(variant)
    features = store.Reader(run.features("world-pairs"))
    for name in objective.names():
        if objective.get(name).refuse(type(run.similarity)):
            continue
        stub = TrainedRun(run.folder)
        created = objective.create(name)
        vars(stub).update(similarity=run.similarity, objective=created, config=run.config)
        with torch.inference_mode():
            outcome = tasks.get("pmi_gap").score(stub, features, evaluation, device="cpu")
        found = values(outcome)
        assert (
            found["excess_loss"] > 0
            and math.isfinite(found["excess_loss"])
            and math.isfinite(found["rmse"])
        )
        draws = 2 if run.similarity.uses_random_features else 1
        assert outcome.arrays["excess_losses"].shape == (draws, 8)
        assert outcome.arrays["excess_losses"].mean() == pytest.approx(found["excess_loss"])


def test_every_objective_is_covered():
    assert set(OPTIMAL) == set(objective.names())
