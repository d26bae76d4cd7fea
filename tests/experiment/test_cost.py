"""What an experiment will take, against what the committed run of `world` took."""

import dataclasses
from pathlib import Path

import pandas
import pytest
from tiny import EXPERIMENT, ROOT

from kbench.experiment.load import load, resolve
from kbench.plan import cost, measured

WORLD = ROOT / "results" / "world"
MEASURED_WALL = 12 * 60 + 2
"""Seconds of the whole workflow on two cores, as results/world/summary/README.md says."""


@pytest.fixture(scope="module")
def jobs():
    return measured.measured(WORLD)


@pytest.fixture
def world(monkeypatch):
    monkeypatch.chdir(ROOT)
    experiment = load("world")
    return experiment, resolve(experiment)


def estimate(world, jobs):
    return cost.estimate(*world, [], world[0].corpus.pairs, jobs)


def test_half_of_the_runs_foretells_all_of_it_within_a_third(world, jobs):
    known = [job for job in jobs if "-s0-" in job.run or not job.run]
    parts = estimate(world, known)
    assert sum(part.jobs for part in parts) == len(jobs) == 34
    assert cost.wall_seconds(parts, 2) == pytest.approx(MEASURED_WALL, rel=0.3)
    took = sum(job.seconds for job in jobs if job.rule in ("pretrain", "features"))
    assert cost.lane_hours(parts) * 3600 == pytest.approx(took, rel=0.3)
    assert cost.total_bytes(parts) == pytest.approx(sum(job.bytes for job in jobs), rel=0.3)


def test_rates_of_runs_of_another_size_are_scaled(world, jobs):
    # As if they had been trained for half the steps only.
    halves = [
        (
            dataclasses.replace(job, units=job.units // 2, seconds=job.seconds / 2)
            if job.rule == "pretrain"
            else job
        )
        for job in jobs
    ]
    assert cost.wall_seconds(estimate(world, halves), 2) == pytest.approx(
        cost.wall_seconds(estimate(world, jobs), 2)
    )
    assert (
        cost.wall_seconds(estimate(world, jobs), 10)
        < cost.wall_seconds(estimate(world, jobs), 2) / 2.5
    )


def test_jobs_of_a_like_size_decide_where_several_experiments_have_been_measured(world, jobs):
    both = [*jobs, *measured.measured(ROOT / "results" / "rank")]
    alone, together = (
        [part for part in estimate(world, known) if part.rule in measured.PER_RUN]
        for known in (jobs, both)
    )
    assert together == alone


def test_imported_models_are_jobs_too(jobs, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(EXPERIMENT + "models: [one, other]\n")
    experiment = load(str(path), smoke=True)
    took = measured.Job("x", "take", "", "", "", "", 1, 4.0, 0)
    parts = cost.estimate(experiment, resolve(experiment), [], 512, [*jobs, took])
    (part,) = [part for part in parts if part.rule == "take"]
    assert (part.jobs, part.seconds) == (2, 4.0)


def test_parts_of_large_datasets_are_jobs_too(world, jobs, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(EXPERIMENT.replace("[world-shape,", "[imagenet1k, world-shape,"))
    experiment = load(str(path))
    parts = cost.estimate(experiment, resolve(experiment), [], 512, jobs)
    split = [part for part in parts if part.rule == measured.PARTS]
    assert [part.name for part in split] == ["features_part cosine", "features_part wpse-gaussian"]
    assert [part.jobs for part in split] == [6, 6]
    rest = next(part for part in parts if part.name == "features cosine")
    images = (1_281_167 + 50_000) / 6
    assert split[0].seconds / images == pytest.approx(rest.seconds / (4 * 3 * 64), rel=1e-4)
    lanes = cost.wall_seconds(parts, 12)
    assert lanes > sum(part.seconds * part.jobs for part in split) / 12


def test_another_similaritys_rate_is_named_and_unknown_towers_are_not_guessed(world, jobs):
    known = [job for job in jobs if job.similarity in ("cosine", "")]
    part = next(part for part in estimate(world, known) if part.name == "pretrain wpse-imq")
    rates = [job.seconds for job in known if job.rule == "pretrain"]
    assert (
        part.seconds == pytest.approx(sum(rates) / 2, rel=0.02)
        and "cosine in 2 jobs of world" in part.source
    )
    parts = estimate(world, [dataclasses.replace(job, towers="ViT-B-16") for job in jobs])
    assert cost.wall_seconds(parts, 1) is cost.lane_hours(parts) is cost.total_bytes(parts) is None
    assert any(part.source == "no run with towers demo has been measured" for part in parts)


def test_jobs_are_collected_from_a_folder_and_read_back(trained, tmp_path):
    run = trained[0]
    results = run.folder.parents[1]
    for rule in ("pretrain/runs", "features", "evaluate"):
        path = results / "benchmarks" / rule / f"{run.folder.name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("s\th:m:s\n500.25\t0:08:20\n")
    part = results / "benchmarks" / "features_part" / run.folder.name / "x" / "1-of-2.tsv"
    part.parent.mkdir(parents=True)
    part.write_text("s\th:m:s\n100\t0:01:40\n")
    found = {job.rule: job for job in measured.measured(results)}
    assert found["features"].seconds == 600.25
    assert found["pretrain"].units == run.card.samples and found["pretrain"].seconds == 500.25
    assert found["features"].units == 4 * 3 * 64 and found["features"].bytes > 1000
    assert found["evaluate"].units == 2 + 2 + 1 + 1
    measured.write(found.values(), tmp_path / "summary" / "jobs.csv")
    assert measured.measured(tmp_path) == list(found.values())


def test_check_prints_the_cost_with_the_source_of_each_rate(kbench, refused, tmp_path):
    process = kbench("check", "world", "--gpus", 2, "--measured", WORLD)
    assert process.returncode == 0, process.stderr
    [machine] = set(pandas.read_csv(WORLD / "summary" / "jobs.csv").machine.dropna())
    assert "jobs        34" in process.stdout and f"2 jobs of world on {machine}" in process.stdout
    assert "wall time" in process.stdout and "min with 2 at once" in process.stdout
    path = Path(tmp_path / "mine.yaml")
    path.write_text(EXPERIMENT.replace("towers: demo", "towers: cifar"))
    process = kbench("check", path, "--measured", WORLD)
    assert "no run with towers cifar has been measured" in process.stdout
    assert "wall time   not known: a rate above is missing" in process.stdout
