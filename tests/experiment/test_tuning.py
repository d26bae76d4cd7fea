"""Fair tuning: the same budget for every variant, chosen on held-out pairs, with names that do not
wait for it.
"""

import pytest
import yaml
from tiny import EXPERIMENT

from kbench import files
from kbench.errors import UserError
from kbench.experiment import load
from kbench.experiment.tuning import choose
from kbench.plan.freeze import freeze, freeze_runs
from kbench.records.documents import TuningRecord

TUNED = yaml.safe_load(EXPERIMENT) | {
    "seeds": [0, 1],
    "tuning": {"grid": {"learning_rate": [1e-3, 4e-3]}, "trials": 2},
}


@pytest.fixture
def tuned(tmp_path):
    """Load the tiny experiment with a search, with keys of its section `tuning` and others
    replaced.
    """

    def make(tuning=(), **replaced):
        path = tmp_path / "tuned.yaml"
        path.write_text(
            yaml.safe_dump(TUNED | {"tuning": TUNED["tuning"] | dict(tuning)} | replaced)
        )
        return load.load(str(path))

    return make


def test_every_variant_gets_the_same_number_of_trials(tuned):
    experiment = tuned(
        {"grid": {"learning_rate": [1e-3, 2e-3, 4e-3], "sigma": [0.25, 0.5, 1.0]}, "trials": 3}
    )
    trials = load.search(experiment)
    assert [trial.variant.name for trial in trials] == ["cosine"] * 3 + ["wpse-gaussian"] * 3
    assert len({trial.config.hash for trial in trials}) == 6
    assert all(set(trial.values) == {"learning_rate"} for trial in trials[:3])
    for trial in trials[3:]:
        assert trial.config.similarity_settings["sigma"] == trial.values["sigma"]
        assert trial.config.training.learning_rate == trial.values["learning_rate"]
    assert {trial.config.seed for trial in trials} == {1000}


def test_trials_may_be_shorter_with_the_same_share_of_warm_up(tuned):
    short = load.search(tuned({"epochs": 0.5}))[0].config.training
    assert (short.epochs, short.warmup_epochs) == (0.5, 0.125)


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ({"trials": 3}, "the grid of variant 'cosine' has only 2 points"),
        (
            {"grid": {"learning_rat": [1e-3]}, "trials": 1},
            "unknown key of tuning.grid 'learning_rat'; did you mean",
        ),
        ({"grid": {"learning_rate": [-1.0]}, "trials": 1}, "tuning.grid: learning_rate"),
        *[
            (
                {"grid": {key: [value]}, "trials": 1},
                f"held-out losses at different values of '{key}'",
            )
            for key, value in (
                ("batch_size", 32),
                ("epochs", 2.0),
                ("selection", "held-out"),
                ("micro_batch_size", 8),
            )
        ],
        ({"seed": 1}, "tuning.seed 1 is one of the reported seeds"),
        ({"seed": 1000, "seeds": 101}, "tuning.seeds"),
        ({"rule": "test accuracy"}, "tuning.rule"),
    ],
)
def test_an_unfair_or_impossible_search_is_refused(tuned, tuning, message):
    with pytest.raises(UserError) as caught:
        load.resolve(tuned(tuning))
    assert message in str(caught.value)


def test_names_do_not_depend_on_what_is_chosen_but_on_the_search(tuned):
    experiment = tuned()
    before = load.resolve(experiment)
    after = load.resolve(experiment, {"cosine": {"learning_rate": 4e-3}})
    assert [run.run for run in before] == [run.run for run in after]
    assert [run.training.learning_rate for run in after] == [4e-3, 4e-3, 2e-3, 2e-3]
    assert before[0].hash != after[0].hash and before[2].hash == after[2].hash
    assert load.resolve(tuned({"trials": 1}))[0].run != before[0].run


def test_the_lowest_held_out_loss_is_chosen_and_everything_tried_is_kept(tuned, tmp_path):
    experiment = tuned()
    trials = load.search(experiment)
    freeze(experiment, load.resolve(experiment), trials, tmp_path)
    assert not (tmp_path / "runs").exists()
    for trial, loss in zip(trials, (2.0, 1.0, 3.0, 4.0), strict=True):
        card = {"config_hash": trial.config.hash, "held_out_loss": loss}
        files.write_json(tmp_path / "search" / trial.config.run / "model.json", card)
    found = choose(trials, tmp_path / "search", experiment.tuning.rule)
    assert found["variants"]["cosine"]["chosen"] == {"learning_rate": 4e-3}
    assert found["variants"]["wpse-gaussian"]["chosen"] == {"learning_rate": 1e-3}
    assert [tried["held_out_loss"] for tried in found["variants"]["cosine"]["tried"]] == [2.0, 1.0]
    runs = load.resolve(
        experiment, {name: variant["chosen"] for name, variant in found["variants"].items()}
    )
    freeze_runs(runs, tmp_path)
    assert (
        load.read_run(tmp_path / "runs" / runs[0].run / "config.json").training.learning_rate
        == 4e-3
    )


def carded(trials, folder, *cards):
    for trial, card in zip(trials, cards, strict=True):
        document = {"config_hash": trial.config.hash, **card}
        files.write_json(folder / trial.config.run / "model.json", document)


def loss(value):
    return {"held_out_loss": value}


DIVERGED = {"held_out_loss": None, "diverged": "loss not finite in 6 steps in a row"}


