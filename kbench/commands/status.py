"""Print how far the jobs of an experiment are: done, running, failed with what they said, waiting.

Reads the results folder alone, so that it works beside a workflow, after it, and for one on another
machine that shares the folder.

Examples:
  kbench status results/demo
  watch kbench status results/demo
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kbench.plan.status import JobStatus

MOST_SHOWN = 20
"""Jobs of a state that are named."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the folder and the form."""
    parser.add_argument("results", type=Path, help="results folder of an experiment")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> None:
    """Print one line a rule, then what runs and what failed; UserError if it is no such folder."""
    from kbench.plan import status
    from kbench.plan.measured import measured

    working = status.at_work(arguments.results)
    statuses = status.jobs(arguments.results, working)
    left = status.seconds_left(statuses, measured(arguments.results))
    if arguments.json:
        listed = [asdict(job) for job in statuses]
        document = {"at_work": working, "seconds_left": left, "jobs": listed}
        print(json.dumps(document, indent=2))
        return
    print("\n".join(_lines(arguments.results.name, working, statuses, left)))


def _lines(
    name: str, working: bool | None, statuses: Sequence["JobStatus"], left: float | None
) -> Iterator[str]:
    from kbench.plan.cost import readable
    from kbench.plan.status import State, by_rule

    here = {True: "a workflow is at work", False: "no workflow is at work", None: "begun"}
    if all(job.state is State.DONE for job in statuses):
        here = dict.fromkeys(here, "every run is done")
    ends = f", about {readable(left)} left" if left is not None and working is not False else ""
    yield f"{name}: {here[working]}{ends}"
    yield "  " + f"{'':<10}" + "".join(f"{state:>9}" for state in State)
    for rule, states in by_rule(statuses):
        yield "  " + f"{rule:<10}" + "".join(f"{states[state]:>9}" for state in State)
    for state in (State.RUNNING, State.FAILED, State.STOPPED):
        jobs = [job for job in statuses if job.state is state]
        yield from (f"  {state:<8}  {job.rule} {job.run}{_told(job)}" for job in jobs[:MOST_SHOWN])
        if len(jobs) > MOST_SHOWN:
            yield f"  {state:<8}  and {len(jobs) - MOST_SHOWN} more"


def _told(job: "JobStatus") -> str:
    """Return what is known of a job that has begun."""
    parts = [] if job.share is None else [f"{job.share:.0%} of its pairs"]
    parts += [f"{job.rate:.0f} pairs/s"] if job.rate and job.state == "running" else []
    parts += [f"{job.message} ({job.log})"] if job.message else []
    return f": {', '.join(parts)}" if parts else ""
