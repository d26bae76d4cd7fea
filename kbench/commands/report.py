"""Render an experiment's results as one HTML page, Markdown and LaTeX, finished or not.

The page needs nothing but itself. What is missing is listed with the job that makes it. A bundle,
which `kbench compare` writes, is rendered without the runs.

Examples:
  kbench report results/demo
  kbench report results/demo --figures
  kbench report results/demo/summary --output page
"""

import argparse
import sys
from pathlib import Path

from kbench.commands import options


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_results(parser)
    parser.add_argument(
        "--output", type=Path, help="folder to write; default: report/ below the results"
    )
    parser.add_argument(
        "--figures",
        action="store_true",
        help="also every figure as SVG and PDF, in figures/ beside the page; report.tex shows them",
    )
    parser.add_argument(
        "--crate",
        action="store_true",
        help="also describe the finished experiment as an RO-Crate, in its folder",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write report/index.html, report.md and report.tex below the results, and say where the page
    is.
    """
    loaded = options.load_results(arguments, to_show=True)
    from kbench import memory
    from kbench.report import content, render
    from kbench.report.analysis import Analysis
    from kbench.results import table

    beside = arguments.results if arguments.results.is_dir() else arguments.results.parent
    with memory.collector_paused():
        analysis = Analysis(loaded, table.frame(loaded))
        report = content.build(analysis)
        folder = arguments.output or beside / "report"
        page, *others = render.write(report, folder, arguments.figures)
    print("\n".join(report.warnings + report.answer))
    for path in others:
        print(f"wrote {path}")
    if arguments.figures:
        number = render.write_figures(report, folder / "figures")
        print(f"wrote {folder / 'figures'}: {number} figures, each as SVG and PDF")
    if arguments.crate:
        from kbench.report import crate

        print(f"wrote {crate.write(analysis)}")
    # A link for who sees it; a job's log, which lies among the results, names no folder of this
    # machine.
    print(f"report: {page}" + (f" ({page.resolve().as_uri()})" if sys.stdout.isatty() else ""))
