"""What a result says about where it was made, and what none must say."""

import getpass
import json
import shutil
import socket

import numpy
import PIL
import torch
from tiny import ROOT

from kbench.results import store


def test_every_result_and_model_names_a_recorded_environment(trained):
    results = trained[0].folder.parents[1]
    loaded = store.load(results)
    named = {(r.run, r.provenance.environment) for r in loaded.results} | {
        (run, card.environment) for run, card in loaded.cards.items()
    }
    assert len(named) == len(loaded.cards)
    for run, digest in named:
        seen = json.loads((results / "runs" / run / "environments" / f"{digest}.json").read_text())
        assert (
            seen["packages"]["torch"] == torch.__version__
            and seen["packages"]["numpy"] == numpy.__version__
        )
        assert seen["packages"]["pillow"] == PIL.__version__ and seen["libjpeg"]
        assert seen["threads"]["torch"] == torch.get_num_threads()
        if (ROOT / ".git").exists():
            assert len(seen["checkout"]["commit"]) == 40 and isinstance(
                seen["checkout"]["changed"], bool
            )


def test_times_are_in_order_and_in_utc(trained):
    loaded = store.load(trained[0].folder.parents[1])
    for entry in (*loaded.cards.values(), *(result.provenance for result in loaded.results)):
        assert entry.started <= entry.ended and entry.ended.endswith("+00:00")


def test_no_document_names_a_person_a_host_or_a_folder_of_this_machine(trained):
    results = trained[0].folder.parents[1]
    texts = {
        path: path.read_text() for path in results.rglob("*") if path.suffix in (".json", ".jsonl")
    }
    assert len(texts) > 20
    forbidden = {str(results.parent), str(ROOT), socket.gethostname(), f"/home/{getpass.getuser()}"}
    assert {
        (path.name, word) for path, text in texts.items() for word in forbidden if word in text
    } == set()


def test_no_file_is_named_after_this_machine(trained):
    names = [path.name for path in trained[0].folder.rglob("*")]
    assert any(name.startswith("events.out.tfevents.") for name in names)
    assert not [name for name in names if f".{socket.gethostname()}." in name]


def test_neither_report_nor_crate_nor_logs_name_a_person_a_host_or_a_folder(
    trained, tmp_path, kbench
):
    results = tmp_path / "shown"
    shutil.copytree(trained[0].folder.parents[1], results)
    (results / "logs").mkdir()
    for command in (["compare", "shown"], ["report", "shown", "--crate"]):
        done = kbench(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (results / "logs" / f"{command[0]}.log").write_text(done.stdout + done.stderr)
    forbidden = {str(tmp_path), str(ROOT), f"/home/{getpass.getuser()}", "file://"}
    shown = [*(results / "report").glob("*"), *results.glob("*.json*"), *results.glob("logs/*")]
    assert {path.name for path in shown} >= {
        "index.html",
        "report.md",
        "report.tex",
        "ro-crate-metadata.json",
    }
    texts = {path: path.read_text() for path in shown if path.is_file()}
    assert {
        (path.name, word) for path, text in texts.items() for word in forbidden if word in text
    } == set()
