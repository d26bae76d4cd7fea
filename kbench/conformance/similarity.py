"""What every similarity must do, whatever its formula. Double precision throughout, on small random
sets.
"""

from functools import partial

import torch

from kbench import similarity
from kbench.errors import UserError
from kbench.similarity import estimators
from kbench.similarity.base import Similarity
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import PointSet

TOLERANCE = 1e-9
"""Largest difference, relative to the largest score, that rounding explains."""

DIMENSION, FEATURES, TOKEN_IDS, POSITIONS = 6, 8, 5, 3


def describes_itself(name: str) -> str | None:
    """It has a formula and a source of one line, and every setting a default and a description."""
    variant = similarity.get(name)
    for key in ("formula", "source"):
        text = getattr(variant, key, "")
        if not text or "\n" in text:
            return f"`{key}` has to be one line of text; it is {text!r}"
    bare = [
        key
        for key, f in variant.Settings.model_fields.items()
        if f.is_required() or not f.description
    ]
    return f"settings without a default or a description: {', '.join(bare)}" if bare else None


def agrees_with_its_reference(name: str) -> str | None:
    """Its scores are those of its own formula, written as a plain loop in `reference`."""
    variant = made(name)
    if type(variant).reference is Similarity.reference:
        return (
            "it has no `reference`: the formula once more, as a plain loop over two sets of points"
        )
    images, texts = pair(variant)
    for draw in draws(variant):
        expected = Similarity.straightforward(variant, images, texts, draw)
        if problem := apart(
            variant.scores(images, texts, draw), expected, "the scores", "the reference", draw
        ):
            return problem
    return None


def ignores_the_order_of_points(name: str) -> str | None:
    """A set is a set: the order of its points changes nothing."""
    variant = made(name)
    images, texts = pair(variant)
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = PointSet(images.points[:, order], images.weights[:, order])
    for draw in draws(variant):
        orders = variant.scores(shuffled, texts, draw), variant.scores(images, texts, draw)
        if problem := apart(*orders, "scores of reordered points", "those before", draw):
            return problem
    return None


def scores_are_inner_products_of_its_features(name: str) -> str | None:
    """Where it gives explicit features, the link of their inner product is the score."""
    variant = made(name)
    images, texts = pair(variant)
    for draw in draws(variant):
        left, right = (
            variant.represent(images, "image", draw),
            variant.represent(texts, "text", draw),
        )
        if "features" in left:
            linked = variant.link(left["features"] @ right["features"].T)
            scores = variant.scores(images, texts, draw)
            if problem := apart(scores, linked, "the scores", "inner products of features", draw):
                return problem
    return None


def has_right_gradients(name: str) -> str | None:
    """Gradients are those of finite differences."""
    variant = made(name)
    dim = variant.point_dimension(DIMENSION)
    images, texts = sets(2, 3, 1, dim), sets(3, 2, 2, dim)
    leaves = [
        x.requires_grad_() for x in (images.points, images.weights, texts.points, texts.weights)
    ]
    for draw in draws(variant):
        try:
            # Of many numbers along random directions, which takes seconds less.
            torch.autograd.gradcheck(partial(_scores, variant, draw), leaves, fast_mode=dim > 32)
        except (RuntimeError, AssertionError) as error:
            return (
                f"gradients are not those of finite differences{_by(draw)}:"
                f" {' '.join(str(error).split())[:200]}"
            )
    return None


def stays_finite_on_hard_sets(name: str) -> str | None:
    """Identical, antipodal, single and zero points, and weights at their bounds, give finite scores
    and gradients.
    """
    variant = made(name)
    for case, both in hard_sets(variant).items():
        for draw in draws(variant):
            leaves = [tuple(x.clone().requires_grad_() for x in side) for side in both]
            try:
                scores = variant.scores(*(PointSet(*side) for side in leaves), draw)
            except UserError as error:
                return f"not finite on {case}{_by(draw)}: {error}"
            scores.sum().backward()
            inputs = [x for side in leaves for x in side]
            gradients = [x.grad for x in inputs if x.grad is not None]
            bad = sum(int((~x.isfinite()).sum()) for x in (scores, *gradients))
            if bad:
                return f"{bad} scores or gradients not finite on {case}{_by(draw)}"
    return None


def draws_from_its_generator_alone(name: str) -> str | None:
    """The same generator draws the same random features, and no other source of randomness is
    touched.
    """
    variant, state = similarity.create(name), torch.get_rng_state()
    one, same, other = (random_features(variant, seed) for seed in (1, 1, 2))
    if not torch.equal(torch.get_rng_state(), state):
        return "drawing random features moves torch's global generator"
    if one is None:
        return None
    if not torch.equal(one.frequencies, same.frequencies) or not torch.equal(
        one.phases, same.phases
    ):
        return "two generators of the same seed draw different random features"
    alike = torch.equal(one.frequencies, other.frequencies)
    return "generators of seeds 1 and 2 draw the same frequencies" if alike else None


