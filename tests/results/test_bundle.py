"""A bundle renders the same report as the runs it was made of, and nothing hostile is unpacked."""

import importlib.metadata
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from rocrate.rocrate import ROCrate

from kbench import files
from kbench.errors import UserError
from kbench.report import content, render
from kbench.report.analysis import Analysis
from kbench.results import bundle, inventory, store, table


def rendered(loaded):
    report = content.build(Analysis(loaded, table.frame(loaded)))
    return render.markdown(report), [f.svg for section in report.sections for f in section.figures]


@pytest.fixture(scope="module")
def results(trained, tiny_experiment):
    return tiny_experiment[1]


@pytest.fixture(scope="module")
def bundled(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / bundle.NAME
    bundle.write(results, path)
    return path


def archive(path, *members):
    with tarfile.open(path, "w:xz") as made:
        for member, content in members:
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


def test_it_renders_what_the_runs_do(results, bundled):
    text, figures = rendered(store.load(results))
    again, figures_again = rendered(store.load(bundled))
    # The runs lie where the tests run; a bundle speaks of results/EXPERIMENT.
    text = text.replace(f"{results}", "results/tiny").replace(
        "experiment=results", "experiment=tiny"
    )
    assert again.splitlines() == text.splitlines()
    assert figures_again == figures and len(figures) > 3


def test_a_folder_with_a_bundle_in_it_is_rendered_too(bundled, tmp_path, kbench):
    summary = tmp_path / "summary"
    summary.mkdir()
    (summary / bundle.NAME).write_bytes(bundled.read_bytes())
    (summary / "table.csv").write_text("not read")
    done = kbench("report", summary, "--output", tmp_path / "page")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page" / "report.md").read_text() == rendered(store.load(bundled))[0]


def test_no_table_of_it_lacks_a_paired_test(results, bundled):
    both = [store.load(path) for path in (results, bundled)]
    for first, second in zip(*(loaded.results for loaded in both), strict=True):
        paths = [
            Path(loaded.arrays(result))
            for loaded, result in zip(both, (first, second), strict=True)
        ]
        assert paths[0].exists() == paths[1].exists()
        if paths[0].exists():
            ours, theirs = (np.load(path) for path in paths)
            assert set(theirs.files) <= set(ours.files)
            assert all(np.array_equal(ours[name], theirs[name]) for name in theirs.files)


def test_equal_results_make_equal_bytes_without_times_and_owners(results, bundled, tmp_path):
    bundle.write(results, tmp_path / "again")
    assert files.sha256(bundled) == files.sha256(tmp_path / "again")
    with tarfile.open(bundled) as made:
        assert {(m.mtime, m.uid, m.uname) for m in made.getmembers()} == {(0, 0, "")}


def test_it_is_a_crate_that_the_library_reads_with_the_hash_of_every_file(bundled, tmp_path):
    with bundle.unpack(bundled) as folder:
        read = ROCrate(folder)
        entities = [entity for entity in read.data_entities if entity.type == "File"]
        assert {entity.id for entity in entities} == {
            path.relative_to(folder).as_posix()
            for path in Path(folder).rglob("*")
            if path.is_file() and path.name != inventory.CRATE
        }
        for entity in entities:
            assert files.sha256(Path(folder, entity.id)) == entity["sha256"]
        loaded = store.load(bundled)
        assert read.name == "kbench experiment tiny"
        assert read.root_dataset["datePublished"] == max(
            result.provenance.ended for result in loaded.results
        )


def test_its_lock_has_every_package_of_this_environment(bundled):
    with bundle.unpack(bundled) as folder:
        [lock] = Path(folder, "locks").glob("*.txt")
        lines = lock.read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    named = {re.sub(r"[-_.]+", "-", name).lower(): pinned[name] for name in pinned}
    for known in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", known.name).lower()
        assert name == "kbench" or named[name] == known.version
    assert any(line.startswith("# kbench ") for line in lines) and len(pinned) > 100


@pytest.mark.parametrize(
    "edited, said",
    [
        ({"runs/{run}/metrics.jsonl": b"{}\n"}, "metrics.jsonl is not what"),
        ({"locks/0.txt": b"numpy==1\n"}, "does not hold the versions"),
        ({"locks/0.txt": b"numpy==1\n"}, "locks/0.txt is not listed"),
        ({inventory.CRATE: b"[]"}, "is not listed in"),
        ({inventory.CRATE: b'{"@graph": [3, {"@id": [], "sha256": 1}]}'}, "and not there"),
    ],
)
def test_what_was_edited_is_seen(bundled, tmp_path, kbench, edited, said):
    with bundle.unpack(bundled) as folder:
        run = next(Path(folder, "runs").iterdir()).name
        contents = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }
    contents |= {name.format(run=run): content for name, content in edited.items()}
    members = [(tarfile.TarInfo(name), content) for name, content in contents.items()]
    done = kbench("verify", archive(tmp_path / "edited", *members))
    assert done.returncode == 1 and said in done.stdout, done.stdout


def test_the_command_writes_it_beside_the_results_or_where_it_is_told(
    results, bundled, kbench, refused, tmp_path
):
    done = kbench("bundle", results)
    assert done.returncode == 0 and f"wrote {results / bundle.NAME} (" in done.stdout
    assert kbench("bundle", results, "--output", tmp_path / "b").returncode == 0
    assert files.sha256(results / bundle.NAME) == files.sha256(tmp_path / "b")
    (results / bundle.NAME).unlink()
    refused(kbench("bundle", tmp_path), "no experiment.json")


def test_the_report_command_takes_one(bundled, kbench, refused, tmp_path):
    done = kbench("report", bundled, "--output", tmp_path / "page")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page" / "index.html").stat().st_size > 10_000
    refused(kbench("report", bundled, "--crate", "--output", tmp_path / "other"), "results folder")


@pytest.mark.parametrize(
    "name", ["../out.json", "/tmp/out.json", "runs/../../config.json", "runs/a/b.py", "other.json"]
)
def test_what_does_not_belong_into_one_is_not_unpacked(tmp_path, name):
    path = archive(tmp_path / "hostile", (tarfile.TarInfo(name), b"{}"))
    with pytest.raises(UserError, match="not a bundle of kbench: it holds"):
        store.load(path)


def test_links_and_devices_are_not_unpacked(tmp_path):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        member = tarfile.TarInfo("experiment.json")
        member.type, member.linkname = kind, "/etc/passwd"
        with pytest.raises(UserError, match=r"it holds 'experiment\.json'"):
            store.load(archive(tmp_path / "hostile", (member, b"")))


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "LARGEST", 1 << 20)
    bomb = archive(tmp_path / "bomb", (tarfile.TarInfo("corpus.json"), b"0" * (2 << 20)))
    assert bomb.stat().st_size < 1000
    with pytest.raises(UserError, match="claims to hold more than"):
        store.load(bomb)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_one_is_refused(bundled, tmp_path, content):
    (tmp_path / "cut").write_bytes(bundled.read_bytes()[:5000] if content is None else content)
    with pytest.raises(UserError, match="not a bundle of kbench, or is damaged"):
        store.load(tmp_path / "cut")
