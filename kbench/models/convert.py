"""From open_clip's names of tensors to kbench's, and back."""

from collections.abc import Mapping

import torch

import kbench.towers.compat  # isort: skip  # noqa: F401
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict

from kbench.errors import UserError
from kbench.experiment.schema import RunConfig
from kbench.pretrain.model import ContrastiveModel

LOG_SCALE, BIAS = "logit_scale", "logit_bias"
SCALE = "similarity.scale"
"""Below it `log` or `value`: of the multiplier, what a model has learned."""

TOWERS = ("visual.", "text.")
UNUSED = ("text_decoder.", "text.transformer.embeddings.position_ids")
"""A captioning decoder, which no embedding goes through, and what transformers used to keep."""

SHOWN = 3
"""Tensors that a message names of each kind."""


def from_open_clip(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of one of open_clip's models under kbench's names.

    The text tower may be part of the model, as in OpenAI's CLIP, or a tower of its own.
    """
    named = convert_to_custom_text_state_dict(convert_state_dict(None, dict(state)))
    tensors = {
        f"towers.{name}" if name.startswith(TOWERS) else name: tensor
        for name, tensor in named.items()
        if not name.startswith(UNUSED)
    }
    for theirs, ours in ((LOG_SCALE, "similarity.scale.log"), (BIAS, "objective.bias")):
        if theirs in tensors:
            tensors[ours] = tensors.pop(theirs).reshape(())
    return tensors


def to_open_clip(model: ContrastiveModel) -> dict[str, torch.Tensor]:
    """Return a model's tensors under open_clip's names, those of a CustomTextCLIP."""
    tensors = dict(model.towers.state_dict())
    tensors[LOG_SCALE] = model.similarity.scale.logarithm()
    bias = model.objective.logit_bias
    return tensors if bias is None else tensors | {BIAS: bias.detach()}


def build(config: RunConfig, tensors: Mapping[str, torch.Tensor]) -> ContrastiveModel:
    """Return the model of a configuration with these tensors, in float32.

    The similarity may be another one than the weights were trained with: its multiplier keeps its
    value. UserError that names the tensors if some are missing, are too many, or have another
    shape.
    """
    model = ContrastiveModel(config)
    tensors, scale = dict(tensors), model.similarity.scale
    learned = {name: tensors.pop(f"{SCALE}.{name}", None) for name in ("log", "value")}
    own = next(iter(scale.state_dict()))
    if learned.get(own) is not None:
        tensors[f"{SCALE}.{own}"] = learned[own]
    elif any(held is not None for held in learned.values()):
        log, value = learned.values()
        scale.take_logarithm_(log if log is not None else value.log())
        tensors[f"{SCALE}.{own}"] = scale.state_dict()[own]
    _compare(config, model.state_dict(), tensors)
    model.load_state_dict(tensors)
    return model.eval()


def _compare(
    config: RunConfig, wanted: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Raise UserError if tensors are not those that are wanted, by name and shape."""
    both = [name for name in wanted if name in tensors]
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "unexpected": [name for name in tensors if name not in wanted],
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}"
            for name in both
            if tensors[name].shape != wanted[name].shape
        ],
    }
    lines = [
        f"{len(names)} {kind}: {', '.join(names[:SHOWN])}{', ...' * (len(names) > SHOWN)}"
        for kind, names in problems.items()
        if names
    ]
    if lines:
        raise UserError(
            f"these are not the weights of the towers '{config.towers.name}' with"
            f" {config.similarity} and {config.objective}: {'; '.join(lines)}"
        )
