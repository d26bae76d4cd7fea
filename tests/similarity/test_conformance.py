"""What every similarity of point sets must do. Variants are found by themselves: a new file in
`variants` is tested as it is. Those with a decoder are in test_generative.py.
"""

import itertools

import numpy as np
import point_sets
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kbench import objective, similarity
from kbench.errors import UserError
from kbench.similarity import base, estimators
from kbench.similarity.scale import UnitScale
from kbench.similarity.sets import PointSet, WeightedTokens

every = pytest.mark.parametrize("name", point_sets.NAMES)
CLOSE = {"rtol": 1e-10, "atol": 1e-13}


def by_reference(variant, images, texts, draw=None):
    """The variant's own formula, point by point and pair by pair."""
    return base.Similarity.straightforward(variant, images, texts, draw).detach()


def draws(variant, dim=6):
    """Every way of scoring: exact, and by the features of each estimator."""
    if not variant.uses_random_features:
        return [None]
    return [None, *(point_sets.draw(variant, dim, estimator=name) for name in estimators.names())]


@every
def test_describes_itself(name):
    variant = similarity.get(name)
    assert variant.name == name
    assert "\n" not in variant.formula and variant.formula and variant.source
    for key, field in variant.Settings.model_fields.items():
        assert not field.is_required() and field.description, (
            f"{key} needs a default and its source"
        )


@every
@settings(max_examples=10, deadline=None)
@given(
    sets=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    tokens=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    dim=st.integers(2, 9),
    seed=st.integers(0, 2**31),
)
def test_scores_agree_with_the_formula_in_double_precision(name, sets, tokens, dim, seed):
    variant = similarity.create(name)
    images = point_sets.sets(sets[0], tokens[0], dim, seed)
    texts = point_sets.sets(sets[1], tokens[1], dim, seed + 1)
    for draw in draws(variant, dim):
        with torch.no_grad():
            scores = variant.scores(images, texts, draw)
        assert scores.dtype == torch.float64 and scores.shape == sets
        torch.testing.assert_close(
            scores, by_reference(variant, images, texts, draw), rtol=1e-10, atol=1e-12
        )


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shorter_floats_are_scored_in_single_precision(name, dtype):
    variant = similarity.create(name)
    images, texts = point_sets.pair(dtype=dtype)
    for draw in draws(variant):
        scores = variant.scores(images, texts, draw)
        assert scores.dtype == torch.float32
        wide = [PointSet(x.points.double(), x.weights.double()) for x in (images, texts)]
        torch.testing.assert_close(
            scores.double(), variant.scores(*wide, draw), rtol=1e-4, atol=1e-5
        )


@every
def test_scores_are_the_inner_product_of_features_where_there_are_any(name):
    variant = similarity.create(name)
    images, texts = point_sets.pair()
    for draw in draws(variant):
        left, right = (
            variant.represent(images, "image", draw),
            variant.represent(texts, "text", draw),
        )
        assert all(len(x) == 4 for x in left.values())
        if "features" in left:
            assert variant.has_features()
            torch.testing.assert_close(
                variant.products(left, right), left["features"] @ right["features"].T, **CLOSE
            )
            torch.testing.assert_close(
                variant.compare(left, right), variant.link(variant.products(left, right))
            )
        else:
            assert draw is None and left.keys() == {"points", "weights"}
    if variant.has_features():
        assert "features" in left, (
            "the last draw is by random features, or there is nothing to draw"
        )


@every
def test_swapping_the_sides_transposes_the_scores_where_that_is_said(name):
    variant = similarity.create(name)
    images, texts = point_sets.pair()
    for draw in draws(variant):
        ours, swapped = variant.scores(images, texts, draw), variant.scores(texts, images, draw).T
        if variant.symmetric:
            torch.testing.assert_close(ours, swapped, **CLOSE)
        else:
            assert not torch.allclose(ours, swapped)


@every
def test_token_order_does_not_matter(name):
    variant = similarity.create(name)
    images, texts = point_sets.pair()
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = PointSet(images.points[:, order], images.weights[:, order])
    for draw in draws(variant):
        torch.testing.assert_close(
            variant.scores(shuffled, texts, draw), variant.scores(images, texts, draw), **CLOSE
        )


@every
def test_points_of_weight_zero_add_nothing(name):
    """Padding changes nothing, or only the number of points in a mean over all of them."""
    variant = similarity.create(name)
    images, texts = point_sets.pair()
    more = point_sets.sets(4, 3, 6, 9)
    padded = PointSet(
        torch.cat([images.points, more.points], 1), torch.cat([images.weights, 0 * more.weights], 1)
    )
    for draw in draws(variant):
        right = variant.represent(texts, "text", draw)
        before, after = (
            variant.products(variant.represent(left, "image", draw), right)
            for left in (images, padded)
        )
        over_all = hasattr(variant.settings, "a1") or variant.takes is WeightedTokens
        torch.testing.assert_close(after, (5 / 8 if over_all else 1) * before, **CLOSE)


