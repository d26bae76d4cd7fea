"""Time and memory that Snakemake's own process takes for each job that it sends to Slurm.

The Slurm is simulated: `sbatch` writes empty outputs at once and every job is done when it is asked
for, so that what is left is the submitting side. The baseline is half as many runs: a ratio near 2
says that the cost grows linearly.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from kbench.bench.dag import lay_out, write_experiment
from kbench.bench.measure import Row, say
from kbench.errors import UserError

COMMANDS = {
    "sbatch": (
        """
while [ $# -gt 0 ]; do
  case $1 in --test-only) exit 0 ;; --comment) comment=$2; shift ;; esac
  shift
done
rule=${comment#rule_} values=${comment##*_}
rule=${rule%%_*}
cd results/large-0
case $rule in
world) touch "$WORLD" ;;
corpus) echo '{}' >corpus.json ;;
pretrain) touch runs/$values/model.safetensors runs/$values/model.json ;;
features) touch runs/$values/encoded.json ;;
evaluate) touch runs/$values/evaluated.json ;;
compare) touch table.csv table.json bundle.tar.xz ;;
report) mkdir -p report; touch report/index.html report/report.md report/report.tex ;;
esac
record=benchmarks/$rule
case $rule in
pretrain) record=$record/runs/$values ;;
features | evaluate) record=$record/$values ;;
esac
mkdir -p "${record%/*}"
touch "$record.tsv"
exec 9>>"$JOBS"
flock 9
job=$(($(wc -l <"$JOBS") + 1))
echo "$job|COMPLETED" >&9
echo $job
"""
    ),
    "squeue": 'case "$*" in *--me*) ;; *) cat "$JOBS" ;; esac',
    "sacct": "echo Slurm accounting storage is disabled >&2; exit 1",
    "scontrol": "echo 'MinJobAge = 86400 sec'; echo 'MaxArraySize = 1001'",
    "sinfo": "echo 'main*'",
    "scancel": "exit 0",
    "sacctmgr": "exit 0",
    "sshare": "exit 0",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the number of runs."""
    parser.add_argument(
        "--runs", type=int, default=200, help="models, each of three jobs; default %(default)s"
    )
    parser.add_argument(
        "--at-once", type=int, default=1000, help="jobs in the queue at once; default %(default)s"
    )


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    say(f"\n{'jobs':>8}{'s':>9}{'ms a job':>10}{'MB':>8}")
    measured = []
    for runs in (arguments.runs // 2, arguments.runs):
        seconds, peak = _submit(runs, arguments.at_once)
        jobs = 3 * runs + 4
        measured.append((seconds, peak))
        say(f"{jobs:>8}{seconds:>9.1f}{1000 * seconds / jobs:>10.0f}{peak / 1e6:>8.0f}")
    (half, half_peak), (whole, peak) = measured
    return [
        Row.of("submission/time", whole, "seconds", half),
        Row.of("submission/memory", peak, "bytes", half_peak),
    ]


def _submit(runs: int, at_once: int) -> tuple[float, int]:
    """Return processor seconds and peak bytes of one snakemake that submits every job of so many
    runs.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        world = lay_out(
            folder, write_experiment(folder, 0, ["cosine"], range(runs), ["world-shape"])
        )
        commands = folder / "bin"
        commands.mkdir()
        for name, script in COMMANDS.items():
            (commands / name).write_text(f"#!/bin/bash\n{script}\n")
            (commands / name).chmod(0o755)
        (folder / "jobs").touch()
        (folder / "slurm-site.yaml").write_text(
            f"{{jobs: {at_once}, submissions: 100000/1s, first_check_seconds: 1}}"
        )
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--profile",
            "workflow/profiles/slurm",
            "--quiet",
            "rules",
        ]
        path = f"{commands}{os.pathsep}{os.environ['PATH']}"
        variables = {**os.environ, "PATH": path, "JOBS": str(folder / "jobs"), "WORLD": world.name}
        variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, "--config", "experiment=large-0.yaml"],
                cwd=folder,
                env=variables,
                stdout=log,
                stderr=log,
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or (folder / "jobs").read_text().count("\n") < 3 * runs:
            raise UserError(f"snakemake says: {(folder / 'log').read_text()[-3000:]}")
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
