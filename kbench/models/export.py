"""A run's model for everybody else: a folder that open_clip loads, checked by loading it with
open_clip.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import kbench.towers.compat  # isort: skip  # noqa: F401
import open_clip
import timm
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file

from kbench import __version__, files, similarity
from kbench.datasets.transform import Transform
from kbench.errors import UserError
from kbench.evaluate.run import TrainedRun
from kbench.experiment.schema import RunConfig
from kbench.models import convert
from kbench.models.source import CONFIG
from kbench.pretrain import model as pretrained
from kbench.pretrain.model import ContrastiveModel
from kbench.records.documents import TaskResult
from kbench.towers import tokenizer

WEIGHTS = "open_clip_model.safetensors"
"""The name that open_clip looks for first."""

TEXTS = ("", "a photo of a dog.", "Zwölf Boote – 12!", "word " * 300)
SIDES = (97, 61)
"""Pixels of the picture on which the two are compared: not square, as photographs are."""

TOLERANCE = 1e-5
"""Of a unit embedding's numbers: float32 after a few dozen layers."""


def export(run: Path, output: Path, licence: str | None = None) -> None:
    """Write the model of a finished run into a new folder.

    licence: of the weights, as whoever gives them away declares it. UserError if open_clip cannot
    express the model, which names the reason, or the folder is there.
    """
    trained = TrainedRun(run)
    reason = _inexpressible(trained.config)
    if reason:
        raise UserError(f"{trained.config.run} cannot be exported to open_clip: {reason}")
    if output.exists():
        raise UserError(f"{output} is there already: give another --output")
    model = pretrained.load(trained.config, trained.weights)
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        _write(part, trained, model, licence)
        _compare(part, trained.config, model)
        part.rename(output)
    except OSError as error:
        raise files.unwritable(output, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _inexpressible(config: RunConfig) -> str | None:
    """Return why open_clip has no such model, or None if it has."""
    towers, scored = config.towers, similarity.get(config.similarity)
    trunk = towers.vision_cfg.get("timm_model_name")
    reasons = {
        f"it compares pooled embeddings by their cosine, not by {scored.formula}": (
            not scored.in_open_clip
        ),
        "its vocabulary is not restricted to words of one's own choice": towers.words is not None,
        "it has one embedding for all padding": towers.padding_embeddings != "shared",
        "it keeps the end of text of long captions": towers.long_captions != "keep-end",
        "it looks for the configuration of a Hugging Face text tower on the hub, not in a folder": (
            "hf_model_name" in towers.text_cfg
        ),
        f"the image tower '{trunk}' is kbench's own": (
            trunk is not None and timm.model_entrypoint(trunk).__module__.startswith("kbench.")
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _write(folder: Path, trained: TrainedRun, model: ContrastiveModel, licence: str | None) -> None:
    config, tensors = trained.config, convert.to_open_clip(model)
    with files.replacing(folder / WEIGHTS) as temporary:
        save_file({name: held.clone().contiguous() for name, held in tensors.items()}, temporary)
    files.write_json(folder / CONFIG, _description(config, model))
    files.write_text(folder / "README.md", _card(trained, model, licence))
    source = config.towers.text_cfg.get("hf_tokenizer_name")
    if source:
        import transformers

        transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)


def _description(config: RunConfig, model: ContrastiveModel) -> dict[str, Any]:
    towers, preprocessing = config.towers, config.towers.preprocessing
    vision = dict(towers.vision_cfg)
    text = {**towers.text_cfg, **tokenizer.embedding_settings(towers)}
    if towers.layer_norm_eps is not None:
        own = [vision] * ("timm_model_name" not in vision)
        for side in [*own, *[text] * ("hf_model_name" not in text)]:
            side["norm_kwargs"] = {**(side.get("norm_kwargs") or {}), "eps": towers.layer_norm_eps}
    bias = model.objective.logit_bias
    return {
        "model_cfg": {
            "embed_dim": towers.embed_dim,
            "vision_cfg": vision,
            "text_cfg": text,
            "quick_gelu": towers.quick_gelu,
            "custom_text": True,
            **({} if bias is None else {"init_logit_bias": bias.item()}),
        },
        "preprocess_cfg": {"size": towers.image_size, **preprocessing.model_dump(mode="json")},
    }


def _card(trained: TrainedRun, model: ContrastiveModel, licence: str | None) -> str:
    """Return the model card: recipe, deviations, results, origin."""
    experiment = trained.folder.parents[1] / "experiment.json"
    described = files.read_json(experiment) if experiment.is_file() else {}
    loader = jinja2.PackageLoader("kbench", "models")
    environment = jinja2.Environment(
        loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("card.md.j2").render(
        config=trained.config,
        card=trained.card,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        deviations=described.get("deviations", []),
        results=_results(trained.folder),
        licence=licence,
        version=__version__,
        settings=json.dumps(trained.config.model_dump(mode="json"), indent=2),
    )


def _results(run: Path) -> list[TaskResult]:
    try:
        return [
            TaskResult.model_validate(files.read_json(path))
            for path in sorted(run.glob("evaluation/*/*.json"))
        ]
    except ValidationError as error:
        raise UserError(f"a result of {run} cannot be read: {error.errors()[0]['msg']}") from error


@torch.inference_mode()
def _compare(folder: Path, config: RunConfig, model: ContrastiveModel) -> None:
    """Raise UserError unless open_clip makes of a picture and texts what kbench makes of them."""
    name = f"local-dir:{folder}"
    theirs, _, transform = open_clip.create_model_and_transforms(name)
    theirs.eval()
    noise = np.random.default_rng(0).integers(0, 256, (*SIDES, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    pixels = np.array(Transform.of(config.towers)(picture))[None]
    tokens = torch.from_numpy(tokenizer.create(config.towers)(TEXTS))
    image, text = model.encode_images(pixels), model.towers.encode_text(tokens)
    pairs = {
        "an image": (image.project(image.pooled), theirs.encode_image(transform(picture)[None])),
        "texts": (
            text.project(text.pooled),
            theirs.encode_text(open_clip.get_tokenizer(name)(list(TEXTS))),
        ),
        "the scale of the logits": (
            model.similarity.scale.logarithm()[None],
            theirs.logit_scale[None],
        ),
    }
    for what, (ours, other) in pairs.items():
        size = ours.norm(dim=-1, keepdim=True)
        far = ((ours - other) / size).abs().max().item()
        if not far <= TOLERANCE:
            raise UserError(
                f"{config.run} cannot be exported: open_clip makes of {what} something else than"
                f" kbench, by {far:.1e} of its norm; legal: up to {TOLERANCE:.0e}"
            )
