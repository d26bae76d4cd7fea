"""Variables in which the Hessian of a logistic regression is near to the identity."""

from typing import NamedTuple

import torch

from kbench.measures.passes import Samples

BLOCK_NUMBERS = 1 << 20
"""Numbers in a preconditioner with a block for each class; where it would be larger, classes share
one block.
"""


class Precision(NamedTuple):
    """What is computed in: the relative rounding error of an objective, and of a preconditioner's
    entries.

    tolerance: what a fit in this precision can be expected to reach.
    """

    dtype: torch.dtype
    noise: float
    ridge: float
    tolerance: float


def inverse_factors(
    samples: Samples,
    theta: torch.Tensor,
    loss_weights: torch.Tensor,
    penalty: torch.Tensor,
    precision: Precision,
    rough: bool,
) -> torch.Tensor:
    """Return inverse Cholesky factors (B, K or 1, F + 1, F + 1) of the Hessian's diagonal
    blocks at theta.

    The block of class k is the penalty + C sum_i s_i p_ik (1 - p_ik) x_i x_i', x_i ending in 1.
    Shared by all classes, it has the mean of p_ik (1 - p_ik). `rough`: the sums of all models
    are taken to differ by a factor, which saves most of the work, and is so where all start
    from the classes' shares.
    """
    models, classes, size = theta.shape
    groups = classes if classes * size**2 <= BLOCK_NUMBERS else 1
    blocks = theta.new_zeros(1 if rough else models, groups, size, size, dtype=torch.float64)
    totals = blocks.new_zeros(models, groups)
    for x, _, importance in samples.chunks(models * classes, precision.dtype):
        extended = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
        p = (theta.flatten(0, 1) @ extended.T).view(models, classes, -1).softmax(1)
        spread = (p * (1 - p) * importance).view(models, groups, -1, len(x)).mean(2)
        totals += spread.sum(2, dtype=torch.float64)
        if rough:
            spread = spread.mean(0, keepdim=True)
        for block, weights in zip(blocks.flatten(0, 1), spread.flatten(0, 1), strict=True):
            block += (extended.T * weights) @ extended
    if rough:
        blocks = blocks * (totals / totals.mean(0))[..., None, None]
    blocks = blocks * loss_weights[:, None, None, None] + torch.diag(penalty)
    largest = blocks.diagonal(dim1=-2, dim2=-1).amax(-1)
    identity = torch.eye(size, dtype=torch.float64, device=theta.device)
    factors = torch.linalg.cholesky(blocks + precision.ridge * largest[..., None, None] * identity)
    return torch.linalg.solve_triangular(factors, identity.expand_as(factors), upper=False).to(
        precision.dtype
    )
