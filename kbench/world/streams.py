"""What the world's folders hold: streams of samples, each a mapping from a member's suffix to its
bytes.

Held-out digits appear in the test split of world-digits and nowhere else. Retrieval images and
fresh pairs show training digits, placed and coloured anew, because they are to come from the
corpus' own distribution.
"""

import io
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from kbench.world.captions import TEMPLATES, describe, describe_scene
from kbench.world.digits import DigitImages
from kbench.world.model import RowSampler, World
from kbench.world.render import render
from kbench.world.scenes import ATTRIBUTES, alternatives, words_of_shapes
from kbench.world_family import Family

Sample = dict[str, bytes]

CAPTIONS_A_CORPUS_IMAGE = 10
CAPTIONS_A_RETRIEVAL_IMAGE = 5

# Sets of shapes whose class is the caption naming these attributes, and whether classes are equally
# frequent.
SHAPE_SETS: dict[str, tuple[tuple[str, ...], bool]] = {
    "world-shape": (("glyph",), False),
    "world-colour": (("colour",), False),
    "world-size": (("size",), False),
    "world-background": (("background",), False),
    "world-shape-colour": (("glyph", "colour"), True),
}


def corpus(
    world: World, rng: np.random.Generator, number: int, digits: DigitImages
) -> Iterator[Sample]:
    """Yield images from the prior, each with ten captions drawn independently from p(y | a), one a
    line.
    """
    scenes = world.sample_scenes(rng, number)
    captions = world.sample_captions(rng, np.repeat(scenes, CAPTIONS_A_CORPUS_IMAGE))
    texts = world.sample_texts(rng, captions)
    for index, scene in enumerate(scenes.tolist()):
        lines = texts[index * CAPTIONS_A_CORPUS_IMAGE : (index + 1) * CAPTIONS_A_CORPUS_IMAGE]
        yield _image(world, scene, rng, digits) | _text(lines) | _json(scene=scene)


def pairs(
    world: World, rng: np.random.Generator, number: int, digits: DigitImages
) -> Iterator[Sample]:
    """Yield image-caption pairs drawn from the joint; the .json holds the indices of scene and
    caption in World, and which world that is, unless it is the plain one.
    """
    family = {} if world.family.is_plain else {"world": world.family}
    scenes = world.sample_scenes(rng, number)
    captions = world.sample_captions(rng, scenes)
    texts = world.sample_texts(rng, captions)
    for scene, caption, text in zip(scenes.tolist(), captions.tolist(), texts, strict=True):
        yield (
            _image(world, scene, rng, digits)
            | _text([text])
            | _json(scene=scene, caption=caption, **family)
        )


def retrieval(
    world: World, rng: np.random.Generator, number: int, digits: DigitImages
) -> Iterator[Sample]:
    """Yield images with five captions each, such that a caption points to few images.

    Scenes are spread evenly (none occurs twice before each has occurred once) and captions name all
    four attributes, drawn from q(y | a), unrelated words included. So PMI itself, the best score
    there is, has an image recall of about 0.45, 0.85, 0.93 at 1, 5, 10 and a text recall of 0.60,
    0.99, 1.00 (500 images). With scenes from the prior and captions from p(y | a) its recall at 1
    would be 0.10 and 0.26: 'a shape' fits most images.
    """
    scenes = _evenly(range(len(world.scenes)), rng, number)
    full = RowSampler(world.q * (world.specificity == len(ATTRIBUTES)))
    texts = world.sample_texts(rng, full.sample(rng, np.repeat(scenes, CAPTIONS_A_RETRIEVAL_IMAGE)))
    for index, scene in enumerate(scenes.tolist()):
        lines = texts[index * CAPTIONS_A_RETRIEVAL_IMAGE : (index + 1) * CAPTIONS_A_RETRIEVAL_IMAGE]
        yield _image(world, scene, rng, digits) | _text(lines) | _json(scene=scene)


def negatives(
    world: World, rng: np.random.Generator, number: int, digits: DigitImages
) -> Iterator[Sample]:
    """Yield images with two captions: what is there, and the same with one attribute that is not.

    As in the sets of SugarCrepe (arXiv 2306.14610) that replace a word. Scenes are spread evenly;
    which attributes are named follows the captions' own shares, and which of them is replaced, and
    by what, is drawn evenly. PMI itself is right about every image: a word that does not fit is
    said of an image in one case of twenty.
    """
    choices = list(world.named)
    for scene in _evenly(range(len(world.scenes)), rng, number).tolist():
        named = choices[rng.choice(len(choices), p=list(world.named.values()))]
        words = {attribute: getattr(world.scenes[scene], attribute) for attribute in named}
        replaced = str(rng.choice(named))
        others = alternatives(world.scenes[scene], replaced, world.family)
        wrong = words | {replaced: str(rng.choice(others))}
        template = str(rng.choice(list(TEMPLATES), p=list(TEMPLATES.values())))
        lines = [template.replace("{c}", describe(**said)) for said in (words, wrong)]
        yield _image(world, scene, rng, digits) | _text(lines) | _json(scene=scene)


