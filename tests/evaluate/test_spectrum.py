"""Singular values of score tables."""

import numpy as np
import torch

from kbench.measures.spectrum import spectrum
from kbench.world import World


def test_inner_products_have_no_more_directions_than_dimensions():
    generator = torch.Generator().manual_seed(0)
    images, texts = (torch.randn(90, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    scores = images @ texts.T
    values = spectrum(scores)
    # The mean that is taken out can add one.
    assert values.shape == (90,) and (values[4:] < 1e-12).all() and values[2] > 0.1
    assert torch.allclose(values.square().sum(), (scores - scores.mean()).square().mean())


def test_a_constant_is_not_seen():
    scores = torch.randn(20, 30, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(spectrum(scores), spectrum(scores + 5), atol=1e-6)


def test_it_hardly_depends_on_the_number_of_pairs():
    world, generator = World(), np.random.default_rng(2)
    scenes = world.sample_scenes(generator, 1024)
    captions = world.sample_captions(generator, world.sample_scenes(generator, 1024))
    few, many = (
        spectrum(torch.from_numpy(world.pmi[scenes[:n]][:, captions[:n]]))[:8] for n in (512, 1024)
    )
    assert torch.allclose(few, many, rtol=0.15)