def names_input_that_is_not_finite(name: str) -> str | None:
    """NaN in a point set is refused and not scored."""
    variant = made(name)
    images, texts = pair(variant)
    texts.points[2, 1] = float("nan")
    for draw in draws(variant):
        try:
            variant.scores(images, texts, draw)
        except UserError:
            continue
        return f"a text point of NaN is scored without a word{_by(draw)}"
    return None


def scores_in_single_precision_under_autocast(name: str) -> str | None:
    """Half-precision input is scored in float32, and so is everything under autocast."""
    variant = made(name)
    images, texts = (PointSet(s.points.bfloat16(), s.weights.bfloat16()) for s in pair(variant))
    for draw in draws(variant):
        with torch.autocast("cpu", torch.bfloat16):
            dtype = variant.scores(images, texts, draw).dtype
        if dtype != torch.float32:
            return f"scores under autocast are {dtype}, not torch.float32{_by(draw)}"
    return None


CHECKS = (
    describes_itself,
    agrees_with_its_reference,
    ignores_the_order_of_points,
    scores_are_inner_products_of_its_features,
    has_right_gradients,
    stays_finite_on_hard_sets,
    draws_from_its_generator_alone,
    names_input_that_is_not_finite,
    scores_in_single_precision_under_autocast,
)


def sets(number: int, points: int, seed: int, dim: int = DIMENSION) -> PointSet:
    """Return random sets of points of about unit norm, with weights of both signs, float64."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(number, points, dim, generator=generator, dtype=torch.float64) / dim**0.5
    return PointSet(drawn, torch.randn(number, points, generator=generator, dtype=torch.float64))


def made(name: str) -> Similarity:
    """Return a similarity, with a small decoder of its own where it has one."""
    variant = similarity.create(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        variant.prepare_decoder(DIMENSION, TOKEN_IDS, POSITIONS)
    return variant.eval()


def pair(variant: Similarity) -> tuple[PointSet, PointSet]:
    """Return four image sets of five points and three text sets of two."""
    dim = variant.point_dimension(DIMENSION)
    return sets(4, 5, 1, dim), sets(3, 2, 2, dim)


def each(batch: PointSet) -> list[PointSet]:
    """Return the sets of a batch one by one."""
    return [
        PointSet(batch.points[i : i + 1], batch.weights[i : i + 1])
        for i in range(len(batch.points))
    ]


def hard_sets(variant: Similarity) -> dict[str, tuple]:
    """Return image and text sets on which formulas with a root, a norm or a logarithm go wrong."""
    drawn = sets(4, 3, 0, variant.point_dimension(DIMENSION)).points
    points = torch.nn.functional.normalize(drawn, dim=-1)
    weights = points.new_tensor([[100.0, -100.0, 100.0]]).repeat(4, 1)
    same = points[:1, :1].repeat(4, 3, 1)
    return {
        "weights at their bounds": ((points, weights), (points.flip(0), -weights)),
        "identical points": ((same, weights), (same, weights)),
        "antipodal points": ((same, weights), (-same, weights)),
        "single points": ((points[:, :1], weights[:, :1]), (points[:, 1:2], weights[:, 1:2])),
        "weights of zero": ((points, 0 * weights), (points, 0 * weights)),
        "points of zero": ((0 * points, weights), (0 * points, weights)),
    }


def random_features(
    variant: Similarity, seed: int, estimator: str | None = None
) -> RandomFeatures | None:
    """Return a small draw."""
    generator = torch.Generator().manual_seed(seed)
    return variant.draw(
        DIMENSION, generator, number=FEATURES, dtype=torch.float64, estimator=estimator
    )


def draws(variant: Similarity) -> list[RandomFeatures | None]:
    """Return every way of scoring: exact, and by the random features of each estimator."""
    if not variant.uses_random_features:
        return [None]
    return [None, *(random_features(variant, 3, name) for name in estimators.names())]


def apart(
    measured: torch.Tensor,
    expected: torch.Tensor,
    what: str,
    than: str,
    draw: RandomFeatures | None,
) -> str | None:
    """Return a sentence if two arrays of scores differ by more than rounding."""
    if measured.shape != expected.shape:
        return (
            f"{what} have shape {tuple(measured.shape)}, {than} {tuple(expected.shape)}{_by(draw)}"
        )
    largest = float((measured - expected).detach().abs().max())
    bound = TOLERANCE * max(1.0, float(expected.detach().abs().max()))
    return (
        None if largest <= bound else f"{what} differ from {than} by up to {largest:.3g}{_by(draw)}"
    )


def _scores(variant: Similarity, draw: RandomFeatures | None, *sets: torch.Tensor) -> torch.Tensor:
    return variant.scores(PointSet(*sets[:2]), PointSet(*sets[2:]), draw)


def _by(draw: RandomFeatures | None) -> str:
    return "" if draw is None else " (with random features)"
