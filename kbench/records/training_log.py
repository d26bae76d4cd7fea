"""The training log of a run, metrics.jsonl: one JSON object a line."""

from pathlib import Path
from typing import Any

from kbench.records import strict_json


def read(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a log; a half-written last line, which a killed run leaves, is
    ignored.
    """
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entries.append(strict_json.parse(line))
        except ValueError:
            break
    return entries
