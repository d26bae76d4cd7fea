"""Checkpoints from which a run goes on as if it had never stopped."""

import pickle
from pathlib import Path
from typing import Any

import torch

from kbench import files
from kbench.errors import UserError

KEPT = 2


def folder(run: Path) -> Path:
    """Return the folder of a run's checkpoints."""
    return run / "checkpoints"


def save(run: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` steps beside the others, whole or not at all, and keep the last two."""
    with files.replacing(folder(run) / f"step-{step:09d}.pt") as temporary:
        torch.save(state, temporary)
    for old in _all(run)[:-KEPT]:
        old.unlink(missing_ok=True)


def latest(run: Path, identity: dict[str, str]) -> dict[str, Any] | None:
    """Return the newest state, or None where there is none yet. Arbitrary objects are never unpickled.

    `identity` names the run's configuration and corpus by their hashes. Raises UserError if the checkpoint is corrupt,
    saying which file to delete, or was written under another identity.
    """
    paths = _all(run)
    if not paths:
        return None
    newest = paths[-1]
    try:
        state = torch.load(newest, map_location="cpu", weights_only=True)
        found = state["identity"]
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        older = f"{paths[-2].name} goes on from there" if len(paths) > 1 else "the run starts over"
        raise UserError(f"checkpoint {newest} is corrupt ({reason}); delete it and {older}") from error
    for what, value in identity.items():
        if found.get(what) != value:
            raise UserError(f"checkpoint {newest} was trained with {what} {found.get(what)}, not {value}: delete it")
    return state


def _all(run: Path) -> list[Path]:
    return sorted(folder(run).glob("step-*.pt"))
