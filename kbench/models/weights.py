"""The tensors of a checkpoint file; nothing else of it is ever unpickled."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from kbench import files
from kbench.errors import UserError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
"""Of files that hold weights; all but the first are torch's."""

WRAPPERS = ("state_dict", "model", "ema")
"""Keys under which training codes put the weights, beside what they need to go on."""


def read(path: Path, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Return the tensors by name, of what torch.nn.DataParallel has wrapped without its prefix.

    UserError if the file is absent, cut short, holds no tensors by name, or is not the one of a
    SHA-256.
    """
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"{path} is no weights file; legal: files that end in {', '.join(SUFFIXES)}"
        )
    if sha256 is not None and (seen := files.sha256(path)) != sha256.lower():
        raise UserError(f"{path} has SHA-256 {seen}, not {sha256}: another file, or cut short")
    held = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    inner = next((held[key] for key in WRAPPERS if isinstance(held.get(key), dict)), held)
    other = [str(name) for name, value in inner.items() if not isinstance(value, torch.Tensor)]
    if other or not inner:
        raise UserError(f"{path} does not hold tensors alone: {', '.join(other[:3]) or 'empty'}")
    prefix = "module." if all(name.startswith("module.") for name in inner) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in inner.items()}


def _safetensors(path: Path) -> dict:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is cut short or no safetensors file: {error}") from error


class Inert:
    """What stands for any object of a checkpoint that is not a tensor: it does nothing."""

    def __init__(self, *arguments: object, **named: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _torch(path: Path) -> dict:
    """Return what a file of torch's holds. Training codes put their settings beside the weights, as
    objects of their own: each of these becomes an inert one, and no code of theirs is imported.
    """
    try:
        other = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception as error:
        # torch lets exceptions of pickle, zipfile and its own reader through.
        raise UserError(f"{path} is cut short or no file of torch's") from error
    inert = [(type("Inert", (Inert,), {}), name) for name in other]
    try:
        with torch.serialization.safe_globals(inert):
            held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        what = (
            f"holds {', '.join(other[:3])}, which is never unpickled" if other else "is cut short"
        )
        raise UserError(f"{path} {what}") from error
    if not isinstance(held, dict):
        raise UserError(f"{path} holds a {type(held).__name__}, not tensors by name")
    return held
