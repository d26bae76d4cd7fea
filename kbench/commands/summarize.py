"""Write what is worth keeping of an experiment into a small folder: its report, its numbers, its
plots, its costs.

FOLDER/bundle.tar.xz is what `kbench report` renders again, table.csv the tidy table, curves.csv the
training logs, along.csv the scores of weights that were kept on the way, jobs.csv time and disk of
every job (`kbench check` plans with it), report.md the report; --figures adds plots of the page as
SVG files. Of hundreds of runs bundle and table take megabytes: --small writes table.csv.gz, which
pandas reads as it is, and no bundle.

Example:
  kbench summarize results/demo --output results/demo/summary --figures figure-pmi_gap
"""

import argparse
import gzip
from pathlib import Path

from kbench import files
from kbench.commands import options
from kbench.errors import unknown
from kbench.plan import measured


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the results, the folder to write and the plots."""
    options.add_results(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--small", action="store_true", help="no bundle, and the table as table.csv.gz"
    )
    parser.add_argument(
        "--figures", nargs="*", default=[], metavar="ID", help="plots, by their ids on the page"
    )


def run(arguments: argparse.Namespace) -> None:
    """Check what was asked for, write all files, say how much is in each."""
    loaded = options.load_results(arguments)
    from kbench.report import content, render, svg
    from kbench.report.analysis import Analysis
    from kbench.results import along, bundle, curves, table

    frame = table.frame(loaded)
    report = content.build(Analysis(loaded, frame))
    figures = {figure.id: figure for section in report.sections for figure in section.figures}
    for name in arguments.figures:
        if name not in figures:
            raise unknown("figure", name, figures)
    output, jobs = arguments.output, measured.measured(loaded.place)
    _write_table(output, frame.to_csv(index=False), arguments.small)
    files.write_text(output / "report.md", render.markdown(report))
    if loaded.unpacked is None and not arguments.small:
        bundle.write(loaded.folder, output / bundle.NAME)
    if jobs:
        measured.write(jobs, output / "jobs.csv")
    along.write(loaded, output / along.FILE)
    steps = curves.write(loaded, output / "curves.csv")
    for name in arguments.figures:
        files.write_text(output / f"{name}.svg", svg.standalone(figures[name].svg))
    print(
        f"{output}: {len(frame)} results, {steps} logged steps, {len(jobs)} jobs,"
        f" {len(arguments.figures)} figures"
    )


def _write_table(output: Path, text: str, small: bool) -> None:
    if not small:
        files.write_text(output / "table.csv", text)
        return
    with files.replacing(output / "table.csv.gz") as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))