@every
def test_gradients_in_double_precision(name):
    variant = similarity.create(name)
    images, texts = point_sets.sets(2, 3, 4, 1), point_sets.sets(3, 2, 4, 2)
    leaves = [
        x.requires_grad_() for x in (images.points, images.weights, texts.points, texts.weights)
    ]

    for draw in draws(variant, 4):

        def score(a, b, c, d, draw=draw):
            return variant.scores(PointSet(a, b), PointSet(c, d), draw)

        assert torch.autograd.gradcheck(score, leaves)


@every
def test_scoring_in_chunks_changes_neither_scores_nor_gradients(name, monkeypatch):
    variant = similarity.create(name)
    results = []
    for numbers in (1 << 25, 1):
        monkeypatch.setattr(base, "PAIRWISE_NUMBERS", numbers)
        images, texts = point_sets.pair()
        images.points.requires_grad_()
        scores = variant.scores(images, texts)
        scores.square().sum().backward()
        results.append((scores.detach(), images.points.grad))
    torch.testing.assert_close(*results, **CLOSE)


@every
def test_state_round_trip(name):
    torch.manual_seed(0)
    first, second = (similarity.create(name, {}, point_sets.WIDTHS) for _ in range(2))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.sub_(0.1)
    second.load_state_dict(first.state_dict())
    draw = point_sets.draw(first, dtype=torch.float32)
    scores = [
        v.logit_scale()
        * v.scores(
            v.embed(point_sets.tower("image"), "image"),
            v.embed(point_sets.tower("text", 3), "text"),
            draw,
        )
        for v in (first, second)
    ]
    torch.testing.assert_close(*scores, rtol=0, atol=0)


@every
def test_what_it_takes_from_the_towers(name):
    torch.manual_seed(0)
    variant = similarity.create(name, {}, point_sets.WIDTHS)
    for side in ("image", "text"):
        output = point_sets.tower(side)
        sets = variant.embed(output, side)
        assert (
            sets.points.shape[0] == 4
            and sets.points.shape[1] in (1, 5)
            and sets.points.shape[2] == variant.point_dimension(6)
        )
        assert sets.weights.shape == sets.points.shape[:2]
        assert sets.weights.abs().max() <= 100
        features = variant.backbone_features(output, side)
        assert features.shape == (4, point_sets.WIDTHS[side])
        (sets.points.sum() + sets.weights.sum() + features.sum()).backward()
        assert output.tokens.grad is not None or output.pooled.grad is not None


