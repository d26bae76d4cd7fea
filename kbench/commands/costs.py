"""Write what each job of an experiment that has run took: time, disk, amount of work. `kbench check` reads it.

Example: kbench costs results/demo --output results/demo/summary/jobs.csv
"""

import argparse
from pathlib import Path

from kbench.errors import UserError
from kbench.experiment import cost


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the results folder and the table."""
    parser.add_argument("results", type=Path, help="results folder of an experiment that has run")
    parser.add_argument("--output", type=Path, required=True, help="CSV file to write")


def run(arguments: argparse.Namespace) -> None:
    """Collect and write."""
    jobs = cost.measured(arguments.results)
    if not jobs:
        raise UserError(f"{arguments.results} holds no record of jobs: no benchmarks/ folder and no experiment.json")
    cost.write(jobs, arguments.output)
    print(f"{arguments.output}: {len(jobs)} jobs, {cost.readable(sum(job.seconds for job in jobs))} together")
