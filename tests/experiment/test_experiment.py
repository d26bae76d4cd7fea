"""Experiment files: what is refused, what identifies a run, what is written."""

import copy

import pytest
import yaml
from tiny import EXPERIMENT, ROOT

from kbench.errors import UserError
from kbench.experiment import differences, load, smoke
from kbench.plan.freeze import freeze
from kbench.plan.workflow import Workflow

NAMES = sorted(path.stem for path in (ROOT / "workflow" / "experiments").glob("*.yaml"))
BASE = yaml.safe_load(EXPERIMENT)


@pytest.fixture
def changed(tmp_path):
    """Write the tiny experiment with some values replaced, by a path of keys; returns the file's
    name.
    """

    def write(**replaced):
        values = copy.deepcopy(BASE)
        for place, value in replaced.items():
            *sections, key = place.split("__")
            section = values
            for name in sections:
                section = section[name]
            section[key] = value
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"seed": [0]}, "unknown key 'seed'; did you mean 'seeds'?"),
        (
            {"training__learning_rat": 1},
            "unknown key 'training.learning_rat'; did you mean 'learning_rate'?",
        ),
        (
            {"evaluation__random_features__draw": 1},
            "did you mean 'draws'? Legal: draws, estimator, number",
        ),
        ({"corpus__pair": 1}, "did you mean 'pairs'?"),
        ({"corpus__kind": "wrld"}, "corpus: ... 'world'"),
        ({"variants": ["cosin"]}, "unknown variant 'cosin'; did you mean 'cosine'?"),
        ({"variants": [{"similarity": "cosine", "sett": {}}]}, "did you mean 'set'?"),
        (
            {"variants": [{"similarity": "wpse-gaussian", "set": {"sigm": 1}}]},
            "did you mean 'sigma'?",
        ),
        ({"variants": [{"similarity": "wpse-gaussian", "set": {"sigma": -1}}]}, "sigma"),
        ({"variants": ["cosine", "cosine"]}, "variants named twice: cosine"),
        ({"objective": "infonc"}, "unknown objective 'infonc'; did you mean 'infonce'?"),
        (
            {"evaluation__datasets": ["world-shap"]},
            "unknown dataset 'world-shap'; did you mean 'world-shape'?",
        ),
        ({"towers": "demos"}, "unknown tower configuration 'demos'; did you mean 'demo'?"),
        ({"training__warmup_epochs": 2}, "warmup_epochs 2.0 must be less than epochs 1.0"),
        ({"training__batch_size": "many"}, "training.batch_size: ... 'many'"),
        ({"seeds": []}, "seeds: "),
        (
            {"primary": {"task": "zeroshot", "reference": "cosin"}},
            "primary: unknown variant of this experiment 'cosin'; did you mean 'cosine'?",
        ),
        (
            {"primary": {"task": "zeroshot", "reference": "cosine", "variants": ["cosine"]}},
            "primary: 'cosine' is compared with itself",
        ),
        (
            {"primary": {"task": "zero_shot", "reference": "cosine"}},
            "unknown task of `primary:` that is scored here 'zero_shot'",
        ),
        (
            {"primary": {"task": "zeroshot", "reference": "cosine", "dataset": "world-retrieva"}},
            "primary: unknown dataset of this experiment 'world-retrieva'; did you mean",
        ),
        ({"paired_seeds": "maybe"}, "paired_seeds"),
    ],
)
def test_mistakes_are_named_in_one_line(changed, replaced, message):
    with pytest.raises(UserError) as caught:
        load.resolve(load.load(changed(**replaced)))
    assert "\n" not in str(caught.value)
    for part in message.split(" ... "):
        assert part in str(caught.value)


