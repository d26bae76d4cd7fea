"""Checkpoints from which a run goes on as if it had never stopped."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kbench import files
from kbench.errors import UserError
from kbench.identity.code import Code, conflicts
from kbench.records import strict_json

if TYPE_CHECKING:
    from kbench.pretrain.trainer import Trainer

KEPT = 2
NAMED = 5
"""Differences that a message names at most."""


class Checkpoints:
    """The checkpoints of one run, in the folder checkpoints/ below its own.

    identity: everything that decides how the run goes on, as JSON values; a checkpoint of another
    one is refused. seconds: wall time between two of them. code: what trains the run; a checkpoint
    of other code is refused too. None once the run goes on from a checkpoint of kbench 0.1.0, which
    did not say what wrote it.
    """

    def __init__(
        self, run: Path, identity: dict[str, Any], code: Code | None = None, seconds: float = 0
    ) -> None:
        self.folder, self.identity = run / "checkpoints", json.loads(json.dumps(identity))
        self.code, self.seconds, self.saved = code, seconds, time.monotonic()

    @property
    def digest(self) -> str:
        """A hash over what decides how the run goes on, its code too."""
        return files.canonical_hash([self.identity, self._modules()])

    def resume(self, trainer: Trainer) -> None:
        """Put the newest state into a trainer, if there is one; UserError as `latest`, or if
        processes see others.
        """
        state, processes = self.latest(), trainer.processes
        if state is not None:
            trainer.load_state(state)
        step = trainer.progress.step
        if processes.most(step) != -processes.most(-step):
            raise UserError(
                f"not all processes see the same checkpoint in {self.folder.parent}: it must lie on"
                " a shared file system"
            )
        if processes.writes:
            self.clear_unfinished()
            if state is not None:
                print(f"{trainer.config.run}: going on from step {step} of {trainer.steps}")

    def save_if_due(self, trainer: Trainer, at_once: bool) -> None:
        """Save if `at_once`, or if the last one is old and the last step was not skipped; the first
        process does.
        """
        due = trainer.skipped_in_a_row == 0 and time.monotonic() - self.saved > self.seconds
        if trainer.processes.writes and (at_once or due):
            self.save(trainer.progress.step, trainer.state())

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after `step` steps beside the others, whole or not at all, and keep the
        last two.
        """
        with files.replacing(self.folder / f"step-{step:09d}.pt") as temporary:
            torch.save(state | {"identity": json.dumps(self.identity)} | self._modules(), temporary)
        for old in self._all()[:-KEPT]:
            old.unlink(missing_ok=True)
        self.saved = time.monotonic()

    def latest(self) -> dict[str, Any] | None:
        """Return the newest state, or None where there is none yet. Arbitrary objects are never
        unpickled.

        Raises UserError if the checkpoint is corrupt, saying which file to delete, or was written
        under another identity, naming what differs.
        """
        paths = self._all()
        if not paths:
            return None
        newest = paths[-1]
        try:
            state = torch.load(newest, map_location="cpu", weights_only=True)
            identity = strict_json.parse(state["identity"])
            modules = strict_json.parse(state["modules"]) if "modules" in state else None
        # Which error bytes of chance end in is torch's and the unpickler's affair.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            older = (
                f"{paths[-2].name} goes on from there" if len(paths) > 1 else "the run starts over"
            )
            raise UserError(
                f"checkpoint {newest} is corrupt ({reason}); delete it and {older}"
            ) from error
        different = list(files.differences(identity, self.identity))
        if different:
            more = f" and {len(different) - NAMED} more" if len(different) > NAMED else ""
            raise UserError(
                f"checkpoint {newest} is of another configuration:"
                f" {', '.join(different[:NAMED])}{more}. Go back to that configuration, or delete"
                " the checkpoints to start over"
            )
        self._check_code(newest, modules)
        return state

    def clear_unfinished(self) -> None:
        """Remove what was being written when a process was killed."""
        for part in self.folder.glob(".*.part"):
            part.unlink(missing_ok=True)

    def _modules(self) -> dict[str, str]:
        return {"modules": json.dumps(dict(self.code.modules))} if self.code else {}

    def _check_code(self, path: Path, modules: dict[str, str] | None) -> None:
        if modules is None:
            self.code = None
        elif self.code and (changed := conflicts([self.code, Code(modules)])):
            raise UserError(
                f"checkpoint {path} was written by other code: {', '.join(changed)} changed since."
                " Go back to that code, or delete the checkpoints to start over"
            )

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))
