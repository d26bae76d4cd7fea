"""The training log, metrics.jsonl: one JSON object a line."""

import json
from pathlib import Path
from typing import Any

from kbench import files


class MetricsLog:
    """Appends to metrics.jsonl; lines from steps that a resumed run repeats are dropped first."""

    def __init__(self, path: Path, resumed_at: int) -> None:
        kept = [entry for entry in read(path) if entry["step"] <= resumed_at]
        files.write_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))
        self.path = path

    def append(self, entry: dict[str, Any]) -> None:
        """Add one line and hand it to the operating system."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a log; a half-written last line, which a killed run leaves, is ignored."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries
