"""Singular values of a table of scores: how many directions a similarity uses."""

import torch


def spectrum(scores: torch.Tensor) -> torch.Tensor:
    """Return the singular values (min(N, C),) of scores (N, C) less their mean, over sqrt(N C),
    descending, float64.

    For images and captions drawn from their marginals these estimate the singular values of the
    scores as an operator between functions of a caption and functions of an image, so that they
    hardly depend on N and C. The mean is taken out because no contrastive loss sees it.
    """
    table = scores.double()
    return torch.linalg.svdvals(table - table.mean()) / table.numel() ** 0.5
