"""Say what kbench sees of this machine, or of the container it runs in, and what is wrong with it.

Versions, GPU, memory, disk and its speed, open files, clock, container runtime, datasets; with
--experiment also whether they are enough for it. Lines marked 'BAD' make jobs fail, and say how
that is mended; with one, the exit status is 1. With --slurm also what it sees of the cluster, from
here and from a compute node, which it waits for.

Examples:
  kbench doctor --data data
  kbench doctor --experiment cifar10 --json doctor.json
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from kbench import files, locations

MARKS = {"ok": " ok ", "note": "note", "bad": "BAD "}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the folders to look for datasets in, and what to look at besides."""
    locations.add_arguments(parser)
    parser.add_argument(
        "--experiment", metavar="NAME", help="look whether this one has what it needs"
    )
    parser.add_argument(
        "--slurm", action="store_true", help="look at the Slurm cluster too, from one of its nodes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all lines there too")


def run(arguments: argparse.Namespace) -> int:
    """Print one line a finding, below a bad one how it is mended; returns 1 if one is bad."""
    from kbench.doctor import machine, resources
    from kbench.experiment.load import load

    where = locations.from_arguments(arguments)
    experiment = load(arguments.experiment) if arguments.experiment else None
    findings = [*machine.examine(where), *resources.examine(experiment, where)]
    if arguments.slurm:
        from kbench.doctor import cluster

        findings += cluster.examine()
    for finding in findings:
        print(f"{MARKS[finding.state]}  {finding.name:<18} {finding.text}")
        if finding.mend:
            print(f"{'':<24} mend: {finding.mend}")
    if arguments.json:
        written = [dataclasses.asdict(finding) for finding in findings]
        files.write_json(arguments.json, {"findings": written})
        print(f"wrote {arguments.json}", file=sys.stderr)
    return int(any(finding.state == "bad" for finding in findings))