def test_a_trial_that_diverged_has_an_infinite_loss(tuned, tmp_path):
    trials = load.search(tuned())
    carded(trials, tmp_path, DIVERGED, loss(5.0), loss(3.0), loss(4.0))
    searches = choose(trials, tmp_path, "held-out loss")["variants"]
    assert searches["cosine"]["chosen"] == {"learning_rate": 4e-3}
    assert [tried["held_out_loss"] for tried in searches["cosine"]["tried"]] == [None, 5.0]


def test_a_variant_of_which_all_diverged_is_refused(tuned, tmp_path):
    trials = load.search(tuned())
    carded(trials, tmp_path, loss(1.0), loss(5.0), DIVERGED, DIVERGED)
    with pytest.raises(UserError, match="every one of the 2 settings that wpse-gaussian tried"):
        choose(trials, tmp_path, "held-out loss")


def test_several_seeds_of_a_search_decide_by_their_mean(tuned, tmp_path):
    experiment = tuned({"seeds": 2})
    trials = load.search(experiment)
    assert [trial.config.seed for trial in trials] == [1000, 1001] * 4
    assert len({trial.config.run for trial in trials}) == 8
    losses = (1.0, 4.0, 2.0, 2.5, 3.0, 3.0, 1.0)
    carded(trials, tmp_path, *map(loss, losses), DIVERGED)
    searches = choose(trials, tmp_path, "held-out loss")["variants"]
    assert searches["cosine"]["chosen"] == {"learning_rate": 4e-3}
    assert [tried["held_out_loss"] for tried in searches["cosine"]["tried"]] == [2.5, 2.25]
    # One of two trainings at a setting diverged, and so the setting is out.
    assert searches["wpse-gaussian"]["chosen"] == {"learning_rate": 1e-3}
    record = TuningRecord(rule="held-out loss", variants=searches)
    assert list(record.variants["cosine"].tried[0].runs.values()) == [1.0, 4.0]


def test_reported_seeds_are_none_of_the_search(tuned):
    with pytest.raises(UserError, match=r"tuning.seed 1 is one of the reported seeds"):
        load.resolve(tuned({"seed": 0, "seeds": 2}, seeds=[1, 5]))


def searched_twice():
    return [
        {"similarity": "cosine", "label": f"search-{seed}", "fixed_seeds": {"tuning": seed}}
        for seed in (2000, 3000)
    ]


def test_a_variant_may_be_searched_at_seeds_of_its_own(tuned):
    wide = {"grid": {"learning_rate": [n * 1e-4 for n in range(1, 40)]}, "trials": 3, "seeds": 2}
    experiment = tuned(wide, variants=[*searched_twice(), "cosine"])
    trials = load.search(experiment)
    seeds = {
        name: [trial.config.seed for trial in trials if trial.variant.name == name][:2]
        for name in ("search-2000", "search-3000", "cosine")
    }
    assert list(seeds.values()) == [[2000, 2001], [3000, 3001], [1000, 1001]]
    # Which points of the grid are tried is drawn there, too.
    tried = {
        name: {trial.values["learning_rate"] for trial in trials if trial.variant.name == name}
        for name in seeds
    }
    assert len(set(map(frozenset, tried.values()))) == 3
    chosen = {name: {"learning_rate": 1e-3} for name in seeds}
    runs = load.resolve(experiment, chosen)
    assert len({run.hash for run in runs}) == len(runs) == 6


def test_its_seeds_are_none_of_the_reported_ones(tuned):
    with pytest.raises(UserError, match=r"tuning.seed 2000 is one of the reported seeds"):
        load.resolve(tuned(variants=searched_twice(), seeds=[2000]))


def test_a_seed_of_a_search_that_there_is_not_is_refused(tmp_path):
    path = tmp_path / "untuned.yaml"
    untuned = {key: value for key, value in TUNED.items() if key != "tuning"}
    path.write_text(yaml.safe_dump(untuned | {"variants": searched_twice()}))
    with pytest.raises(UserError, match=r"fixes the seed 'tuning'.*add a section `tuning`"):
        load.load(str(path))


def test_a_search_of_one_seed_names_runs_as_before_there_could_be_several(tuned):
    """The names of committed results hold."""
    one, two = (load.resolve(tuned({"seeds": number}))[0] for number in (1, 2))
    assert "seeds" not in tuned().tuning.identity and one.run != two.run
    assert one.run == load.resolve(tuned())[0].run


def test_a_trial_of_another_configuration_is_refused(tuned, tmp_path):
    trials = load.search(tuned())
    files.write_json(
        tmp_path / trials[0].config.run / "model.json", {"config_hash": "0", "held_out_loss": 1.0}
    )
    with pytest.raises(UserError, match="is of another configuration or has no held-out loss"):
        choose(trials, tmp_path, "held-out loss")


def test_towers_of_a_variant_may_differ(tuned):
    variants = ["cosine", {"similarity": "cosine", "label": "narrow", "towers": {"embed_dim": 4}}]
    runs = load.resolve(tuned(variants=variants))
    assert {run.variant: run.towers.embed_dim for run in runs} == {"cosine": 64, "narrow": 4}
    with pytest.raises(UserError, match="tower configuration"):
        load.resolve(tuned(variants=[{"similarity": "cosine", "towers": {"embed_dims": 4}}]))
