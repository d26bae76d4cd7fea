"""Print where a number comes from: the rows behind a cell, and for each its features, weights,
data, code, commands.

Every step says whether what the result names is still there and still the same.

Examples:
  kbench trace results/demo/runs/RUN/evaluation/world-shape-colour/zeroshot.json
  kbench trace results/demo wpse-gaussian-d2 world-shape-colour acc1 --task zeroshot
  kbench trace results/demo wpse-gaussian-d2 world-pairs
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kbench.trace.cell import TableCell
    from kbench.trace.chain import Chain


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what is traced."""
    parser.add_argument(
        "place", type=Path, help="a result's document, or the results folder of an experiment"
    )
    parser.add_argument("variant", nargs="?", help="row of the table, where a folder is given")
    parser.add_argument("dataset", nargs="?", help="column of the table")
    parser.add_argument("metric", nargs="?", help="default: the main metric of the dataset")
    parser.add_argument("--task", help="where several tasks have the metric")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> None:
    """Print the cell, if one is asked for, and the chain of each of its rows."""
    from kbench.errors import UserError
    from kbench.trace import cell, chain

    chosen = None
    if arguments.place.is_dir():
        from kbench.results import store

        if arguments.dataset is None:
            raise UserError(
                "a cell is named by FOLDER VARIANT DATASET [METRIC]; a result by the path of its"
                " document"
            )
        loaded = store.load(arguments.place, mixed_images=True, mixed_code=True)
        chosen = cell.find(
            loaded, arguments.variant, arguments.dataset, arguments.metric, arguments.task
        )
    paths = list(chosen.documents.values()) if chosen else [arguments.place]
    chains = [chain.of(path) for path in paths]
    print(_document(chosen, chains) if arguments.json else "\n".join(_text(chosen, chains)))


def _text(chosen: "TableCell | None", chains: "list[Chain]") -> list[str]:
    from kbench.results import jobs
    from kbench.results.text import mean_sd, number, unit_name

    lines = []
    if chosen:
        column = chosen.column
        shown = f"{mean_sd(chosen.summary, column.unit)} {unit_name(column.unit)}".strip()
        what = f"{chosen.variant} on {column.dataset}, {column.task} {column.metric}"
        lines.append(f"{what}: {shown}, mean ± sd of {len(chosen.documents)} rows")
    for one in chains:
        values = ", ".join(
            f"{metric.name} {number(metric.value, metric.unit)}" for metric in one.result.metrics
        )
        lines += [f"{one.path}", f"  result                {values}"]
        for link in one.links:
            facts = [link.identity or "", link.state, link.where, link.note]
            lines.append(f"  {link.what:<22}{'  '.join(fact for fact in facts if fact)}")
        lines.append(f"  made by               {jobs.evaluate(one.folder, one.result.run)}")
    return lines


def _document(chosen: "TableCell | None", chains: "list[Chain]") -> str:
    cell = chosen and {
        "variant": chosen.variant,
        **chosen.column._asdict(),
        "mean": chosen.summary.mean,
        "sd": chosen.summary.sd,
        "values": chosen.summary.values,
    }
    rows = [
        {
            "path": str(one.path),
            "result": one.result.model_dump(mode="json"),
            "links": [asdict(x) for x in one.links],
        }
        for one in chains
    ]
    return json.dumps({"cell": cell, "rows": rows}, indent=2)
