"""KCL: its formula as loops, and that it is what the released code computes."""

import ast
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_cyclip import sides

from kbench import objective


def kernel(x, y):
    return math.exp(-2 * sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True)))


def test_the_formula_pair_by_pair():
    images, texts = sides()
    batch = len(images)
    total = -2 / batch * sum(kernel(x, y) for x, y in zip(images, texts, strict=True))
    for side in (images, texts):
        both = [(i, j) for i in range(batch) for j in range(i)]
        total += 16 / len(both) * sum(kernel(side[i], side[j]) for i, j in both)
    seen = objective.create("kcl").of_features(images, texts, 7.0)
    assert seen.item() == pytest.approx(total, rel=1e-12)


@pytest.mark.skipif("KBENCH_DHEL" not in os.environ, reason="KBENCH_DHEL names no released code")
def test_it_is_the_released_codes():
    """KBENCH_DHEL: a file losses.py of github pakoromilas/DHEL-KCL, with utils.py beside it."""
    losses = Path(os.environ["KBENCH_DHEL"])
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
    exec(losses.with_name("utils.py").read_text(), names)
    names["utils"] = SimpleNamespace(**names)
    [released] = [
        node
        for node in ast.parse(losses.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "KCL"
    ]
    exec(compile(ast.Module([released], []), "losses.py", "exec"), names)
    for batch in (2, 6, 17):
        images, texts = sides(batch)
        expected = names["KCL"]()(torch.cat([images, texts]))
        ours = objective.create("kcl").of_features(images, texts)
        assert ours.item() == pytest.approx(expected.item(), rel=1e-9)


def test_gradients():
    criterion = objective.create("kcl")
    images, texts = (side.detach().requires_grad_() for side in sides(4))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(criterion.of_features, (images, texts, scale))


def test_a_small_batch_estimates_the_loss_of_a_large_one_without_bias():
    """Of all pairs that a batch of twelve holds, the mean loss of batches of two is its own."""
    images, texts = (side.detach() for side in sides(12))
    criterion = objective.create("kcl")
    whole = criterion.of_features(images, texts)
    both = [torch.tensor([i, j]) for i in range(12) for j in range(i)]
    small = torch.stack([criterion.of_features(images[b], texts[b]) for b in both])
    torch.testing.assert_close(small.mean(), whole)


def test_the_scale_has_no_part_and_yet_a_gradient():
    images, texts = sides()
    scale = torch.tensor(5.0, requires_grad=True)
    [slope] = torch.autograd.grad(objective.create("kcl").of_features(images, texts, scale), scale)
    assert slope == 0


def test_a_single_pair_has_no_others():
    images, texts = sides(1)
    loss = objective.create("kcl").of_features(images, texts)
    assert loss.item() == pytest.approx(-2 * kernel(images[0], texts[0]))
