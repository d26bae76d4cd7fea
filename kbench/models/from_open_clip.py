"""The configuration of one of open_clip's models in kbench's terms: towers, preprocessing,
tokenizer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kbench import similarity
from kbench.errors import UserError, unknown
from kbench.experiment.schema import RunConfig
from kbench.models.source import Source
from kbench.records.section import explain
from kbench.towers.config import OF_THE_SIMILARITY, Preprocessing, TowerConfig

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
"""What open_clip normalises with where a model does not say; Radford et al. 2021."""

NOT_NEEDED = (*OF_THE_SIMILARITY, "multimodal_cfg", "custom_text")
"""Keys of open_clip's configurations that change no embedding."""

TOKENIZER, TEXT = "tokenizer", "text"
"""Folders beside the weights, for what Hugging Face's code reads."""


def configuration(name: str, source: Source, folder: Path, has_bias: bool) -> RunConfig:
    """Return the configuration; a tokenizer, and what a text tower of Hugging Face's is built from,
    are written into the folder.

    UserError for keys that kbench does not know and for what cannot be had.
    """
    return RunConfig(
        variant=name,
        similarity="cosine",
        similarity_settings=similarity.parse("cosine", {}).model_dump(mode="json"),
        objective="sigmoid" if has_bias else "infonce",
        seed=0,
        corpus=None,
        towers=_towers(name, source, folder),
        training=None,
    )


def _towers(name: str, source: Source, folder: Path) -> TowerConfig:
    kept = {key: value for key, value in source.architecture.items() if key not in NOT_NEEDED}
    # What towers return beside their embedding, kbench asks for itself.
    kept["vision_cfg"] = {k: v for k, v in kept["vision_cfg"].items() if k != "output_tokens"}
    if "timm_model_name" in kept["vision_cfg"]:
        kept["vision_cfg"]["timm_model_pretrained"] = False
    kept["text_cfg"] = _text(source, folder)
    settings = {"name": name, "backbone": source.backbone, **kept}
    try:
        towers = TowerConfig(**settings, preprocessing=_preprocessing(source))
    except ValidationError as error:
        raise UserError(f"{source.name}: {explain(error, TowerConfig)}") from error
    sides = {"vision_cfg": towers.vision_cfg.get("image_size", 224)}
    sides |= {"preprocess_cfg": source.preprocessing.get("size", sides["vision_cfg"])}
    if len({_square(source.name, side) for side in sides.values()}) > 1:
        raise UserError(f"{source.name}: the images have two sizes, {sides}")
    return towers


def _square(name: str, size: int | list[int]) -> int:
    """Return the side of a square in pixels; UserError for another shape."""
    both = [size, size] if isinstance(size, int) else list(size)
    if len(set(both[-2:])) != 1:
        raise UserError(f"{name}: images of {both} pixels are not square, which kbench needs")
    return both[-1]


def _preprocessing(source: Source) -> Preprocessing:
    legal = {*Preprocessing.model_fields, "size", "mode"}
    for key in source.preprocessing:
        if key not in legal:
            raise unknown(f"preprocessing key of {source.name}", key, legal)
    given = {k: v for k, v in source.preprocessing.items() if k != "size" and v is not None}
    if given.pop("mode", "RGB") != "RGB":
        raise UserError(f"{source.name}: images of another mode than RGB are not supported")
    # open_clip augments with either at random, and evaluates with bicubic.
    if given.get("interpolation") == "random":
        given["interpolation"] = "bicubic"
    for key in ("mean", "std"):
        if isinstance(given.get(key), (int, float)):
            given[key] = (given[key],) * 3
    try:
        return Preprocessing(**{"mean": OPENAI_MEAN, "std": OPENAI_STD} | given)
    except ValidationError as error:
        raise UserError(
            f"preprocessing of {source.name}: {explain(error, Preprocessing)}"
        ) from error


def _text(source: Source, folder: Path) -> dict[str, Any]:
    """Return the text tower's configuration; what Hugging Face's code reads for it is copied."""
    settings = {k: v for k, v in source.architecture["text_cfg"].items() if k != "output_tokens"}
    if wanted := settings.get("hf_tokenizer_name"):
        settings["hf_tokenizer_name"] = _save(
            "AutoTokenizer", source.folder or wanted, folder / TOKENIZER, source.name
        )
    if settings.get("hf_model_name"):
        settings["hf_model_name"] = _save(
            "AutoConfig", settings["hf_model_name"], folder / TEXT, source.name
        )
        settings["hf_model_pretrained"] = False
    return settings


def _save(kind: str, origin: Path | str, target: Path, model: str) -> str:
    """Write what one of transformers' classes reads, from a folder, the cache or the hub."""
    import transformers

    try:
        getattr(transformers, kind).from_pretrained(str(origin)).save_pretrained(str(target))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        what = "tokenizer" if kind == "AutoTokenizer" else "text tower's configuration"
        raise UserError(f"{model}: its {what} cannot be had from {origin}: {reason[0]}") from error
    return str(target)
