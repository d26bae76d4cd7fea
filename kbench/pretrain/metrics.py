"""The training log: metrics.jsonl, one JSON object a line, and the same numbers for TensorBoard."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kbench import files
from kbench.records.training_log import read

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Appends to metrics.jsonl; lines from steps that a resumed run repeats are dropped first."""

    def __init__(self, path: Path, resumed_at: int) -> None:
        kept = [entry for entry in read(path) if entry["step"] <= resumed_at]
        files.write_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))
        self.path, self.resumed_at = path, resumed_at
        self.writer = None

    def append(self, entry: dict[str, Any]) -> None:
        """Add one line and hand it to the operating system."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, allow_nan=False) + "\n")
        if self.writer is None:
            # Late, because the import takes a second and the writer has a thread, which loaders
            # must not inherit.
            self.writer = _writer(self.path.parent / "tensorboard", self.resumed_at + 1)
        for name, value in entry.items():
            if name != "step" and value is not None:
                self.writer.add_scalar(name, value, entry["step"])

    def close(self) -> None:
        """Write what TensorBoard has not got yet."""
        if self.writer is not None:
            self.writer.close()


def _writer(folder: Path, purge_step: int) -> "SummaryWriter":
    """Return a writer whose files are not named after this machine, as TensorBoard names them;
    nothing offers that.
    """
    from tensorboard.summary.writer import event_file_writer
    from torch.utils.tensorboard import SummaryWriter

    event_file_writer.socket = SimpleNamespace(gethostname=lambda: "kbench")
    return SummaryWriter(folder, purge_step=purge_step)
