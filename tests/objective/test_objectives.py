"""What every objective must do; found by themselves."""

import itertools
import math
import re

import numpy as np
import pytest
import torch

from kbench import objective, similarity
from kbench.cli import main
from kbench.errors import UserError
from kbench.objective.base import exponential

every = pytest.mark.parametrize("name", objective.names())


def infonce(logits, _):
    n = len(logits)
    rows = [math.log(sum(math.exp(x - logits[i][i]) for x in logits[i])) for i in range(n)]
    columns = [
        math.log(sum(math.exp(logits[j][i] - logits[i][i]) for j in range(n))) for i in range(n)
    ]
    return (sum(rows) + sum(columns)) / (2 * n)


def sigmoid(logits, bias):
    n = len(logits)
    cells = itertools.product(range(n), range(n))
    return (
        sum(math.log1p(math.exp((-1 if i == j else 1) * (logits[i][j] + bias))) for i, j in cells)
        / n
    )


def spectral(logits, _):
    n = len(logits)
    strangers = sum(logits[i][j] ** 2 for i, j in itertools.permutations(range(n), 2))
    return -2 / n * sum(logits[i][i] for i in range(n)) + strangers / (n * (n - 1))


def f_divergence(of_pairs, of_strangers):
    """Return the mean of one function over pairs and of another over strangers, as a loop."""

    def formula(logits, _):
        n = len(logits)
        strangers = sum(of_strangers(logits[i][j]) for i, j in itertools.permutations(range(n), 2))
        return sum(of_pairs(logits[i][i]) for i in range(n)) / n + strangers / (n * (n - 1))

    return formula


def sinkhorn(logits, _):
    """Rows and columns of exp(l) made to sum to 1 in turn, many times."""
    plan = np.exp(np.array(logits))
    for _ in range(20_000):
        plan /= plan.sum(1, keepdims=True)
        plan /= plan.sum(0)
    return -np.log(plan.diagonal()).mean()


FORMULAS = {
    "infonce": infonce,
    "sigmoid": sigmoid,
    "spectral": spectral,
    "cyclip": infonce,  # without the consistency, which logits do not show
    "dhel": infonce,  # what stands for it where there are logits alone
    "kcl": infonce,  # likewise
    "entailment": infonce,  # without the cones, which logits do not show
    "sinkhorn": sinkhorn,
    "minc": spectral,  # what its moments stand for
    "likelihood": lambda logits, _: -sum(logits[i][i] for i in range(len(logits))) / len(logits),
    "amorlip": f_divergence(lambda x: -x, math.exp),  # with one normaliser for all, 1 at first
    "kullback-leibler": f_divergence(lambda x: -x, lambda x: math.exp(x - 1)),
    "jensen-shannon": f_divergence(
        lambda x: math.log1p(math.exp(-x)), lambda x: math.log1p(math.exp(x))
    ),
    "hellinger": f_divergence(lambda x: math.exp(-x / 2) - 1, lambda x: math.exp(x / 2) - 1),
}
ONLY_IN_LARGE_BATCHES = {"sinkhorn"}  # PMI is the optimum there alone: test_sinkhorn.py
NEED_POSITIVE_SCORES = {"spectral", "minc", "kullback-leibler", "jensen-shannon", "hellinger"}


def logits(size=5, seed=0):
    return 3 * torch.randn(
        size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@every
def test_agrees_with_the_formula_as_a_loop(name):
    criterion = objective.create(name)
    for size in (2, 5):
        expected = FORMULAS[name](logits(size).tolist(), -10.0)
        assert criterion(logits(size)).item() == pytest.approx(expected, rel=1e-12)


@every
def test_describes_itself(name):
    criterion = objective.get(name)
    assert criterion.name == name and criterion.formula and criterion.source


@every
def test_gradients(name):
    criterion = objective.create(name).double()
    assert torch.autograd.gradcheck(criterion, logits(4).requires_grad_())


@every
def test_pair_order_and_side_do_not_matter(name):
    criterion = objective.create(name)
    order = torch.tensor([3, 0, 4, 2, 1])
    loss = criterion(logits())
    torch.testing.assert_close(criterion(logits()[order][:, order]), loss)
    torch.testing.assert_close(criterion(logits().T), loss)


@every
def test_state_round_trip(name):
    first, second = objective.create(name), objective.create(name)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1.5)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(logits()), second(logits()))


@every
def test_what_the_loss_cannot_see(name):
    criterion = objective.create(name)
    unseen = torch.allclose(criterion(logits()), criterion(logits() + 2.5))
    assert unseen == criterion.blind_to_shift


