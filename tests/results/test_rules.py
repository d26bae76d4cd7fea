"""Whether results keep the rules of a benchmark, item by item."""

import json
import shutil

import pytest
import yaml
from tiny import ROOT

from kbench.errors import UserError
from kbench.results import rules, store
from kbench.results.rules import Division

WORLD = ROOT / "results" / "world" / "summary"

RULES = {
    "title": "The tiny experiment, version 1",
    "pairs": 512,
    "datasets": ["world-shape", "world-digits", "world-retrieval", "world-pairs"],
    "tasks": ["zeroshot", "linear_probe", "retrieval", "pmi_gap"],
    "seeds": 1,
    "reference": "cosine",
    "required": {"towers": "demo"},
    "closed": {"training.batch_size": 32, "training.learning_rate": 2e-3},
}


@pytest.fixture
def results(trained, tiny_experiment, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_experiment[1], folder)
    return folder


def kept(results, **changed):
    made = rules.Rules.model_validate(RULES | changed)
    items = rules.items(store.load(results), made)
    return rules.division(items), [item for item in items if item.division != Division.CLOSED]


def test_results_that_keep_all_are_closed(results):
    assert kept(results) == (Division.CLOSED, [])


@pytest.mark.parametrize(
    "changed, division, rule, seen",
    [
        ({"closed": {"training.batch_size": 64}}, "open", "training.batch_size is 64", "32"),
        ({"closed": {"training.nothing": 1}}, "open", "training.nothing is 1", "None"),
        ({"required": {"towers": "cifar"}}, "not conforming", "towers is cifar", "demo"),
        ({"seeds": 2}, "not conforming", "at least 2 seeds", "cosine 1, wpse-gaussian 1"),
        ({"pairs": 1000}, "not conforming", "a corpus of 1,000 pairs", "512"),
        ({"reference": "filip"}, "not conforming", "filip is among", "cosine, wpse-gaussian"),
        ({"datasets": ["suite:paper-13"]}, "not conforming", "every dataset", "imagenet1k"),
        ({"tasks": ["few_shot_probe"]}, "not conforming", "every task", "few_shot_probe"),
    ],
)
def test_each_rule_that_is_broken_is_named(results, changed, division, rule, seen):
    belongs, [item] = kept(results, **changed)
    assert belongs == item.division == division
    assert item.rule.startswith(rule) and seen in item.seen


def test_a_result_that_is_missing_does_not_conform(results):
    sorted(results.glob("runs/*/evaluation/world-shape/zeroshot.json"))[0].unlink()
    belongs, items = kept(results)
    assert belongs == Division.NONE and "1 of 12 are missing" in items[0].seen


def test_the_strictest_rule_decides():
    made = [rules.Item("", division, "") for division in (Division.OPEN, Division.CLOSED)]
    assert rules.division(made) == Division.OPEN
    assert rules.division([*made, rules.Item("", Division.NONE, "")]) == Division.NONE


@pytest.mark.parametrize("name", rules.names())
def test_rules_that_are_shipped_are_those_of_the_shipped_experiment(name):
    """What the experiment of the name asks for keeps them, in the closed division."""
    from kbench.experiment import load

    made = rules.read(name)
    experiment = load.load({"wpse-cc12m-v1": "cc12m", "world-v1": "world"}[name])
    asked = experiment.model_dump(mode="json")
    for place, value in (made.required | made.closed).items():
        assert rules._at(asked, place) == value, place
    assert set(rules.suites.expanded(made.datasets)) <= set(experiment.evaluation.datasets)
    assert len(experiment.seeds) >= made.seeds
    assert made.reference in {variant.similarity for variant in experiment.variants}


def test_the_committed_world_is_closed_and_one_with_a_number_changed_is_open(
    kbench, refused, tmp_path
):
    done = kbench("conform", WORLD, "--recipe", "world-v1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("version 1: closed")
    path = tmp_path / "mine.yaml"
    asked = yaml.safe_load((rules.FOLDER / "world-v1.yaml").read_text())
    asked["closed"]["training.epochs"] = 100
    path.write_text(json.dumps(asked))
    done = kbench("conform", WORLD, "--recipe", path)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].endswith(": open")
    assert "open            training.epochs is 100: 5.76" in done.stdout
    refused(kbench("conform", WORLD, "--recipe", "world-v2"), "world-v1")
    refused(kbench("conform", WORLD, "--recipe", tmp_path / "no.yaml"), "no such file of rules")


def test_rules_with_an_unknown_key_are_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(RULES | {"seed": 3}))
    with pytest.raises(UserError, match="unknown key 'seed'; did you mean 'seeds'"):
        rules.read(str(path))
