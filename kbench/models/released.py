"""The models released with arXiv 2404.19228 (Zenodo records 15210698 and 15210795): a folder with
config.yaml and a checkpoint of its training code, github sony/wpse at c6a965d.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kbench import similarity, yaml_file
from kbench.errors import UserError, unknown
from kbench.experiment.schema import RunConfig
from kbench.models.convert import SCALE
from kbench.models.source import CONFIG as OPEN_CLIP
from kbench.towers import config as towers

CONFIG = "config.yaml"
CHECKPOINTS = ("checkpoint_best.pt", "checkpoint.pt")
"""In the order in which the release's own evaluation looks for them."""

TOWERS = "wpse-vit-b-16"


class Architecture(NamedTuple):
    """What a class of the release's builds that the shapes of tensors do not tell."""

    trunk: str
    text_heads: int


MODELS = {
    "models.CLIP_VITB16": Architecture("vit_base_patch16_224", 8),
    "models.CLIP_WPSE_VITB16": Architecture("vit_base_patch16_224", 8),
}
PADDING = {None: "shared", "none": "shared", "sequel": "counted"}
KERNELS = {
    "losses.RFFFeaturesGaussian": ("wpse-gaussian", {"sigma": "sigma"}),
    "losses.RFFFeaturesIMQ": ("wpse-imq", {"imq_c": "c"}),
}
"""The release's class -> kbench's similarity, and the release's parameters -> kbench's."""

LEARNED = {"models.LogitScaleExp": "log", "models.LogitScaleIdentity": "value"}

TURNED = {
    "image_projection": "towers.visual.head.proj.weight",
    "image_weight_proj": "similarity.sets.heads.image.weight",
    "text_weight_proj": "similarity.sets.heads.text.weight",
}
"""Matrices that the release multiplies from the right."""


def is_released(folder: Path) -> bool:
    """Return whether a folder has the release's form, and not open_clip's."""
    return (folder / CONFIG).is_file() and not (folder / OPEN_CLIP).is_file()


def checkpoint(folder: Path) -> Path:
    """Return the weights that the release's evaluation would take; UserError if there are none."""
    for name in (*CHECKPOINTS, *sorted(path.name for path in folder.glob("*.pt"))):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder} holds no checkpoint; legal: {', '.join(CHECKPOINTS)}")


def configuration(name: str, folder: Path, state: Mapping[str, torch.Tensor]) -> RunConfig:
    """Return the configuration of a released model; UserError for what kbench does not have."""
    values = yaml_file.read(folder / CONFIG)
    if not isinstance(values, dict) or not {"model", "criterion"} <= values.keys():
        raise UserError(f"{folder / CONFIG} has no `model` and `criterion`")
    model, loss = values["model"], values["criterion"]
    target, padding = model.get("_target_"), model.get("transformer_null_token_emb")
    if target not in MODELS:
        raise unknown("model of the release", str(target), MODELS)
    if padding not in PADDING:
        raise unknown("padding of the release", str(padding), filter(None, PADDING))
    scored, settings = _similarity(model, loss)
    return RunConfig(
        variant=name,
        similarity=scored,
        similarity_settings=similarity.parse(scored, settings).model_dump(mode="json"),
        objective="infonce",
        seed=0,
        corpus=None,
        towers=_towers(MODELS[target], model.get("ln_eps"), PADDING[padding], state),
        training=None,
    )


def training_data(folder: Path) -> tuple[str, ...]:
    """Return what the release's configuration says that the model was trained on."""
    dataset = yaml_file.read(folder / CONFIG).get("dataset") or {}
    return (str(dataset["path"]),) if dataset.get("path") else ()


def tensors(folder: Path, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the release's tensors under kbench's names; the configuration says whether the
    multiplier or its logarithm was learned.
    """
    settings = yaml_file.read(folder / CONFIG)["model"].get("config_logit_scale") or {}
    activation = (settings.get("activation") or {}).get("_target_", "models.LogitScaleExp")
    if activation not in LEARNED:
        raise unknown("activation of the release's scale", str(activation), LEARNED)
    return dict(_renamed(name, tensor, LEARNED[activation]) for name, tensor in state.items())


def _renamed(name: str, tensor: torch.Tensor, learned: str) -> tuple[str, torch.Tensor]:
    if name in TURNED:
        return TURNED[name], tensor.T.contiguous()
    if name == "logit_scale":
        return f"{SCALE}.{learned}", tensor
    if name.startswith("visual."):
        return f"towers.visual.trunk.{name.removeprefix('visual.')}", tensor
    return f"towers.text.{name}", tensor


def _similarity(model: dict[str, Any], loss: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return kbench's similarity and its settings for the release's criterion."""
    if loss.get("_target_") == "losses.CLIPLoss":
        return "cosine", {}
    if loss.get("_target_") != "losses.CLIP_WPSE_Loss":
        legal = ("losses.CLIPLoss", "losses.CLIP_WPSE_Loss")
        raise unknown("criterion of the release", str(loss.get("_target_")), legal)
    kernel, activation = loss.get("rff_trick") or {}, model.get("weight_act") or {}
    if kernel.get("_target_") not in KERNELS:
        raise unknown("kernel of the release", str(kernel.get("_target_")), KERNELS)
    expected = {
        "weight_act": (activation, {"_target_": "models.ScaledTanh", "alpha": 100.0}),
        "norm_linear_feat": (loss.get("norm_linear_feat") or False, False),
        "normalize_weights_p": (loss.get("normalize_weights_p"), None),
        "first_normalize": (kernel.get("first_normalize"), True),
    }
    for key, (seen, legal) in expected.items():
        if seen != legal:
            raise UserError(f"{key} = {seen!r} of the release is not built; legal: {legal!r}")
    name, parameters = KERNELS[kernel["_target_"]]
    a1, a2 = loss.get("comb_weights") or (0.0, 1.0)
    shape = {ours: kernel[theirs] for theirs, ours in parameters.items() if theirs in kernel}
    return name, {"a1": a1, "a2": a2, "features": kernel.get("dim_out", 1024), **shape}


def _towers(
    built: Architecture, eps: float | None, padding: str, state: Mapping[str, torch.Tensor]
) -> towers.TowerConfig:
    """Return the released towers with the sizes that the tensors have."""
    try:
        context, width = state["positional_embedding"].shape
        dimension = state["image_projection"].shape[1]
    except KeyError as error:
        raise UserError(
            f"the checkpoint has no tensor {error}: it is none of the release"
        ) from error
    blocks = {name.split(".")[2] for name in state if name.startswith("transformer.resblocks.")}
    base = towers.load(TOWERS)
    return base.model_copy(
        update={
            "embed_dim": dimension,
            "vision_cfg": {**base.vision_cfg, "timm_model_name": built.trunk},
            "text_cfg": {
                **base.text_cfg,
                "context_length": context,
                "width": width,
                "heads": built.text_heads,
                "layers": len(blocks),
            },
            "layer_norm_eps": eps,
            "padding_embeddings": padding,
        }
    )
