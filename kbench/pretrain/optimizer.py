"""AdamW with the released weight-decay groups, and the released learning-rate schedule."""

import math

import torch
from torch import nn

from kbench.experiment.schema import Training

NO_DECAY_NAMES = ("bias", "ln", "bn")


def create(model: nn.Module, training: Training) -> torch.optim.AdamW:
    """Return AdamW; parameters with fewer than two dimensions or named bias, ln or bn are not decayed.

    The grouping is that of the released WPSE code.
    """
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        exempt = parameter.ndim < 2 or any(part in name for part in NO_DECAY_NAMES)
        (plain if exempt else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=training.betas, eps=training.eps, fused=True)


def learning_rate(training: Training, step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up, then cosine decay, per iteration."""
    warmup = round(steps * training.warmup_epochs / training.epochs)
    peak, start, end = training.learning_rate, training.initial_learning_rate, training.final_learning_rate
    if step < warmup:
        return start + (peak - start) * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return end + (peak - end) * 0.5 * (1 + math.cos(math.pi * progress))
