"""CyCLIP: its formula as loops, and what its consistency costs."""

import pytest
import torch

from kbench import objective


def sides(batch=6, width=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2, batch, width, generator=generator, dtype=torch.float64)
    return list(torch.nn.functional.normalize(drawn, dim=-1).requires_grad_())


def test_the_formula_pair_by_pair():
    images, texts = sides()
    scale, batch = 7.0, 6
    total = 0.0
    for i in range(batch):
        for j in range(batch):
            total += (images[i] @ texts[j] - images[j] @ texts[i]) ** 2
            total += (images[i] @ images[j] - texts[i] @ texts[j]) ** 2
    expected = objective.create("infonce")(scale * images @ texts.T) + total / batch / 4
    seen = objective.create("cyclip").of_features(images, texts, scale)
    assert seen.item() == pytest.approx(expected.item(), rel=1e-12)


def test_gradients():
    criterion = objective.create("cyclip")
    images, texts = (side.detach().requires_grad_() for side in sides(4))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(criterion.of_features, (images, texts, scale))


def test_equal_sides_are_consistent():
    images, _ = sides()
    criterion = objective.create("cyclip")
    assert criterion.of_features(images, images, 3.0).item() == pytest.approx(
        objective.create("infonce")(3 * images @ images.T).item()
    )


def test_it_needs_no_memory_of_its_own():
    criterion = objective.create("cyclip")
    criterion.prepare(4)
    assert not criterion.state_dict()
