"""The training logs of an experiment's runs as one tidy table, for a summary that outlives the
runs' own files.
"""

import csv
from pathlib import Path

from kbench import files
from kbench.results.store import Store

COLUMNS = (
    "step",
    "loss",
    "learning_rate",
    "logit_scale",
    "gradient_norm",
    "skipped_steps",
    "samples_per_second",
    "data_wait_fraction",
    "held_out_loss",
)
"""Keys of a line of metrics.jsonl; what a line does not have is an empty cell."""


def write(store: Store, path: Path) -> int:
    """Write one row a logged step of every run that has a log, losses in nats, as CSV; return the
    number of rows.
    """
    trained = [run for run in store.experiment.runs if run in store.cards]
    rows = [
        {"run": run, "variant": store.cards[run].variant, "seed": store.cards[run].seed}
        | _shown(entry)
        for run in trained
        for entry in store.log(run)
    ]
    with (
        files.replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        table = csv.DictWriter(stream, ["run", "variant", "seed", *COLUMNS], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return len(rows)


def _shown(entry: dict) -> dict[str, str]:
    return {key: f"{entry[key]:.6g}" for key in COLUMNS if entry.get(key) is not None}
