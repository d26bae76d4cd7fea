"""The tables of the world against an independent, slow reading of its rules, and draws against the
tables.
"""

import math
import re

import numpy as np
import pytest
from scipy import stats

from kbench.errors import UserError
from kbench.world.captions import TEMPLATES
from kbench.world.scenes import Scene

# The rules once more, written down independently of the package.
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "white"]
BACKGROUNDS = ["black", "gray", "pink", "cyan"]
SHAPES = {
    "circle": 0.25,
    "ring": 0.10,
    "square": 0.22,
    "triangle": 0.18,
    "star": 0.14,
    "cross": 0.11,
}
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
FAMILY = {
    "circle": "round shape",
    "ring": "round shape",
    "square": "polygon",
    "triangle": "polygon",
}
FAMILY |= {"star": "pointed shape", "cross": "pointed shape"}
FAMILY |= {name: "odd digit" if index % 2 else "even digit" for index, name in enumerate(DIGITS)}
TONE = dict(zip(COLOURS, ["warm"] * 3 + ["cool"] * 3 + ["pale"], strict=True))
NAMED = {
    "gcsb": 15,
    "gcs": 14,
    "gc": 22,
    "gcb": 10,
    "g": 18,
    "c": 5,
    "gs": 6,
    "b": 4,
    "gb": 3,
    "s": 3,
}
RED_CIRCLE = ("circle", "red", "small", "gray")


def slow_prior(scene: Scene) -> float:
    if scene.glyph in DIGITS:
        return 0.4 / (DIGITS.index(scene.glyph) + 6) / sum(1 / (d + 6) for d in range(10))
    g, c, b = (
        list(SHAPES).index(scene.glyph),
        COLOURS.index(scene.colour),
        BACKGROUNDS.index(scene.background),
    )
    colour = 1 / (2 + (c - g) % 7) / sum(1 / (2 + k) for k in range(7))
    background = 1 / (1 + (b - c) % 4) / sum(1 / (1 + k) for k in range(4))
    small = 0.45 if g % 2 == 0 else 0.6
    return (
        0.6
        * SHAPES[scene.glyph]
        * colour
        * background
        * (small if scene.size == "small" else 1 - small)
    )


def own_word_probability(attribute: str, word: str, scene: Scene) -> float:
    if attribute == "g":
        kind = "digit" if scene.glyph in DIGITS else "shape"
        return {scene.glyph: 0.75, FAMILY[scene.glyph]: 0.15, kind: 0.10}.get(word, 0.0)
    if attribute == "c":
        return {scene.colour: 0.85, TONE[scene.colour]: 0.15}.get(word, 0.0)
    return float(word == (scene.size if attribute == "s" else scene.background))


def parse(caption: str) -> dict[str, str]:
    """Return the words of a caption by attribute."""
    head, _, tail = caption.partition(" on a ")
    words = {"b": tail.removesuffix(" background")} if tail else {}
    rest = re.sub(r"^(an?|something) ?", "", head).split()
    if rest and rest[0] in ("small", "big"):
        words["s"] = rest.pop(0)
    if rest and (rest[0] in COLOURS or rest[0] in TONE.values()):
        words["c"] = rest.pop(0)
    if rest:
        words["g"] = " ".join(rest)
    return words


def slow_q(caption: str, scenes: list[Scene], marginals: dict) -> list[float]:
    words = parse(caption)
    share = NAMED["".join(letter for letter in "gcsb" if letter in words)] / 100
    result = []
    for scene in scenes:
        value = share
        for attribute, word in words.items():
            value *= (
                0.95 * own_word_probability(attribute, word, scene)
                + 0.05 * marginals[attribute, word]
            )
        result.append(value)
    return result


@pytest.fixture(scope="module")
def marginals(world):
    """The probability of each word, by attribute."""
    prior = [slow_prior(scene) for scene in world.scenes]
    pairs = {pair for caption in world.captions for pair in parse(caption).items()}
    return {
        (attribute, word): sum(
            p * own_word_probability(attribute, word, scene)
            for p, scene in zip(prior, world.scenes, strict=True)
        )
        for attribute, word in pairs
    }


def test_sizes_and_normalisation(world):
    assert (len(world.scenes), len(world.captions)) == (346, 3627)
    assert len(set(world.scenes)) == 346
    assert len(set(world.captions)) == 3627
    assert world.prior.sum() == pytest.approx(1, abs=1e-12)
    assert (world.prior > 0).all()
    for table in (world.q, world.p):
        assert table.dtype == np.float64
        assert (table > 0).all()
        np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-12)


def test_prior_follows_the_rules(world):
    np.testing.assert_allclose(
        world.prior, [slow_prior(scene) for scene in world.scenes], rtol=1e-12
    )