@every
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_extreme_logits_under_autocast(name, precision):
    values = torch.tensor([[1e6, -1e6], [-1e6, 1e6]])
    for sign in (1, -1):
        leaf = (sign * values).requires_grad_()
        with torch.autocast("cpu", precision):
            loss = objective.create(name)(leaf)
        loss.backward()
        assert loss.dtype == torch.float32 and loss.isfinite() and leaf.grad.isfinite().all()


@every
@pytest.mark.parametrize("shape", [(3,), (3, 4), (1, 3, 3)])
def test_logits_that_are_no_square(name, shape):
    with pytest.raises(UserError, match="have shape"):
        objective.create(name)(torch.zeros(shape))


@every
def test_one_pair_is_finite(name):
    assert objective.create(name)(torch.ones(1, 1)).isfinite()


@pytest.mark.whole
@every
def test_the_optimum_over_all_batches_is_the_pointwise_mutual_information(name):
    """Minimise the expected loss over every possible batch of three pairs from a world of three by
    three.
    """
    if name in ONLY_IN_LARGE_BATCHES:
        pytest.skip("PMI is its optimum in large batches alone")
    if objective.get(name).sees_likelihoods:
        pytest.skip("logits alone have no optimum: test_likelihood.py has those of probabilities")
    joint = torch.tensor(
        [[0.20, 0.05, 0.05], [0.02, 0.25, 0.08], [0.10, 0.05, 0.20]], dtype=torch.float64
    )
    pmi = (joint / torch.outer(joint.sum(1), joint.sum(0))).log()
    batches = np.array(list(itertools.product(range(9), repeat=3)))
    chance = joint.flatten()[batches].prod(1)
    rows, columns = torch.as_tensor(batches // 3), torch.as_tensor(batches % 3)
    table = torch.ones(3, 3, dtype=torch.float64, requires_grad=True)
    criterion = objective.create(name)
    criterion.requires_grad_(False)
    optimiser = torch.optim.LBFGS(
        [table], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-10
    )

    def expected_loss():
        optimiser.zero_grad()
        each = table[rows[:, :, None], columns[:, None, :]]
        loss = sum(p * criterion(x) for p, x in zip(chance, each, strict=True))
        loss.backward()
        return loss

    optimiser.step(expected_loss)
    gap = criterion.to_pmi(table.detach(), 3) - pmi
    if criterion.blind_to_shift:
        gap = gap - gap.mean()
    assert gap.abs().max() < 1e-4


@every
def test_refusal_gives_the_reason(name):
    criterion = objective.create(name)
    reasons = {v: criterion.refuse(similarity.get(v)) for v in similarity.names()}
    refused = {variant for variant, reason in reasons.items() if reason}
    expected = {"euclidean", "hyperbolic", "pcme"} if name in NEED_POSITIVE_SCORES else set()
    if name == "minc":
        expected |= set(similarity.names()) - {"cosine", "cosine-mean", "prolip", "wpse-linear"}
    if name == "entailment":
        expected = set(similarity.names()) - {"hyperbolic"}
    if name == "amorlip":
        single = {"cosine", "cosine-mean", "euclidean", "pcme", "prolip", "wpse-linear"}
        expected = set(similarity.names()) - single
    if name in ("cyclip", "dhel", "kcl"):
        apart = {"euclidean", "pcme", "prolip"}
        expected = {"filip", "flair", "hyperbolic", "kme-gaussian", "log-linear"} | apart
    decoding = {n for n in similarity.names() if similarity.get(n).has_likelihoods()}
    others = set(similarity.names()) - decoding
    expected = others if criterion.sees_likelihoods else expected | decoding
    assert refused == expected
    words = "from its pairs alone|how probable|never negative|never above 0|explicit features|inner products|anew in each step|with images|have none"
    for variant in refused:
        assert re.search(words, reasons[variant])
        assert name in reasons[variant] and variant in reasons[variant]


def test_an_exponential_goes_on_as_its_tangent():
    values = torch.tensor([-3.0, 19.9, 20.0, 21.0, 1e6], dtype=torch.float64, requires_grad=True)
    values_of = exponential(values)
    slopes = torch.autograd.grad(values_of.sum(), values)[0]
    assert torch.equal(values_of[:3], values[:3].exp()) and values_of.isfinite().all()
    torch.testing.assert_close(slopes, values.clamp(max=20).exp())


@every
def test_a_listing_says_what_it_needs_and_the_licence_of_its_source(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["objectives"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    declared = objective.get(name)
    (block,) = re.findall(rf"^{name} .*\n(?:    .*\n)*", text, re.MULTILINE)
    assert declared.licence and f"    code of the source: {declared.licence}\n" in block
    assert ("    needs: " in block) == bool(declared.needs())
    assert bool(declared.needs()) == (
        declared.sees_features or declared.sees_likelihoods or declared.cone_weight > 0
    )


def test_unknown_objective():
    with pytest.raises(UserError, match="did you mean 'infonce'"):
        objective.create("infonec")
