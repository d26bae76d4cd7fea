"""Probes on a few images of each class, against scikit-learn on the same images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from kbench import tasks
from kbench.errors import UserError
from kbench.experiment.schema import Evaluation
from kbench.measures import few_shot
from kbench.measures.labelled_features import Features
from kbench.measures.logistic import GRID
from kbench.measures.settings import LinearProbeSettings

CLASSES, WIDTH = 5, 12


def blobs(number, seed):
    """Return (N, F) features around overlapping class centres, and their labels."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(CLASSES, WIDTH))
    labels = random.permutation(np.arange(number) % CLASSES)
    x = (centres[labels] + 1.5 * random.normal(size=(number, WIDTH))).astype(np.float32)
    return Features(x, labels)


TRAIN, TEST = blobs(200, 1), blobs(400, 2)
SETTINGS = LinearProbeSettings(strides=(24, 12))


@pytest.mark.parametrize("shots", [1, 2, 8])
def test_it_predicts_what_scikit_learn_does(shots):
    ours = few_shot.probe(TRAIN, TEST, shots, 0, SETTINGS)
    fitted_on, judged_on = map(TRAIN.rows, few_shot.draw(TRAIN.labels, shots, 0))

    def fit(C):
        model = LogisticRegression(C=C, tol=1e-12, solver="newton-cholesky")
        return model.fit(next(fitted_on.chunks(999)).astype(np.float64), fitted_on.labels)

    x = next(judged_on.chunks(999)).astype(np.float64)
    values = {C: fit(C).score(x, judged_on.labels) for C in GRID[::24]}
    middle = int(np.flatnonzero(ours.C == GRID)[0])
    theirs = fit(ours.C)
    # No coarser point is better on the images that C is chosen on.
    assert theirs.score(x, judged_on.labels) >= max(values.values())
    assert middle % 12 == 0
    agree = theirs.predict(TEST.x.astype(np.float64)) == ours.predictions
    assert agree.mean() > 0.99 and ours.converged


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4, 8]))
def test_images_are_as_many_as_stated_and_never_both(seed, shots):
    labels = np.random.default_rng(seed).permutation(np.arange(120) % CLASSES)
    fitted_on, judged_on = few_shot.draw(labels, shots, seed)
    assert (np.bincount(labels[fitted_on]) == shots).all()
    assert (np.bincount(labels[judged_on]) == min(shots, 4)).all()
    assert not set(fitted_on) & set(judged_on)
    assert set(few_shot.draw(labels, 1, seed)[0]) <= set(fitted_on)


def test_another_seed_draws_other_images():
    one, other = (few_shot.draw(TRAIN.labels, 4, seed)[0] for seed in (0, 1))
    assert set(one) != set(other)


def test_a_class_with_too_few_images_leaves_the_number_undefined():
    labels = np.repeat(np.arange(3), (3, 40, 40))
    assert few_shot.draw(labels, 1, 0) is not None
    assert few_shot.draw(labels, 2, 0) is None


def test_a_label_that_train_has_not_is_refused():
    other = Features(TEST.x, TEST.labels + 1)
    with pytest.raises(UserError, match="test has 1 labels that train has not"):
        few_shot.probe(TRAIN, other, 1, 0, SETTINGS)


class Stored:
    """Features of one dataset as a task reads them."""

    def __init__(self, train, test):
        self.arrays = {
            "train/after_projection": train.x,
            "train/targets": train.labels,
            "test/after_projection": test.x,
            "test/targets": test.labels,
        }

    def array(self, name):
        return self.arrays[name]


def test_more_images_score_higher_and_too_few_score_nothing():
    task = tasks.get("few_shot_probe")
    evaluation = Evaluation(datasets=("world-shape",), linear_probe=SETTINGS)
    outcome = task.score(None, Stored(blobs(90, 3), TEST), evaluation, device="cpu")
    values = {name: outcome.average(name) for name in outcome.values}
    assert values["acc1_16_shot"].value is None  # 18 images of each class, 20 are needed
    assert "prediction_16_shot" not in outcome.arrays
    assert values["acc1_1_shot"].value < values["acc1_8_shot"].value
    assert len(values["acc1_8_shot"].draws) == 3 and values["acc1_8_shot"].draw_sd > 0


def test_an_experiment_has_to_ask_for_it():
    assert "few_shot_probe" not in tasks.chosen(None)
    assert tasks.chosen(["few_shot_probe"]) == ("few_shot_probe",)
