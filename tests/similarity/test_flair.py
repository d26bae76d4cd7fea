"""Attention of a text over the tokens of an image."""

import point_sets
import pytest
import torch

from kbench import similarity


@pytest.fixture
def pair():
    return point_sets.sets(4, 5, 6, 1), point_sets.sets(3, 1, 6, 2)


def test_of_one_token_it_is_the_cosine(pair):
    images, texts = point_sets.sets(4, 1, 6, 1), pair[1]
    ours, cosine = (similarity.create(n).scores(images, texts) for n in ("flair", "cosine"))
    torch.testing.assert_close(ours, cosine, rtol=1e-12, atol=1e-12)


def test_a_sharp_text_looks_at_its_best_token_alone(pair):
    created = similarity.create("flair", {"sharpness": 100}).double()
    with torch.no_grad():
        created.log_sharpness.fill_(12.0)
    images, texts = pair
    inner = torch.einsum("bmd,cd->bcm", images.unit().points, texts.unit().points[:, 0])
    torch.testing.assert_close(created.scores(images, texts), inner.amax(2), rtol=1e-6, atol=1e-6)


def test_a_blunt_one_sees_the_mean_of_all(pair):
    created = similarity.create("flair").double()
    with torch.no_grad():
        created.log_sharpness.fill_(-30.0)
    images, texts = pair
    mean = images.unit().points.mean(1)
    expected = torch.nn.functional.cosine_similarity(mean[:, None], texts.points[:, 0], dim=2)
    torch.testing.assert_close(created.scores(images, texts), expected, rtol=1e-9, atol=1e-9)


def test_the_sharpness_learns_within_its_bounds(pair):
    created = similarity.create("flair").double()
    created.scores(*pair).sum().backward()
    assert created.log_sharpness.grad.abs() > 0
    with torch.no_grad():
        created.log_sharpness.fill_(9.0)
    created.clamp_()
    assert created.log_sharpness.exp().item() == pytest.approx(100)
