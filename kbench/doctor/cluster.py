"""What kbench sees of a Slurm cluster, from the login node and from a compute node."""

import json
import secrets
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kbench import provenance
from kbench.doctor.machine import LITTLE_DISK, Finding
from kbench.errors import UserError
from kbench.experiment.schema import Resources
from kbench.slurm import cluster, preflight, profile
from kbench.slurm import site as sites
from kbench.slurm.request import Request, request
from kbench.slurm.site import Site

WAIT_SECONDS = 60
"""How long a node to look from may take to become free."""


def examine() -> list[Finding]:
    """Return a line for everything that a person would ask about when jobs do not start or do not
    end.
    """
    try:
        version = cluster.ask("sinfo", "--version").stdout.strip()
    except UserError as error:
        return [Finding("slurm", "bad", str(error))]
    site = sites.load()
    findings = [
        Finding("slurm", "ok", version),
        _site_file(),
        *_partitions(),
        _accounting(),
        *_status(site),
    ]
    # Two kinds of nodes at most: those with GPUs and those without.
    seen = set()
    for rule in ("evaluate", "pretrain"):
        asked = request(rule, Resources(threads=1, memory_gb=1, hours=0.05), site)
        options = tuple(asked.options())
        if options not in seen:
            seen.add(options)
            findings += _from_a_node(asked)
    return findings


def _site_file() -> Finding:
    path = sites.path()
    if path.exists():
        return Finding("site file", "ok", str(path.resolve()))
    return Finding(
        "site file",
        "note",
        f"no {path}: the cluster's defaults, no GPUs (workflow/profiles/README.md)",
    )


def _partitions() -> Iterator[Finding]:
    for part in cluster.partitions():
        text = (
            f"{part.nodes} nodes {part.state}, {part.cpus} CPUs, {part.memory_mb} MB,"
            f" {part.gpus or 'no GPU'}, limit"
            f" {part.time_limit}{', default' if part.default else ''}"
        )
        up = not part.state.startswith(("down", "drain", "inval", "fail"))
        yield Finding(f"partition {part.name}", "ok" if up else "note", text)


def _accounting() -> Finding:
    refused = cluster.accounting_refused()
    return Finding(
        "accounting",
        "note" if refused else "ok",
        f"sacct says: {refused}" if refused else "sacct answers",
    )


def _status(site: Site) -> Iterator[Finding]:
    try:
        yield Finding("job states", "ok", f"asked of {profile.choose_status(site)}")
    except UserError as error:
        yield Finding("job states", "bad", str(error))


def _from_a_node(asked: Request) -> list[Finding]:
    """Run the probe where jobs of a rule would run."""
    name = f"node for {asked.rule}"
    try:
        preflight.check([asked])
    except UserError as error:
        return [Finding(name, "bad", str(error))]
    with tempfile.TemporaryDirectory(prefix=".kbench-probe-", dir=Path.cwd()) as temporary:
        folder, token = Path(temporary), secrets.token_hex(8)
        (folder / "login").write_text(token, encoding="ascii")
        command = [sys.executable, "-m", "kbench.doctor.node", str(folder), token]
        process = cluster.ask(
            "srun",
            f"--immediate={WAIT_SECONDS}",
            "--quiet",
            *asked.options(),
            *command,
            patience=3 * WAIT_SECONDS,
        )
        if process.returncode:
            said = cluster.words(process)
            busy = "busy" in said
            text = (
                f"`srun {shlex.join(asked.options())}`:"
                f" {said}{f' for {WAIT_SECONDS} s' if busy else ''}"
            )
            return [Finding(name, "note" if busy else "bad", text)]
        seen = json.loads(process.stdout.splitlines()[-1])
        back = folder / "node"
        shared = (
            seen["reads"]
            and seen["writes"]
            and back.exists()
            and back.read_text(encoding="ascii") == token
        )
        return list(_node(name, seen, shared, asked))


def _node(name: str, seen: dict, shared: bool, asked: Request) -> Iterator[Finding]:
    yield Finding(name, "ok", f"{seen['host']}, Python {seen['python']}")
    where = f"{Path.cwd()} on {seen['host']}"
    yield Finding(
        "  shared folder",
        "ok" if shared else "bad",
        f"{where}: {'read and written' if shared else 'not the same'}",
    )
    same = seen["kbench"] == provenance.code_version()
    yield Finding(
        "  kbench",
        "ok" if same else "bad",
        seen["kbench"] or f"cannot be imported by {sys.executable} there",
    )
    yield Finding(
        "  containers",
        "ok" if seen["containers"] else "note",
        ", ".join(seen["containers"]) or "no runtime",
    )
    free = seen["free_gb"]
    yield Finding(
        "  TMPDIR",
        "ok" if free >= LITTLE_DISK else "note",
        f"{seen['temporary']}, {free:.1f} GB free",
    )
    if asked.gpus:
        given = (
            f"CUDA_VISIBLE_DEVICES={seen['visible']}"
            if seen["visible"]
            else "no CUDA_VISIBLE_DEVICES"
        )
        text = f"{given}; {', '.join(seen['gpus']) or 'no device of NVIDIA'} in /dev"
        yield Finding("  GPU", "ok" if seen["gpus"] else "bad", text)