def test_a_missing_key_and_no_yaml(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: [")
    with pytest.raises(UserError, match="is not YAML"):
        load.load(str(path))
    path.write_text("demo")
    with pytest.raises(UserError, match="must be a mapping"):
        load.load(str(path))
    path.write_text(yaml.safe_dump({key: value for key, value in BASE.items() if key != "towers"}))
    with pytest.raises(UserError, match="towers: Field required"):
        load.load(str(path))
    with pytest.raises(UserError, match="no such experiment file"):
        load.load(str(tmp_path / "absent.yaml"))


def test_identity_follows_everything_that_decides_the_outcome_and_nothing_else(changed):
    def identity(**replaced):
        return load.resolve(load.load(changed(**replaced)))[0].hash

    same = identity()
    for replaced in (
        {"name": "other"},
        {"description": "other"},
        {"resources": {"threads": 2}},
        {"evaluation__datasets": ["world-size"]},
        {"variants": [{"similarity": "cosine", "label": "clip"}]},
        {"variants": ["cosine", "filip"]},
    ):
        assert identity(**replaced) == same, replaced
    for replaced in (
        {"seeds": [1]},
        {"corpus__seed": 4},
        {"towers": "cifar"},
        {"training__epochs": 2},
        {"variants": ["cosine-mean"]},
        {"objective": "sigmoid"},
    ):
        assert identity(**replaced) != same, replaced


def test_a_default_written_out_is_the_same_run(changed):
    plain = load.resolve(load.load(changed(variants=["wpse-gaussian"])))[0]
    written = load.resolve(
        load.load(changed(variants=[{"similarity": "wpse-gaussian", "set": {"sigma": 0.5}}]))
    )[0]
    assert plain.hash == written.hash


def test_freezing_again_touches_nothing_and_a_new_variant_touches_no_run(changed, tmp_path):
    def frozen(**replaced):
        experiment = load.load(changed(**replaced))
        freeze(experiment, load.resolve(experiment), [], tmp_path / "results")
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*.json")}

    first = frozen()
    assert frozen() == first
    more = frozen(
        variants=["cosine", {"similarity": "wpse-gaussian", "set": {"features": 32}}, "filip"]
    )
    assert {path.parent.name for path in more.keys() - first.keys()} == {
        next(p for p in more if "filip" in str(p)).parent.name
    }
    touched = {path.name for path in first if more[path] != first[path]}
    assert touched == {"experiment.json"}


def test_a_frozen_configuration_reads_back(changed, tmp_path):
    experiment = load.load(changed())
    runs = load.resolve(experiment)
    freeze(experiment, runs, [], tmp_path)
    for run in runs:
        assert load.read_run(tmp_path / "runs" / run.run / "config.json") == run
    (tmp_path / "broken.json").write_text('{"variant": 1}')
    with pytest.raises(UserError, match=r"broken\.json"):
        load.read_run(tmp_path / "broken.json")


def test_an_experiment_of_models_shrinks_to_stand_ins_of_all_of_them(monkeypatch):
    monkeypatch.chdir(ROOT)
    experiment, small = load.load("released"), load.load("released", smoke=True)
    names = [model.name for model in experiment.models]
    assert [run.variant for run in load.resolve(small)] == names
    assert load.not_imported(experiment) == list(experiment.models)
    assert load.not_imported(small) == [] and differences.of(experiment) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "released"])
def test_every_experiment_resolves_and_shrinks_to_the_same_graph(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    experiment, small = load.load(name), load.load(name, smoke=True)
    full, shrunk = load.resolve(experiment), load.resolve(small)
    kept = [(run.variant, run.seed) for run in full if run.seed in small.seeds]
    assert [(run.variant, run.seed) for run in shrunk] == kept
    assert {trial.variant.name for trial in load.search(experiment)} == {
        t.variant.name for t in load.search(small)
    }
    assert small.evaluation.datasets == experiment.evaluation.datasets
    assert small.name == f"{name}-smoke" and small.training.batch_size == smoke.BATCH_SIZE
    assert differences.of(experiment)


def test_unknown_workflow_settings_are_refused(tmp_path):
    with pytest.raises(
        UserError, match="unknown --config key 'experimnt'; did you mean 'experiment'"
    ):
        Workflow({"experimnt": "demo"})
    with pytest.raises(UserError, match="smoke=yes"):
        Workflow({"smoke": "yes"})


def test_check_prints_the_plan(kbench, refused, changed):
    process = kbench("check", changed())
    assert process.returncode == 0, process.stderr
    assert "2 = 2 variants x 1 seeds" in process.stdout and "deviates" in process.stdout
    refused(
        kbench("check", changed(objectiv="infonce")),
        "unknown key 'objectiv'",
        "did you mean 'objective'",
    )
    refused(kbench("check", "dem"), "did you mean 'demo'")


@pytest.mark.parametrize("name", NAMES)
def test_check_prints_the_plan_of_every_shipped_experiment(kbench, name):
    process = kbench("check", name)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(f"{name}: ")


def test_check_says_which_data_are_missing(kbench):
    process = kbench("check", "cifar10", "--data", "/nowhere")
    assert process.returncode == 0, process.stderr
    assert "missing     cifar10" in process.stdout and "missing     flickr8k_1k" in process.stdout


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("training__crop", {"scale": [5, -1]}, r"scale is \[5, -1\]; legal are two shares"),
        ("training__crop", {"scale": [0.9, 0.5]}, r"0 < least <= most <= 1"),
        ("training__betas", [1.5, -3], "training.betas.0: Input should be less than 1"),
        (
            "evaluation__linear_probe",
            {"strides": [0]},
            "strides.0: Input should be greater than or equal to 1",
        ),
        (
            "evaluation__linear_probe",
            {"strides": [-1]},
            "strides.0: Input should be greater than or equal to 1",
        ),
    ],
)
def test_what_would_fail_late_is_refused_at_once(changed, place, value, message):
    with pytest.raises(UserError, match=message):
        load.load(changed(**{place: value}))
