"""Where a model comes from: open_clip's folders, the hub, open_clip's list, a file of weights."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kbench import files
from kbench.errors import UserError, unknown
from kbench.models.weights import SUFFIXES

CONFIG = "open_clip_config.json"
LOCAL, HUB = "local-dir:", "hf-hub:"
ON_THE_HUB = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Names of weights on the hub; the second is asked for only where the first is not there."""


@dataclass(frozen=True)
class Source:
    """A model as it was found.

    name: as it was asked for; architecture: open_clip's model_cfg; preprocessing: open_clip's
    preprocess_cfg; weights: the file; backbone: name in published tables; folder: where a
    tokenizer lies beside the weights, if one does.
    """

    name: str
    architecture: dict[str, Any]
    preprocessing: dict[str, Any]
    weights: Path
    backbone: str | None = None
    folder: Path | None = None


def find(name: str, architecture: str | None = None) -> Source:
    """Return what a name stands for.

    local-dir:FOLDER or FOLDER: a folder with open_clip_config.json and weights; hf-hub:OWNER/NAME:
    such a folder on Hugging Face's hub; ARCHITECTURE/TAG: one of open_clip's list; FILE: weights,
    of an `architecture` that has to be given, by open_clip's name or as a JSON file. UserError if
    there is none, or not all of it.
    """
    if name.startswith(LOCAL):
        return _folder(name, Path(name.removeprefix(LOCAL)))
    if name.startswith(HUB):
        # A folder of one's own holds its tokenizer; on the hub, the configuration names one.
        return replace(_folder(name, _from_hub(name.removeprefix(HUB))), folder=None)
    if Path(name).is_dir():
        return _folder(name, Path(name))
    if Path(name).is_file() or Path(name).suffix in SUFFIXES:
        return _file(name, architecture)
    return _listed(name)


def _folder(name: str, folder: Path) -> Source:
    if not folder.is_dir():
        raise UserError(f"{name}: no such folder")
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} holds no {CONFIG}: it is no folder of open_clip's")
    model, preprocessing = _config(folder / CONFIG)
    return Source(name, model, preprocessing, _weights(folder), None, folder)


def _config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (model_cfg, preprocess_cfg) of a JSON file, which may hold the first alone."""
    values = files.read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a configuration of open_clip's: it holds no keys")
    model = values.get("model_cfg", values)
    missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in model]
    if missing:
        raise UserError(f"{path} is not a configuration of open_clip's: no {', '.join(missing)}")
    return model, values.get("preprocess_cfg", {}) if model is not values else {}


def _weights(folder: Path) -> Path:
    """Return the weights that open_clip would take from a folder."""
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from open_clip.factory import _find_checkpoint_in_dir

    if not any(path.suffix in SUFFIXES for path in folder.iterdir()):
        raise UserError(
            f"{folder} holds no weights; legal: files that end in {', '.join(SUFFIXES)}"
        )
    return Path(_find_checkpoint_in_dir(folder))


def _file(name: str, architecture: str | None) -> Source:
    if architecture is None:
        raise UserError(f"{name} is weights alone: say of which architecture with --architecture")
    if Path(architecture).suffix == ".json":
        model, preprocessing = _config(Path(architecture))
        return Source(name, model, preprocessing, Path(name))
    return Source(name, _architecture(architecture), {}, Path(name), architecture)


def _architecture(name: str) -> dict[str, Any]:
    folder = Path(importlib.util.find_spec("open_clip").origin).parent / "model_configs"
    path = folder / f"{name}.json"
    if not path.is_file():
        raise unknown("architecture", name, (path.stem for path in folder.glob("*.json")))
    return json.loads(path.read_text(encoding="utf-8"))


def _listed(name: str) -> Source:
    """Return one of open_clip's list; what it needs is downloaded if it is not in the cache."""
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from open_clip import pretrained

    architecture, _, tag = name.partition("/")
    tags = [f"{model}/{tag}" for model, tag in pretrained.list_pretrained()]
    if name not in tags:
        raise unknown("model", name, tags)
    entry, model = pretrained.get_pretrained_cfg(architecture, tag), _architecture(architecture)
    if entry.get("quick_gelu", False) != model.get("quick_gelu", False):
        raise UserError(
            f"the weights of {name} were trained with quick_gelu {entry.get('quick_gelu', False)},"
            f" which {architecture} does not have; see {architecture}-quickgelu"
        )
    keys = ("mean", "std", "interpolation", "resize_mode")
    preprocessing = {key: entry[key] for key in keys if entry.get(key) is not None}
    try:
        weights = Path(pretrained.download_pretrained(entry))
    except (OSError, RuntimeError) as error:
        raise _unreachable(name, error) from error
    return Source(name, model, preprocessing, weights, architecture)


def _from_hub(repository: str) -> Path:
    """Return a snapshot of a repository, which is downloaded if it is not in the cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        for weights in ON_THE_HUB:
            folder = Path(snapshot_download(repository, allow_patterns=[CONFIG, weights]))
            if (folder / weights).is_file():
                break
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise _unreachable(f"{HUB}{repository}", error) from error
    return folder


def _unreachable(name: str, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(
        f"{name} cannot be had: {reason}. Where there is no network, copy the files here and give"
        " their folder"
    )
