"""Two runs of an experiment side by side."""

import pytest
from synthetic import change, run_name, write_experiment

from kbench.results import beside, store


def made(folder, abilities, seeds=(0, 1, 2, 3, 4), generator_seed=0, seed_sd=0.02):
    path = folder / "made"
    write_experiment(path, abilities, seeds=seeds, generator_seed=generator_seed, seed_sd=seed_sd)
    return path


def statuses(ours, theirs, task="zeroshot", margin=1.0):
    cells = beside.cells(store.load(ours), store.load(theirs), margin)
    return {(cell.key.variant, cell.status) for cell in cells if cell.key.task == task}


def test_a_run_is_identical_to_itself(tmp_path, kbench):
    folder = made(tmp_path, {"cosine": 0.5})
    cells = beside.cells(store.load(folder), store.load(folder), 1.0)
    assert {cell.status for cell in cells} == {beside.IDENTICAL}
    # One cell a dataset and task, of its main metric.
    assert len(cells) == len({(cell.key.dataset, cell.key.task) for cell in cells}) > 5
    done = kbench("compare", folder, folder, "--fail-on", "lower")
    assert done.returncode == 0 and f"{len(cells)} identical" in done.stdout
    assert not (folder / "table.csv").exists()


def test_a_difference_is_found_and_has_its_direction(tmp_path, kbench):
    ours = made(tmp_path / "ours", {"cosine": 0.5, "filip": 0.5})
    theirs = made(tmp_path / "theirs", {"cosine": 3.0, "filip": 0.5}, generator_seed=3)
    assert ("cosine", "lower") in statuses(ours, theirs)
    assert ("cosine", "higher") in statuses(theirs, ours)
    assert {s for v, s in statuses(ours, theirs) if v == "filip"} <= {"inconclusive", "reproduced"}
    assert kbench("compare", ours, theirs, "--fail-on", "lower").returncode == 1
    # The number is meant, not who is better: of a loss the lower one is.
    assert ("cosine", "higher") in statuses(ours, theirs, "pmi_gap")


def test_one_that_is_equivalent_is_reproduced(tmp_path):
    ours = made(tmp_path / "ours", {"cosine": 0.5})
    theirs = made(tmp_path / "theirs", {"cosine": 0.5}, seeds=(5, 6, 7, 8, 9), generator_seed=3)
    assert statuses(ours, theirs, margin=60) == {("cosine", "reproduced")}
    assert ("cosine", "reproduced") not in statuses(ours, theirs, margin=1e-3)


def test_with_one_seed_nothing_is_concluded(tmp_path):
    ours = made(tmp_path / "ours", {"cosine": 0.5}, seeds=(0,))
    theirs = made(tmp_path / "theirs", {"cosine": 3.0}, seeds=(1,), generator_seed=3)
    assert statuses(ours, theirs) == {("cosine", "inconclusive")}


@pytest.mark.parametrize(
    "key, value, reason",
    [
        ("corpus", "cc3m", "corpus cc3m, here"),
        ("n_test", 199, "n_test 199, here 200"),
        ("dataset_sha256", "f" * 64, "other test data"),
        ("evaluation", "f" * 12, "other evaluation settings"),
    ],
)
def test_what_was_made_otherwise_is_not_compared(tmp_path, key, value, reason):
    ours = made(tmp_path / "ours", {"cosine": 0.5}, seeds=(0, 1))
    theirs = made(tmp_path / "theirs", {"cosine": 0.6}, seeds=(0, 1), generator_seed=1)
    for seed in (0, 1):
        run = theirs / "runs" / run_name("cosine", seed)
        for path in (run / "evaluation" / "world-shape").glob("*.json"):
            change(path, **{key: value})
    cells = beside.cells(store.load(ours), store.load(theirs), 1.0)
    seen = {c.key.dataset: c for c in cells if c.key.task == "zeroshot"}
    assert seen["world-shape"].status == beside.NOT_COMPARABLE
    assert seen["world-shape"].reasons[0].startswith(reason)
    assert seen["world-colour"].status != beside.NOT_COMPARABLE


def test_what_one_side_lacks_is_said(tmp_path):
    ours = made(tmp_path / "ours", {"cosine": 0.5, "filip": 0.5})
    theirs = made(tmp_path / "theirs", {"cosine": 0.5})
    cells = beside.cells(store.load(ours), store.load(theirs), 1.0)
    alone = [cell for cell in cells if cell.key.variant == "filip"]
    assert alone and {cell.reasons for cell in alone} == {("not in the second",)}
