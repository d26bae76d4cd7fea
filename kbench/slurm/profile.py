"""What workflow/profiles/slurm/config.yaml computes from the site file and from the cluster
itself.
"""

import sys

from kbench.errors import UserError
from kbench.slurm import cluster
from kbench.slurm import site as sites
from kbench.slurm.request import counter
from kbench.slurm.site import Site

LONGEST_PAUSE = 180
"""Seconds between two looks at job states at most (the executor's own constant): squeue must
remember for longer.
"""


def site() -> Site:
    """Return the site. A mistake in its file ends the process with one message, as everywhere:
    status 2.
    """
    try:
        return sites.load()
    except UserError as error:
        _refuse(error)


def status_command(chosen: Site) -> str:
    """Return 'sacct' or 'squeue': where accounting is refused the executor would wait for sacct for
    ever.
    """
    try:
        return choose_status(chosen)
    except UserError as error:
        _refuse(error)


def choose_status(chosen: Site) -> str:
    """Return what can tell job states here. Raises UserError if nothing can."""
    refused = cluster.accounting_refused() if chosen.status != "squeue" else None
    if chosen.status == "sacct" and refused:
        raise UserError(
            f"{sites.path()}: status: sacct, but sacct says: {refused}; legal here: squeue, auto"
        )
    if chosen.status != "squeue" and not refused:
        return "sacct"
    remembered, needed = (
        cluster.remembered_seconds(),
        max(LONGEST_PAUSE, 3 * chosen.first_check_seconds),
    )
    if remembered < needed:
        raise UserError(
            "job states can be asked of nobody: sacct says"
            f" {refused or 'nothing, as status: squeue was chosen'}; squeue forgets a job"
            f" {remembered} s after its end and {needed} s are needed. Ask for MinJobAge of at"
            f" least {needed} in slurm.conf, or, if it is {LONGEST_PAUSE} already, set a smaller"
            f" first_check_seconds in {sites.path()}"
        )
    if refused:
        print(
            f"kbench: no accounting here (sacct says: {refused}); job states are asked of squeue",
            file=sys.stderr,
        )
    return "squeue"


def limits(chosen: Site) -> dict[str, int]:
    """Return the workflow's totals: jobs by partition. `devices` are one machine's and do not count
    here.
    """
    return {"devices": 10**6} | {
        counter(name): most for name, most in chosen.jobs_per_partition.items()
    }


def _refuse(error: UserError) -> None:
    print(f"kbench: {error}", file=sys.stderr)
    sys.exit(2)