def _evenly(scenes: Sequence[int], rng: np.random.Generator, number: int) -> np.ndarray:
    """Return some of these scenes, (number,), of which none occurs twice before each has occurred
    once.
    """
    repeats = -(-number // len(scenes))
    return np.concatenate([rng.permutation(scenes) for _ in range(repeats)])[:number]


def shape_classes(world: World, name: str) -> dict[str, np.ndarray]:
    """Return the classes of one of SHAPE_SETS: class name, itself a caption, -> indices of its
    scenes.
    """
    named, _ = SHAPE_SETS[name]
    members: dict[str, list[int]] = {}
    for index, scene in enumerate(world.scenes):
        if not scene.is_digit:
            members.setdefault(describe_scene(scene, named), []).append(index)
    return {label: np.array(indices) for label, indices in members.items()}


def shapes(world: World, rng: np.random.Generator, number: int, name: str) -> Iterator[Sample]:
    """Yield labelled images of one of SHAPE_SETS, in random order.

    Scenes follow the world's prior among shapes, except that the classes of world-shape-colour, 42
    in the plain world, the rarest of which has a share of 0.7 %, are equally frequent. Classes get
    their shares as exactly as whole numbers allow, so that none is missing by chance; within a
    class scenes are drawn from the prior.
    """
    classes = list(shape_classes(world, name).values())
    weights = [1.0 if SHAPE_SETS[name][1] else world.prior[members].sum() for members in classes]
    drawn = [
        (label, scene)
        for label, (members, count) in enumerate(zip(classes, quotas(weights, number), strict=True))
        for scene in rng.choice(
            members, size=count, p=world.prior[members] / world.prior[members].sum()
        ).tolist()
    ]
    for index in rng.permutation(number).tolist():
        label, scene = drawn[index]
        yield _image(world, scene, rng, {}) | _label(label)


def shape_words(world: World) -> list[tuple[str, str]]:
    """Return (attribute, word) of all that can be said of a shape: the classes of
    world-attributes.
    """
    words = words_of_shapes(world.family)
    return [(attribute, word) for attribute in ATTRIBUTES for word in words[attribute]]


def attributes(world: World, rng: np.random.Generator, number: int) -> Iterator[Sample]:
    """Yield images of shapes, spread evenly, labelled with all four attributes: which of
    `shape_words` they show, as float32, CLIP_benchmark's form of several labels.
    """
    words = shape_words(world)
    shapes = [index for index, scene in enumerate(world.scenes) if not scene.is_digit]
    for scene in _evenly(shapes, rng, number).tolist():
        shown = [getattr(world.scenes[scene], name) == word for name, word in words]
        yield _image(world, scene, rng, {}) | _labels(shown)


def digits(
    world: World, rng: np.random.Generator, number: int, images: DigitImages
) -> Iterator[Sample]:
    """Yield `number` different images of the given digits in random order, labelled 0 to 9, in
    their own shares.

    All of them if `number` is their number; raises ValueError if it is larger.
    """
    counts = quotas([len(of_digit) for of_digit in images.values()], number)
    chosen = [
        (label, name, index)
        for label, (name, count) in enumerate(zip(images, counts, strict=True))
        for index in rng.choice(len(images[name]), size=count, replace=False).tolist()
    ]
    scene_of = {scene.glyph: index for index, scene in enumerate(world.scenes) if scene.is_digit}
    for position in rng.permutation(number).tolist():
        label, name, index = chosen[position]
        yield _image(world, scene_of[name], rng, {name: images[name][index : index + 1]}) | _label(
            label
        )


def quotas(weights: Iterable[float], number: int) -> list[int]:
    """Divide `number` in proportion to the weights into whole numbers, by largest remainder."""
    shares = np.asarray(list(weights), dtype=np.float64)
    exact = shares * number / shares.sum()
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: number - counts.sum()]] += 1
    return counts.tolist()


def _image(world: World, scene: int, rng: np.random.Generator, digits: DigitImages) -> Sample:
    return {"png": _png(render(world.scenes[scene], rng, digits))}


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _text(lines: list[str]) -> Sample:
    return {"txt": "\n".join(lines).encode()}


def _label(label: int) -> Sample:
    return {"cls": str(label).encode()}


def _labels(shown: list[bool]) -> Sample:
    buffer = io.BytesIO()
    np.save(buffer, np.array(shown, dtype=np.float32))
    return {"npy": buffer.getvalue()}


def _json(**indices: int | Family) -> Sample:
    return {"json": json.dumps(indices).encode()}
