"""Render an experiment's results as one HTML page, Markdown and LaTeX, at any time, finished or not.

The page needs nothing but itself. What is missing is listed with the job that makes it.

Example:
  kbench report results/demo
"""

import argparse

from kbench.commands import options
from kbench.results import store


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_results(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write report/index.html, report.md and report.tex below the results, and say where the page is."""
    loaded = store.load(arguments.results, arguments.allow_mixed_images)
    from kbench.report import content, render
    from kbench.report.analysis import Analysis
    from kbench.results import table

    report = content.build(Analysis(loaded, table.frame(loaded)))
    page, *others = render.write(report, arguments.results / "report")
    print("\n".join(report.warnings + report.answer))
    for path in others:
        print(f"wrote {path}")
    print(f"report: {page} ({page.resolve().as_uri()})")