@every
def test_draws_depend_on_their_generator_alone(name):
    variant = similarity.create(name)
    state = torch.get_rng_state()
    one, same, other = (point_sets.draw(variant, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    if not variant.uses_random_features:
        assert one is None
        return
    assert torch.equal(one.frequencies, same.frequencies) and torch.equal(one.phases, same.phases)
    assert not torch.equal(one.frequencies, other.frequencies)
    assert point_sets.draw(variant, number=None).frequencies.shape == (variant.settings.features, 6)


@every
def test_the_multiplier_stays_within_its_bounds(name):
    variant = similarity.create(name)
    if variant.multiplier is UnitScale:
        assert variant.logit_scale().item() == 1 and not list(variant.scale.parameters())
        with pytest.raises(UserError, match=r"is 1 in this similarity.*with 2"):
            variant.scale.take_logarithm_(torch.tensor(2.0).log())
        return
    assert variant.logit_scale().item() == pytest.approx(1 / 0.07)
    # Of a log scale the bounds are 0 and 4.6052, of a plain one 1 and 100.
    for step, bound in ((100.0, 100.0), (-300.0, 1.0)):
        with torch.no_grad():
            next(iter(variant.scale.parameters())).add_(step)
        variant.clamp_()
        scale = variant.logit_scale().item()
        assert scale == pytest.approx(bound, rel=1e-4)


def hard_sets(dim=8):
    """Pairs of image and text sets on which formulas with a square root, a norm or a logarithm go
    wrong.
    """
    points = torch.nn.functional.normalize(
        torch.randn(4, 3, dim, generator=point_sets.generator()), dim=-1
    )
    weights = torch.tensor([[100.0, -100.0, 100.0]]).expand(4, 3)
    same = points[:1, :1].expand(4, 3, dim)
    return {
        "extreme weights": ((points, weights), (points.flip(0), -weights)),
        "identical points": ((same, weights), (same, weights)),
        "antipodal points": ((same, weights), (-same, weights)),
        "single points": ((points[:, :1], weights[:, :1]), (points[:, 1:2], weights[:, 1:2])),
        "zero weights": ((points, 0 * weights), (points, 0 * weights)),
        "zero points": ((0 * points, weights), (0 * points, weights)),
    }


@every
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", hard_sets())
def test_loss_and_gradient_are_finite(name, precision, case):
    variant = similarity.create(name)
    sets = [
        PointSet(*(x.detach().clone().requires_grad_() for x in side)) for side in hard_sets()[case]
    ]
    learned = [x.points for x in sets] + [x.weights for x in sets]
    autocast = torch.autocast("cpu", precision, enabled=precision != torch.float32)
    for draw in draws(variant, 8):
        with autocast:
            scores = variant.scores(*sets, draw)
        losses = []
        for criterion, scale in itertools.product(
            map(objective.create, objective.names()), (1, 100)
        ):
            with autocast:
                losses.append(criterion(scale * scores))
            assert losses[-1].dtype == torch.float32 and losses[-1].isfinite()
        # Once for all of them: what is not finite in one is not in their sum.
        gradients = torch.autograd.grad(sum(losses), learned, allow_unused=True)
        assert all(g is None or g.float().isfinite().all() for g in gradients)


@every
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_towers_under_autocast(name, precision):
    torch.manual_seed(0)
    variant = similarity.create(name, {}, point_sets.WIDTHS)
    outputs = {side: point_sets.tower(side) for side in ("image", "text")}
    draw = point_sets.draw(variant, dtype=torch.float32)
    with torch.autocast("cpu", precision):
        sets = [variant.embed(output, side) for side, output in outputs.items()]
        assert sets[0].points.dtype == precision
        scores = variant.scores(*sets, draw)
        loss = objective.create("infonce")(100 * scores)
    assert scores.dtype == torch.float32
    loss.backward()
    gradients = [x.grad for output in outputs.values() for x in (output.tokens, output.pooled)]
    assert all(
        g is None or g.isfinite().all()
        for g in (*gradients, *(p.grad for p in variant.parameters()))
    )


@every
@pytest.mark.parametrize("tensor", ["points", "weights"])
def test_non_finite_input_is_named(name, tensor):
    variant = similarity.create(name)
    images, texts = point_sets.pair()
    getattr(texts, tensor)[2, 1] = float("nan")
    for draw in draws(variant):
        with pytest.raises(UserError, match=f"text_{tensor}"):
            variant.scores(images, texts, draw)


@every
def test_points_of_different_dimension_are_refused(name):
    variant = similarity.create(name)
    ours, theirs = (variant.represent(point_sets.sets(1, 2, dim), "image", None) for dim in (6, 5))
    compared = [next(iter(side.values())).shape[-1] for side in (ours, theirs)]
    with pytest.raises(UserError, match=r"{} dimensions.* {}$".format(*compared)):
        variant.scores(point_sets.sets(2, 2, 6), point_sets.sets(2, 2, 5))


@every
def test_class_scores(name):
    variant = similarity.create(name)
    images, prompts = point_sets.sets(4, 5, 6, 1), point_sets.sets(5, 2, 6, 2)
    classes = torch.tensor([1, 0, 1, 1, 0])
    for draw in draws(variant):
        left, right = (
            variant.represent(images, "image", draw),
            variant.represent(prompts, "text", draw),
        )
        scores = variant.class_scores(left, right, classes)
        each = variant.products(left, right)
        expected = variant.link(torch.stack([each[:, classes == c].mean(1) for c in (0, 1)], 1))
        if name.startswith("cosine"):
            means = [right["features"][classes == c].mean(0).norm() for c in (0, 1)]
            expected = expected / torch.stack(means)
        torch.testing.assert_close(scores, expected, **CLOSE)
    with pytest.raises(UserError, match="class 2 has no prompt"):
        variant.class_scores(left, right, torch.tensor([0, 0, 1, 1, 3]))


@pytest.mark.parametrize(
    "points, weights",
    [((2, 3), (2, 3)), ((2, 3, 0), (2, 3)), ((2, 0, 3), (2, 0)), ((2, 3, 4), (2, 4))],
)
def test_shapes_that_do_not_fit_are_refused(points, weights):
    with pytest.raises(UserError, match="have shape"):
        PointSet(torch.zeros(points), torch.zeros(weights))


@pytest.mark.parametrize("first, second", [(0.0, 0.4), (0.4, 0.0), (2.0, 3.0)])
@pytest.mark.parametrize("name", ["wpse-gaussian", "wpse-imq"])
def test_any_shares_of_the_kernels(name, first, second):
    variant = similarity.create(name, {"a1": first, "a2": second})
    images, texts = point_sets.pair()
    for draw in draws(variant):
        scores = variant.scores(images, texts, draw)
        torch.testing.assert_close(
            scores, by_reference(variant, images, texts, draw), rtol=1e-10, atol=1e-13
        )


def test_the_released_probe_scales_for_more_features_than_it_draws():
    from dataclasses import replace

    variant = similarity.create("wpse-gaussian", {"a1": 0})
    images, texts = point_sets.pair()
    draw = point_sets.draw(variant)
    scores = [
        variant.scores(images, texts, d)
        for d in (draw, replace(draw, nominal=2 * len(draw.phases)))
    ]
    np.testing.assert_allclose(scores[1], scores[0] / 2)
