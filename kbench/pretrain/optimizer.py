"""AdamW with the released weight-decay groups, and the released learning-rate schedule."""

import inspect
import math

import torch
from torch import nn

from kbench.experiment.schema import Training

NO_DECAY_NAMES = ("bias", "ln", "bn")


class AdamW(torch.optim.AdamW):
    """torch's AdamW without the wrappers that keep its methods out of what the compiler compiles:
    they import the compiler, which takes almost as long as torch and open_clip. kbench compiles
    blocks of towers, and no optimiser.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)


def create(model: nn.Module, training: Training) -> AdamW:
    """Return AdamW of what is not frozen; parameters with fewer than two dimensions or named bias,
    ln or bn are not decayed.

    The grouping is that of the released WPSE code.
    """
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        exempt = parameter.ndim < 2 or any(part in name for part in NO_DECAY_NAMES)
        (plain if exempt else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=0.0, betas=training.betas, eps=training.eps, fused=True)


def steps(training: Training, pairs: int) -> int:
    """Return the optimiser steps of a run over a corpus of that many pairs.

    The released schedule drops what an epoch has beyond whole batches; the continuous one rounds
    the run's total.
    """
    if training.schedule == "released":
        return max(1, round(training.epochs * (pairs // training.batch_size)))
    return max(1, round(training.epochs * pairs / training.batch_size))


def learning_rate(training: Training, step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up, then cosine decay, per
    iteration.

    The warm-up ends at the peak. Its first step has the initial rate in the released schedule, and
    one increment more in the continuous one, in which a run that begins at 0 wastes no step.
    """
    warmup = round(steps * training.warmup_epochs / training.epochs)
    peak, start, end = (
        training.learning_rate,
        training.initial_learning_rate,
        training.final_learning_rate,
    )
    if step < warmup and training.schedule == "released":
        return start + (peak - start) * step / max(1, warmup - 1)
    if step < warmup:
        return start + (peak - start) * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return end + (peak - end) * 0.5 * (1 + math.cos(math.pi * progress))
