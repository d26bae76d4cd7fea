"""Checkpoints from which a run goes on as if it had never stopped."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from kbench import files
from kbench.errors import UserError

KEPT = 2
NAMED = 5
"""Differences that a message names at most."""


class Checkpoints:
    """The checkpoints of one run, in the folder checkpoints/ below its own.

    identity: everything that decides how the run goes on, as JSON values; a checkpoint of another one is refused.
    """

    def __init__(self, run: Path, identity: dict[str, Any]) -> None:
        self.folder, self.identity = run / "checkpoints", json.loads(json.dumps(identity))

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after `step` steps beside the others, whole or not at all, and keep the last two."""
        with files.replacing(self.folder / f"step-{step:09d}.pt") as temporary:
            torch.save(state | {"identity": json.dumps(self.identity)}, temporary)
        for old in self._all()[:-KEPT]:
            old.unlink(missing_ok=True)

    def latest(self) -> dict[str, Any] | None:
        """Return the newest state, or None where there is none yet. Arbitrary objects are never unpickled.

        Raises UserError if the checkpoint is corrupt, saying which file to delete, or was written under another
        identity, naming what differs.
        """
        paths = self._all()
        if not paths:
            return None
        newest = paths[-1]
        try:
            state = torch.load(newest, map_location="cpu", weights_only=True)
            found = json.loads(state["identity"])
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
        different = list(differences(found, self.identity))
        if different:
            more = f" and {len(different) - NAMED} more" if len(different) > NAMED else ""
            raise UserError(
                f"checkpoint {newest} is of another configuration: {', '.join(different[:NAMED])}{more}."
                " Go back to that configuration, or delete the checkpoints to start over"
            )
        return state

    def clear_unfinished(self) -> None:
        """Remove what was being written when a process was killed."""
        for part in self.folder.glob(".*.part"):
            part.unlink(missing_ok=True)

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))


def differences(found: Any, expected: Any, key: str = "") -> Iterator[str]:
    """Yield 'KEY SEEN instead of EXPECTED' for each leaf in which two JSON values differ."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in sorted(found.keys() | expected.keys()):
            inner = f"{key}.{name}" if key else name
            yield from differences(found.get(name, "absent"), expected.get(name, "absent"), inner)
    elif found != expected:
        yield f"{key} {json.dumps(found)} instead of {json.dumps(expected)}"
