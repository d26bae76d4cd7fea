"""What a caption of the embedded world says, and how probable it is for each scene.

A caption names some attributes of the scene, each by a word of its own or by a more general one, so
captions include one another: 'a red circle', 'something red' and 'a shape' may all be said of the
same image.
"""

from itertools import product

import numpy as np

from kbench.world.scenes import ATTRIBUTES, DIGITS, Scene

# A template carries no information about the scene: it only makes surface forms vary, as in real
# corpora.
TEMPLATES = {"{c}": 0.50, "a photo of {c}": 0.25, "a picture of {c}": 0.25}

# Which attributes a caption names, and how often, in a world of specificity 0.
NAMED = {
    ("glyph", "colour", "size", "background"): 0.15,
    ("glyph", "colour", "size"): 0.14,
    ("glyph", "colour"): 0.22,
    ("glyph", "colour", "background"): 0.10,
    ("glyph",): 0.18,
    ("colour",): 0.05,
    ("glyph", "size"): 0.06,
    ("background",): 0.04,
    ("glyph", "background"): 0.03,
    ("size",): 0.03,
}

_GLYPH_FAMILIES = {
    "round shape": ("circle", "ring"),
    "polygon": ("square", "triangle"),
    "pointed shape": ("star", "cross"),
    "even digit": DIGITS[0::2],
    "odd digit": DIGITS[1::2],
}
_TONES = {
    "warm": ("red", "orange", "yellow"),
    "cool": ("green", "blue", "purple"),
    "pale": ("white",),
}
# Words before which English has 'an' ('one' begins with a consonant's sound).
_AN = ("orange", "even", "odd", "eight")
_UNRELATED_WORD = 0.05


def describe(
    glyph: str | None = None,
    colour: str | None = None,
    size: str | None = None,
    background: str | None = None,
) -> str:
    """Return the caption that names these words, e.g. 'a small red circle on a gray background',
    'something red'.
    """
    words = [size, colour, glyph] if glyph else ["something", size, colour]
    text = " ".join(word for word in words if word)
    if glyph:
        text = ("an " if text.startswith(_AN) else "a ") + text
    return f"{text} on a {background} background" if background else text


def describe_scene(scene: Scene, named: tuple[str, ...]) -> str:
    """Return the caption that names these attributes of the scene by their own words."""
    return describe(**{attribute: getattr(scene, attribute) for attribute in named})


def caption_table(
    scenes: list[Scene], prior: np.ndarray, shares: dict[tuple[str, ...], float]
) -> tuple[list[dict[str, str]], np.ndarray]:
    """Return the words of the C captions, each by the attribute that it names, and q(y | a),
    (S, C) float64, rows summing to 1.

    shares: how often which attributes are named. All captions differ; none has a template. q(y | a)
    is the probability of naming these attributes times that of each one's word. With probability
    0.05 a word is drawn from its marginal instead of from the scene's words, so every caption is
    possible for every scene.
    """
    vocabularies = {attribute: _word_table(scenes, prior, attribute) for attribute in ATTRIBUTES}
    named_words, blocks = [], []
    for named, share in shares.items():
        words, tables = zip(*(vocabularies[attribute] for attribute in named), strict=True)
        named_words += [dict(zip(named, choice, strict=True)) for choice in product(*words)]
        block = np.full((len(scenes), 1), share)
        for table in tables:
            block = (block[:, :, None] * table[:, None, :]).reshape(len(scenes), -1)
        blocks.append(block)
    return named_words, np.concatenate(blocks, axis=1)


def _word_table(
    scenes: list[Scene], prior: np.ndarray, attribute: str
) -> tuple[list[str], np.ndarray]:
    """Return the W words for an attribute and their probability given each scene, (S, W)."""
    of_scenes = [_words(scene, attribute) for scene in scenes]
    words = list(dict.fromkeys(word for of_scene in of_scenes for word in of_scene))
    own = np.array([[of_scene.get(word, 0.0) for word in words] for of_scene in of_scenes])
    return words, (1 - _UNRELATED_WORD) * own + _UNRELATED_WORD * (prior @ own)


def _words(scene: Scene, attribute: str) -> dict[str, float]:
    """Return the words that fit the scene's attribute, own word first, and their probabilities."""
    own = getattr(scene, attribute)
    if attribute == "glyph":
        return {
            own: 0.75,
            _family(own, _GLYPH_FAMILIES): 0.15,
            "digit" if scene.is_digit else "shape": 0.10,
        }
    if attribute == "colour":
        return {own: 0.85, _family(own, _TONES): 0.15}
    return {own: 1.0}


def _family(word: str, families: dict[str, tuple[str, ...]]) -> str:
    return next(name for name, members in families.items() if word in members)
