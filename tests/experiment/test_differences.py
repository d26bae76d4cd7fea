"""The list of differences from the released recipe leaves nothing out that a setting can change."""

import pytest
from pydantic import BaseModel
from tiny import ROOT

from kbench.errors import UserError
from kbench.experiment import differences, load, recipe
from kbench.experiment.schema import Evaluation, RandomFeatureSettings, Training
from kbench.measures.settings import LinearProbeSettings
from kbench.towers.config import TowerConfig

RECIPE = recipe.load()
SECTIONS = {
    "training": (Training, RECIPE.training),
    "evaluation.random_features": (RandomFeatureSettings, RECIPE.random_features),
    "evaluation.linear_probe": (LinearProbeSettings, RECIPE.linear_probe),
}


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def changed(experiment, **parts):
    return experiment.model_copy(update=parts)


@pytest.mark.parametrize("place", SECTIONS)
def test_every_setting_is_compared_or_said_why_not(place):
    """A setting that is added later fails here until the recipe says what the release does."""
    section, released = SECTIONS[place]
    unsaid = {key for key in section.model_fields if f"{place}.{key}" in RECIPE.not_compared}
    assert unsaid.isdisjoint(released)
    assert set(section.model_fields) == unsaid | set(released)


def test_every_key_that_is_not_compared_exists():
    known = {f"towers.{key}" for key in TowerConfig.model_fields}
    known |= {f"evaluation.{key}" for key in Evaluation.model_fields}
    known |= {
        f"{place}.{key}" for place, (section, _) in SECTIONS.items() for key in section.model_fields
    }
    assert set(RECIPE.not_compared) <= known
    others = {f"evaluation.{key}" for key in Evaluation.model_fields}
    assert others <= set(RECIPE.not_compared), "evaluation's own keys are looked at one by one"


@pytest.mark.parametrize("name", ["cc3m", "cc12m"])
def test_the_shipped_reproduction_differs_in_what_the_release_leaves_open_only(name):
    said = differences.of(load.load(name))
    standing = [difference.sentence() for difference in RECIPE.differences.values()]
    assert said[-len(standing) :] == standing, "in full"
    starts = ["wpse-imq: a1", "wpse-imq: a2", "tuning", "random features in evaluation: draws 5"]
    own = said[: -len(standing)]
    assert [sentence for sentence in own if not sentence.startswith(tuple(starts))] == []
    assert len(own) == len(starts)


def other(value: object) -> object:
    """Return another legal value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2
    if isinstance(value, tuple):
        return value[::-1]
    return None if isinstance(value, BaseModel) else "another"


@pytest.mark.parametrize(
    ("place", "key"),
    [(place, key) for place, (_, released) in SECTIONS.items() for key in released],
)
def test_every_setting_of_the_recipe_that_is_changed_is_said(place, key):
    experiment = load.load("cc3m")
    said = set(differences.of(experiment))
    *parents, leaf = place.split(".")
    owner = experiment.evaluation if parents else experiment
    section = getattr(owner, leaf)
    seen = getattr(section, key)
    part = section.model_copy(update={key: 1.0 if seen is None else other(seen)})
    inner = part if not parents else experiment.evaluation.model_copy(update={leaf: part})
    mutated = changed(experiment, **{parents[0] if parents else leaf: inner})
    assert set(differences.of(mutated)) - said, key


@pytest.mark.parametrize(
    "key",
    sorted(
        set(TowerConfig.model_fields)
        - {"name", "backbone", "custom_text", *differences.ARCHITECTURE}
    ),
)
def test_every_other_key_of_the_towers_is_said(key):
    experiment = load.load("cc3m")
    values = {"quick_gelu": False, "layer_norm_eps": 1e-5, "padding_embeddings": "shared"}
    values |= {"long_captions": "keep-end", "released_projection": False}
    values |= {"preprocessing": {"resize_mode": "squash"}}
    variant = experiment.variants[1].model_copy(update={"towers": {key: values[key]}})
    said = differences.of(changed(experiment, variants=(variant,)))
    assert any(sentence.startswith(f"wpse-gaussian: {key}") for sentence in said)


def test_a_released_value_written_out_is_no_difference():
    experiment = load.load("cc3m")
    variant = experiment.variants[1].model_copy(
        update={"set": {"sigma": 0.5, "a1": 0.667, "a2": 0.333}}
    )
    assert not [
        s
        for s in differences.of(changed(experiment, variants=(variant,)))
        if s.startswith("wpse-gaussian")
    ]
    variant = variant.model_copy(update={"set": {"sigma": 0.7}})
    assert "wpse-gaussian: sigma 0.7" in "".join(
        differences.of(changed(experiment, variants=(variant,)))
    )


class TestRecognition:
    def test_a_corpus_is_known_by_its_pairs_and_not_by_its_name(self, tmp_path):
        for name, samples, known in (
            ("mine", 2_900_000, True),
            ("cc3m", 100_000, False),
            ("cc3m", None, False),
        ):
            experiment = load.load("cc3m")
            corpus = experiment.corpus.model_copy(update={"name": name, "samples": samples})
            said = differences.of(changed(experiment, recipe=None, corpus=corpus))
            assert any("precision of the criterion" in sentence for sentence in said) == known
            assert any(sentence.startswith(f"corpus {name}: ") for sentence in said)

    def test_epochs_are_those_of_the_corpus(self):
        experiment = load.load("cc3m")
        training = experiment.training.model_copy(update={"epochs": 35, "warmup_epochs": 1})
        assert "epochs 35, warm-up 1: released 50 and 2 on CC3M" in differences.of(
            changed(experiment, training=training)
        )

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "samples: 2905954",
                "samples: 100000",
                "its corpus has 100,000 pairs; legal, within 1 %: CC3M 2,905,954",
            ),
            ("  samples: 2905954\n", "", "states no number of pairs"),
            (
                "towers: wpse-vit-b-16",
                "towers: cifar",
                "its towers 'cifar' are not those of 'wpse-vit-b-16'",
            ),
            (
                "arxiv-2404.19228",
                "arxiv-2404.19229",
                "unknown recipe 'arxiv-2404.19229'; did you mean",
            ),
        ],
    )
    def test_a_recipe_that_is_claimed_and_not_followed_is_refused(
        self, tmp_path, old, new, message
    ):
        text = (ROOT / "workflow/experiments/cc3m.yaml").read_text()
        assert old in text
        (tmp_path / "claims.yaml").write_text(text.replace(old, new))
        with pytest.raises(UserError, match=message):
            load.load(str(tmp_path / "claims.yaml"))


def test_readme_has_the_list():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    begin, end = "<!-- differences:begin -->\n", "\n<!-- differences:end -->"
    assert text.split(begin)[1].split(end)[0] == differences.markdown(RECIPE)
