"""What a similarity takes from the towers, and how weights come about."""

import point_sets
import pytest
import torch

from kbench import similarity
from kbench.similarity.kernels.gaussian import Gaussian
from kbench.similarity.sets import PointSet

ACTIVATIONS = {
    "wpse-gaussian": lambda x: 100 * torch.tanh(x / 100),
    "wpse-linear": lambda x: 100 * torch.tanh(x / 100),
    "wpse-gaussian-positive": lambda x: 100 * torch.tanh(torch.log1p(torch.exp(x)) / 100),
    "wpse-gaussian-uniform": lambda x: torch.ones_like(x),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_weights_are_bounded_functions_of_a_linear_head(name):
    variant = similarity.create(name, {}, point_sets.WIDTHS)
    output = point_sets.tower("image")
    heads = variant.sets.heads
    for scale in (1.0, 40.0):
        logits = torch.zeros(4, 5)
        if "image" in heads:
            with torch.no_grad():
                heads["image"].weight.mul_(scale)
            logits = (output.tokens @ heads["image"].weight.T).squeeze(-1)
        weights = variant.embed(output, "image").weights
        torch.testing.assert_close(
            weights, ACTIVATIONS[name](logits.double()).float(), rtol=1e-5, atol=1e-5
        )


def test_heads_start_with_variance_one_over_width():
    torch.manual_seed(0)
    variant = similarity.create("wpse-gaussian", {}, {"image": 10_000, "text": 40_000})
    for side, width in (("image", 10_000), ("text", 40_000)):
        head = variant.sets.heads[side]
        assert head.bias is None and head.weight.shape == (1, width)
        assert head.weight.std().item() == pytest.approx(width**-0.5, rel=0.05)


def test_points_and_backbone_features():
    output = point_sets.tower("text")
    expected = {
        "cosine": (output.pooled[:, None], output.pooled),
        "euclidean": (output.pooled[:, None], output.pooled),
        "log-linear": (output.pooled[:, None], output.pooled),
        "cosine-mean": (output.tokens.mean(1, keepdim=True), output.tokens.mean(1)),
        "filip": (output.tokens, output.tokens.mean(1)),
        "flair": (output.pooled[:, None], output.pooled),
        "hyperbolic": (output.pooled[:, None], output.pooled),
        "kernel-pooled": (output.pooled[:, None], output.pooled),
    }
    for name, (points, backbone) in expected.items():
        variant = similarity.create(name, {}, point_sets.WIDTHS)
        sets = variant.embed(output, "text")
        torch.testing.assert_close(sets.points, output.project(points))
        assert (sets.weights == 1).all()
        torch.testing.assert_close(variant.backbone_features(output, "text"), backbone)
    variant = similarity.create("wpse-imq", {}, point_sets.WIDTHS)
    sets = variant.embed(output, "text")
    torch.testing.assert_close(sets.points, output.project(output.tokens))
    weighted = (sets.weights[..., None] * output.tokens).mean(1)
    torch.testing.assert_close(variant.backbone_features(output, "text"), weighted)


def test_kernels_never_see_a_negative_squared_distance(monkeypatch):
    smallest = []
    value = Gaussian.value
    monkeypatch.setattr(
        Gaussian, "value", lambda self, r: smallest.append(r.min().item()) or value(self, r)
    )
    points = torch.randn(40, 3, 7, generator=point_sets.generator())
    same = PointSet(points, torch.ones(40, 3))
    similarity.create("wpse-gaussian").scores(same, same)
    assert min(smallest) == 0
