"""DHEL: its formula as loops, and that nothing across but the pairs matters."""

import ast
import math
import os
from pathlib import Path

import pytest
import torch
from test_cyclip import sides

from kbench import objective


def test_the_formula_pair_by_pair():
    images, texts = sides()
    scale, batch = 7.0, 6
    total = 0.0
    for i in range(batch):
        total -= scale * (images[i] @ texts[i]).item()
        for side in (images, texts):
            others = (scale * (side[i] @ side[j]).item() for j in range(batch) if j != i)
            total += math.log(sum(math.exp(logit) for logit in others))
    seen = objective.create("dhel").of_features(images, texts, scale)
    assert seen.item() == pytest.approx(total / batch, rel=1e-12)


@pytest.mark.skipif("KBENCH_DHEL" not in os.environ, reason="KBENCH_DHEL names no released code")
def test_it_is_the_released_codes():
    """KBENCH_DHEL: a file losses.py of github pakoromilas/DHEL-KCL, of which one class is taken."""
    tree = ast.parse(Path(os.environ["KBENCH_DHEL"]).read_text())
    [released] = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "DHEL"
    ]
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
    exec(compile(ast.Module([released], []), "losses.py", "exec"), names)
    for batch, temperature in ((2, 0.3), (6, 0.07), (17, 1.0)):
        images, texts = sides(batch)
        expected = names["DHEL"](tau=temperature)(torch.cat([images, texts]))
        ours = objective.create("dhel").of_features(images, texts, 1 / temperature)
        assert ours.item() == pytest.approx(expected.item(), rel=1e-9)


def test_gradients():
    criterion = objective.create("dhel")
    images, texts = (side.detach().requires_grad_() for side in sides(4))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(criterion.of_features, (images, texts, scale))


def test_sides_and_order_do_not_matter():
    images, texts = sides()
    criterion, order = objective.create("dhel"), torch.tensor([3, 0, 4, 2, 1, 5])
    loss = criterion.of_features(images, texts, 4.0)
    torch.testing.assert_close(criterion.of_features(texts, images, 4.0), loss)
    torch.testing.assert_close(criterion.of_features(images[order], texts[order], 4.0), loss)


def test_an_image_meets_no_text_but_its_own():
    """Whatever turns all texts in the plane that is orthogonal to an image leaves its part alone."""
    images, texts = sides()
    criterion = objective.create("dhel")
    [gradient] = torch.autograd.grad(criterion.of_features(images, texts, 4.0), [texts])
    alone = torch.autograd.grad(
        criterion.of_features(torch.zeros_like(images), texts, 4.0), [texts]
    )[0]
    torch.testing.assert_close(gradient - alone, -4.0 * images / len(images))


def test_a_single_pair_has_no_others():
    images, texts = sides(1)
    loss = objective.create("dhel").of_features(images, texts, 3.0)
    assert loss.item() == pytest.approx(-3.0 * (images @ texts.T).item())