def test_pmi_equals_its_definition_computed_slowly(world, marginals):
    for index in range(0, len(world.captions), 40):
        q = slow_q(world.captions[index], world.scenes, marginals)
        marginal = sum(p * value for p, value in zip(map(slow_prior, world.scenes), q, strict=True))
        np.testing.assert_allclose(world.q[:, index], q, rtol=1e-9)
        expected = [math.log((0.97 * value + 0.03 * marginal) / marginal) for value in q]
        np.testing.assert_allclose(world.pmi[:, index], expected, rtol=0, atol=1e-9)


def test_pmi_is_finite_and_has_its_floor(world):
    assert np.isfinite(world.pmi).all()
    assert world.pmi.min() > math.log(0.03)
    assert world.pmi.max() == pytest.approx(8.16, abs=0.01)


def test_mismatched_captions_leave_the_marginal_as_it_is(world):
    np.testing.assert_allclose(world.prior @ world.p, world.prior @ world.q, rtol=1e-12)


def test_mutual_information_is_that_of_joint_entropies(world):
    joint = world.prior[:, None] * world.p
    entropy = (
        stats.entropy(world.prior) + stats.entropy(joint.sum(axis=0)) - stats.entropy(joint.ravel())
    )
    assert world.mutual_information == pytest.approx(entropy, abs=1e-9)
    assert world.mutual_information == pytest.approx(2.61, abs=0.005)


def test_captions_of_one_scene_include_one_another(world):
    """Each may be said of the scene, far more readily than of one it does not fit."""
    fits, unlike = (
        world.scenes.index(Scene(*words))
        for words in (RED_CIRCLE, ("six", "white", "big", "black"))
    )
    for caption in (
        "a small red circle on a gray background",
        "a red circle",
        "something red",
        "a shape",
    ):
        index = world.caption_index(caption)
        assert world.q[fits, index] > 5 * world.q[unlike, index]


def test_a_general_caption_fits_all_it_names(world):
    shapes = np.array([not scene.is_digit for scene in world.scenes])
    of_shapes = world.q[shapes, world.caption_index("a shape")]
    np.testing.assert_allclose(of_shapes, 0.18 * (0.95 * 0.10 + 0.05 * 0.6 * 0.10), rtol=1e-12)


def test_more_general_captions_carry_less_information(world):
    scene = world.scenes.index(Scene(*RED_CIRCLE))
    chain = [
        "a small red circle on a gray background",
        "a small red circle",
        "a red circle",
        "a circle",
        "a shape",
    ]
    values = [world.pmi[scene, world.caption_index(caption)] for caption in chain]
    assert values == sorted(values, reverse=True)


def test_specificity_counts_the_attributes_named(world):
    assert world.specificity.tolist() == [len(parse(caption)) for caption in world.captions]


def test_article(world):
    assert {"an orange ring", "an eight", "an even digit", "a one", "a red circle"} <= set(
        world.captions
    )


def test_scenes_are_drawn_from_the_prior(world):
    drawn = np.bincount(
        world.sample_scenes(np.random.default_rng(0), 200_000), minlength=len(world.scenes)
    )
    assert stats.chisquare(drawn, world.prior * drawn.sum()).pvalue > 1e-3


@pytest.mark.parametrize("scene", [0, 170, 345])
def test_captions_are_drawn_from_p(world, scene):
    number = 200_000
    captions = world.sample_captions(np.random.default_rng(scene), np.full(number, scene))
    observed, expected = (
        np.bincount(captions, minlength=len(world.captions)),
        world.p[scene] * number,
    )
    # The chi-square law needs a few counts a cell: rare captions are pooled.
    common = expected >= 5
    observed = np.append(observed[common], observed[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    assert common.sum() > 20
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_captions_keep_the_shape_of_the_scenes(world):
    scenes = np.array([[0, 1, 2], [343, 344, 345]])
    assert world.sample_captions(np.random.default_rng(0), scenes).shape == (2, 3)


def test_templates_are_drawn_with_their_shares_and_undone(world):
    rng = np.random.default_rng(0)
    captions = rng.integers(len(world.captions), size=20_000)
    texts = world.sample_texts(rng, captions)
    assert [world.caption_index(text) for text in texts] == captions.tolist()
    counts = [
        sum(text.startswith(start) for text in texts) for start in ("a photo of ", "a picture of ")
    ]
    counts = [len(texts) - sum(counts), *counts]
    assert stats.chisquare(counts, [10_000, 5_000, 5_000]).pvalue > 1e-3


@pytest.mark.parametrize(
    "text", ["a purple dog", "", "a photo of", "a photo of a photo of a circle", "a circle "]
)
def test_a_text_the_world_cannot_say_is_refused(world, text):
    with pytest.raises(UserError, match="no caption of the embedded world"):
        world.caption_index(text)


def test_every_caption_in_every_template_has_its_index(world):
    for template in TEMPLATES:
        for index in range(0, len(world.captions), 7):
            assert world.caption_index(template.format(c=world.captions[index])) == index
