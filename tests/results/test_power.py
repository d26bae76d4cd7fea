"""What an experiment can find before it runs, from a pilot and from what others have published."""

import itertools
import json
import re

import numpy as np
import pytest
from synthetic import write_experiment
from tiny import EXPERIMENT

from kbench.experiment.schema import Primary
from kbench.results import power
from kbench.results.power import Spread

QUESTION = "primary: {task: zeroshot, reference: cosine}\n"


def test_a_pilot_tells_what_trainings_and_images_vary_by(tmp_path):
    folder = write_experiment(
        tmp_path / "pilot",
        {"cosine": 1.0, "filip": 1.0},
        range(12),
        datasets=("world-shape",),
        n_test=2000,
        seed_sd=0.3,
    )
    spread = power.of_pilot(Primary(task="zeroshot", reference="cosine"), folder)
    values = {"cosine": [], "filip": []}
    for path in folder.glob("runs/*/evaluation/world-shape/zeroshot.json"):
        document = json.loads(path.read_text())
        values[document["variant"]].append(document["metrics"][0]["value"])
    variances = [np.var(of_variant, ddof=1) for of_variant in values.values()]
    assert spread.trainings == pytest.approx(np.mean(variances))
    # Of a success of chance p the difference of two such varies by 2 p (1 - p), less what is shared.
    assert 0 < spread.images < 2 * 0.25 / 2000
    assert spread.source.endswith("2 variants, 12 seeds") and spread.unit == "fraction"


def test_more_seeds_find_less_and_what_is_needed_is_what_finds():
    spread = Spread(trainings=0.01**2, images=0.002**2, unit="fraction", source="here")
    found = [spread.detectable(seeds, 1) for seeds in range(2, 60)]
    assert all(more < fewer for fewer, more in itertools.pairwise(found))
    needed = spread.seeds_for(0.015, 3)
    assert spread.detectable(needed, 3) <= 0.015 < spread.detectable(needed - 1, 3)
    assert spread.detectable(5, 6) > spread.detectable(5, 1)
    assert spread.seeds_for(0.004, 1) is None, "test images alone vary by more"


@pytest.mark.parametrize("variants", [["cosine"], ["cosine", "filip"]])
def test_a_pilot_that_says_nothing_is_none(tmp_path, variants):
    folder = write_experiment(tmp_path / "pilot", dict.fromkeys(variants, 1.0), seeds=(0,))
    assert power.of_pilot(Primary(task="zeroshot", reference="cosine"), folder) is None


def test_the_command_takes_a_pilot(kbench, tmp_path):
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT.replace("seeds: [0]", "seeds: [0, 1, 2, 3]"))
    with (tmp_path / "tiny.yaml").open("a") as stream:
        stream.write(QUESTION)
    pilot = write_experiment(tmp_path / "pilot", {"cosine": 1.0, "filip": 1.0}, range(6))
    done = kbench("power", "tiny.yaml", "--pilot", pilot, "--difference", 30, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == "tiny: zero-shot against cosine, 1 comparison"
    assert f"seen in     {pilot}: 2 variants, 6 seeds" in done.stdout
    found = dict(re.findall(r"(\d+) seeds   find ([\d.]+) points", done.stdout))
    assert list(found) == ["2", "3", "4", "5", "10", "20"] and float(found["2"]) > float(
        found["20"]
    )
    assert "  4 seeds   find " in done.stdout and "planned" in rest[-5]
    assert re.fullmatch(r"  30 points need \d+ seeds", rest[-1])


def test_without_a_pilot_what_others_published_of_imagenet(kbench):
    done = kbench("power", "cc12m")
    assert "one training 0.2 points, a difference by test images not known" in done.stdout
    assert "arXiv 2304.14108" in done.stdout and "1 points need 3 seeds" in done.stdout
    shown = kbench("check", "cc12m").stdout
    assert "question    zero-shot against cosine, 2 comparisons: 3 seeds find 0.7 points" in shown
    assert "question    none is named" in kbench("check", "cifar10").stdout


def test_results_that_cannot_be_read_hinder_no_plan(kbench, tmp_path):
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT + QUESTION)
    results = tmp_path / "results" / "tiny"
    results.mkdir(parents=True)
    (results / "experiment.json").write_text("{")
    done = kbench("check", "tiny.yaml", "--measured", tmp_path / "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "question    zero-shot against cosine, 1 comparison; `kbench power`" in done.stdout


def test_mistakes_are_named(kbench, refused, tmp_path):
    refused(kbench("power", "cifar10"), "cifar10 names no question; say in its file: primary:")
    (tmp_path / "x.yaml").write_text(EXPERIMENT + QUESTION)
    refused(kbench("power", "x.yaml", cwd=tmp_path), "nobody has said; give a --pilot")
    refused(kbench("power", "x.yaml", "--pilot", "gone", cwd=tmp_path), "no such results folder")
    pilot = write_experiment(tmp_path / "pilot", {"cosine": 1.0}, (0,))
    refused(kbench("power", "x.yaml", "--pilot", pilot, cwd=tmp_path), "no variant with two seeds")
    refused(kbench("power", "cc12m", "--difference", 0), "--difference 0; legal: above 0")
