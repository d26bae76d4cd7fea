"""Entailment: the cones of hyperbolic texts, and that training sees them."""

import math
import os
import runpy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kbench import objective, similarity
from kbench.similarity.variants.hyperbolic import NARROWEST


def representation(points):
    return {"points": points[:, None], "weights": points.new_ones(len(points), 1)}


def outside(images, texts):
    created = similarity.create("hyperbolic")
    return created.outside_cones(representation(images), representation(texts))


def as_published(image, text):
    """Return the angle outside the cone by MERU's section 3.2 at curvature 1, as it is written."""
    x_0, y_0 = (math.sqrt(1 + float(point @ point)) for point in (text, image))
    product = float(text @ image) - x_0 * y_0
    cosine = (y_0 + x_0 * product) / (float(text.norm()) * math.sqrt(product**2 - 1))
    half_aperture = math.asin(min(1.0, 2 * NARROWEST / float(text.norm())))
    return max(0.0, math.acos(max(-1.0, min(1.0, cosine))) - half_aperture)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.floats(0.05, 4), st.floats(0.05, 4))
def test_the_formula_of_the_paper(seed, near, far):
    generator = torch.Generator().manual_seed(seed)
    image, text = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    image, text = far * image / image.norm(), near * text / text.norm()
    seen = outside(image[None], text[None]).item()
    assert seen == pytest.approx(as_published(image, text), abs=1e-6)


@pytest.mark.skipif("KBENCH_MERU" not in os.environ, reason="KBENCH_MERU names no released code")
@pytest.mark.parametrize("curvature", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("spread", [0.02, 0.3, 2.0, 30.0])
def test_it_is_the_released_codes(curvature, spread):
    """KBENCH_MERU: a file lorentz.py of github facebookresearch/meru, here with a smaller
    `eps`, which it adds to denominators; texts are the vectors whose cones it asks for.
    """
    released = runpy.run_path(os.environ["KBENCH_MERU"])
    generator = torch.Generator().manual_seed(0)
    images, texts = spread * torch.randn(2, 200, 6, generator=generator, dtype=torch.float64)
    images[:20] = 3 * texts[:20]
    images[20:40] = -texts[20:40]
    by = [points / curvature**0.5 for points in (texts, images)]
    angle = released["oxy_angle"](*by, curvature, eps=1e-15)
    aperture = released["half_aperture"](by[0], curvature, eps=1e-15)
    expected = (angle - aperture).clamp(min=0)
    assert 0 < (expected > 0).sum() < 200
    torch.testing.assert_close(outside(images, texts), expected, rtol=0, atol=1e-5)


def test_what_is_further_out_in_the_same_direction_is_entailed():
    text = torch.tensor([[0.6, 0.8, 0.0]], dtype=torch.float64)
    assert outside(3 * text, text) == 0
    towards_the_apex = outside(0.3 * text, text)
    assert towards_the_apex.item() == pytest.approx(math.pi - math.asin(2 * NARROWEST), abs=1e-3)


def test_a_text_near_the_apex_entails_a_half_space():
    text = torch.tensor([[0.01, 0.0]], dtype=torch.float64)
    before, behind = (torch.tensor([[x, 2.0]], dtype=torch.float64) for x in (0.5, -0.5))
    assert outside(before, text) == 0 and outside(behind, text) > 0


@pytest.mark.parametrize("length", [1e-6, 1.0, 3e4])
def test_gradients_stay_finite(length):
    """Also where image and text are the same point, and in single precision."""
    point = length * torch.nn.functional.normalize(torch.ones(1, 8), dim=1)
    for image in (point, -point, 2 * point):
        both = [image.clone().requires_grad_(), point.clone().requires_grad_()]
        loss = outside(*both).sum()
        assert loss.isfinite()
        assert all(slope.isfinite().all() for slope in torch.autograd.grad(loss, both))


def test_other_similarities_have_no_cones():
    assert similarity.get("hyperbolic").has_cones()
    with pytest.raises(TypeError, match="have no cones"):
        similarity.create("cosine").outside_cones({}, {})
    assert objective.get("entailment").cone_weight == 0.2
