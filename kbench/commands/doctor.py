"""Say what kbench sees of this machine, or of the container it runs in: versions, GPU, folders,
disk, datasets.

Lines marked 'bad' make jobs fail; with one, the exit status is 1.

With --slurm also what it sees of the cluster: partitions, GPUs, accounting; and from a compute
node, which it waits for: whether the working folder is shared, the container runtime, TMPDIR.

Example: kbench doctor --data data
"""

import argparse

from kbench import locations

MARKS = {"ok": " ok ", "note": "note", "bad": "BAD "}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the folders to look for datasets in."""
    locations.add_arguments(parser)
    parser.add_argument(
        "--slurm", action="store_true", help="look at the Slurm cluster too, from one of its nodes"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one line a finding; returns 1 if one is bad."""
    from kbench.doctor import machine

    findings = machine.examine(locations.from_arguments(arguments))
    if arguments.slurm:
        from kbench.doctor import cluster

        findings += cluster.examine()
    for finding in findings:
        print(f"{MARKS[finding.state]}  {finding.name:<18} {finding.text}")
    return int(any(finding.state == "bad" for finding in findings))
