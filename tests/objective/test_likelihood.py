"""Maximum likelihood: its optimum, over everything that a decoder could say."""

import pytest
import torch

from kbench import objective
from kbench.conformance.objective import is_a_finite_scalar_of_likelihoods
from kbench.objective.likelihood import Likelihood

EXACT = {"tolerance_grad": 1e-12, "tolerance_change": 1e-15}


def test_the_optimum_over_free_probabilities_is_the_pointwise_mutual_information():
    """Of texts given images, in a world of three by three."""
    joint = torch.tensor(
        [[0.20, 0.05, 0.05], [0.02, 0.25, 0.08], [0.10, 0.05, 0.20]], dtype=torch.float64
    )
    free = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    criterion = objective.create("likelihood")
    optimiser = torch.optim.LBFGS([free], max_iter=200, line_search_fn="strong_wolfe", **EXACT)
    copies = (joint * 100).round().long().flatten()

    def expected_loss():
        optimiser.zero_grad()
        said = free.log_softmax(1).flatten().repeat_interleave(copies)
        loss = criterion.of_likelihoods(said)
        loss.backward()
        return loss

    optimiser.step(expected_loss)
    said = free.detach().log_softmax(1)
    scores = said - (joint.sum(1) @ said.exp()).log()
    pmi = (joint / torch.outer(joint.sum(1), joint.sum(0))).log()
    torch.testing.assert_close(criterion.to_pmi(scores, 3), pmi, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda self, likelihoods: -likelihoods, "has shape"),
        (lambda self, likelihoods: -likelihoods.mean().log(), "nan"),
        (lambda self, likelihoods: -likelihoods[0], "reordering"),
    ],
)
def test_a_loss_of_likelihoods_that_is_wrong_does_not_conform(monkeypatch, wrong, said):
    assert is_a_finite_scalar_of_likelihoods("likelihood") is None
    monkeypatch.setattr(Likelihood, "of_likelihoods", wrong)
    assert said in is_a_finite_scalar_of_likelihoods("likelihood")
