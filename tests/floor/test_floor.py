"""Floors of the excess loss: the expectation they are sought by, and that they are floors."""

import numpy as np
import pytest
import torch
from command import here as kbench

from kbench import objective, similarity
from kbench.errors import UserError
from kbench.floor.search import Search, expected_infonce, least
from kbench.floor.vectors import FreeVectors
from kbench.tasks import pmi_gap
from kbench.world import Family, World, floors

SHORT = Search(steps=150, starts=1, batches=100)
SHORTER = Search(steps=40, starts=1, batches=50)


@pytest.fixture(scope="module")
def world():
    return World()


def joint_of(world):
    return torch.from_numpy(world.p * world.prior[:, None])


def test_the_expected_loss_bounds_that_of_batches_from_above_and_closely(world):
    pmi, joint = torch.from_numpy(world.pmi), joint_of(world)
    rng, criterion = np.random.default_rng(0), objective.create("infonce")
    for batch, gap in ((16, 0.2), (256, 0.08)):
        losses = []
        for _ in range(300):
            scenes = world.sample_scenes(rng, batch)
            captions = world.sample_captions(rng, scenes)
            losses.append(float(criterion(pmi[scenes][:, captions])))
        error = np.std(losses) / len(losses) ** 0.5
        expected = float(expected_infonce(pmi, joint, batch))
        assert np.mean(losses) - 3 * error < expected < np.mean(losses) + gap


def test_the_expected_loss_is_least_at_pmi(world):
    joint = joint_of(world)
    pmi = torch.from_numpy(world.pmi)
    # A batch of 2^20 is as good as all there is: the loss differs from its limit by 1e-6 or so.
    least_of_all = expected_infonce(pmi, joint, 1 << 20)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(pmi.shape, generator=generator, dtype=torch.float64)
    for other in (0.9 * pmi, 1.1 * pmi, pmi + 0.3 * noise, 0 * pmi):
        assert expected_infonce(other, joint, 1 << 20) > least_of_all + 1e-3
    torch.testing.assert_close(expected_infonce(pmi + 3, joint, 1 << 20), least_of_all)


OF_SETS = [name for name in similarity.names() if not similarity.get(name).has_likelihoods()]


@pytest.mark.parametrize("name", OF_SETS)
def test_every_similarity_of_sets_has_free_vectors(name):
    torch.manual_seed(0)
    model = FreeVectors(name, {}, 3, 2, (5, 7))
    logits = model()
    assert logits.shape == (5, 7) and logits.isfinite().all()
    logits.sum().backward()
    assert model.scenes.grad[..., :3].isfinite().all()


def test_scores_of_inner_products_have_no_higher_rank_than_points_have_dimensions():
    torch.manual_seed(0)
    logits = FreeVectors("wpse-linear", {}, 3, 4, (20, 30))()
    assert torch.linalg.matrix_rank(logits, rtol=1e-5) == 3


@pytest.mark.whole
def test_more_dimensions_come_nearer_and_the_same_search_ends_alike():
    few, more = (least("cosine", {}, dimension, search=SHORTER) for dimension in (2, 16))
    assert few.excess_loss > more.excess_loss + 0.5 > 0.5
    assert least("cosine", {}, 16, search=SHORTER) == more


@pytest.mark.whole
def test_known_floors_are_found_again():
    """By the first start of the search that is written down with one."""
    [written] = [
        floor
        for floor in floors.known()
        if (floor.similarity, floor.dimension) == ("wpse-linear", 32)
    ]
    search = Search(written.steps, starts=1)
    again = least("wpse-linear", {}, 32, search=search)
    assert again.excess_loss == pytest.approx(written.excess_loss, abs=0.005)
    short = least("wpse-linear", {}, 8, search=SHORT).excess_loss
    assert short > floors.by_dimension("wpse-linear", Family())[8] - 0.02


def test_floors_are_of_the_loss_that_runs_are_scored_by():
    assert floors.BATCH_SIZE == pmi_gap.BATCH_SIZE


def test_known_floors_fall_with_the_dimension():
    for name in {floor.similarity for floor in floors.known()}:
        values = [value for _, value in sorted(floors.by_dimension(name, Family()).items())]
        assert len(values) > 3 and values == sorted(values, reverse=True)
    # A cosine is an inner product, so that it reaches no less.
    inner, cosine = (floors.by_dimension(name, Family()) for name in ("wpse-linear", "cosine"))
    assert all(inner[d] < value + 0.01 for d, value in cosine.items())


def test_floors_are_listed_sought_and_written(tmp_path):
    assert "wpse-linear, one point" in kbench("floor").stdout
    written = tmp_path / "floors.csv"
    done = kbench(
        *("floor", "--similarity", "cosine", "--dimension", "2", "3", "--steps", "2"),
        *("--starts", "1", "--batches", "2", "--output", str(written)),
    )
    assert done.returncode == 0 and "cosine, d = 3, one point" in done.stdout
    assert [floor.dimension for floor in floors.known(written)] == [2, 3]


@pytest.mark.parametrize(
    "words, message",
    [
        (["--similarity", "cosin", "--dimension", "2"], "cosine"),
        (["--similarity", "cosine"], "--dimension"),
        (["--similarity", "cosine", "--dimension", "0"], "dimension 0; legal: at least 1"),
        (["--similarity", "cosine", "--dimension", "2", "--points", "0"], "points 0"),
        (["--similarity", "cosine", "--dimension", "2", "--steps", "0"], "--steps 0"),
        (["--similarity", "cosine", "--dimension", "2", "--batches", "1"], "at least 2"),
    ],
)
def test_bad_words_are_refused(words, message):
    done = kbench("floor", *words)
    assert done.returncode == 2 and message in done.stderr and not done.stdout


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "floors.csv"
    path.write_text("similarity,dimension\ncosine,two\n")
    with pytest.raises(UserError, match=r"cannot read floors from .*floors\.csv"):
        floors.known(path)
