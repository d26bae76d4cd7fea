"""What kbench runs with: lists, a bill of materials, and known vulnerabilities without a network."""

import json
import zipfile

import pytest
from tiny import ROOT

from kbench.container import record
from kbench.doctor import advisories, packages
from kbench.doctor.packages import Package
from kbench.errors import UserError


def advisory(*events, name="thing", versions=(), ecosystem="PyPI", **more):
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    affected = {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": ranges,
        "versions": list(versions),
    }
    return {"id": "OSV-1", "summary": "Bad.", "affected": [affected], **more}


def said(tmp_path, version, *records, name="thing"):
    folder = tmp_path / "advisories"
    folder.mkdir(exist_ok=True)
    for number, one in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(one))
    return advisories.check([Package("pypi", name, version)], folder)[0]


FROM_1_TO_2 = ({"introduced": "1.0"}, {"fixed": "2.0"})
TWICE = (*FROM_1_TO_2, {"introduced": "3.0"}, {"fixed": "3.5"})


@pytest.mark.parametrize(
    ("version", "events", "hit"),
    [
        ("0.9", FROM_1_TO_2, False),
        ("1.0", FROM_1_TO_2, True),
        ("1.0rc1", FROM_1_TO_2, False),
        ("1.10", FROM_1_TO_2, True),
        ("2.0", FROM_1_TO_2, False),
        ("2.0rc1", FROM_1_TO_2, True),
        ("1.5+cpu", FROM_1_TO_2, True),
        ("2.0+cpu", FROM_1_TO_2, False),
        ("0.0.1", ({"introduced": "0"},), True),
        ("99", ({"introduced": "0"},), True),
        ("2.5", TWICE, False),
        ("3.4", TWICE, True),
        ("3.5", TWICE, False),
        ("3.4", tuple(reversed(TWICE)), True),
        ("1.5", ({"introduced": "0"}, {"last_affected": "1.5"}), True),
        ("1.5.1", ({"introduced": "0"}, {"last_affected": "1.5"}), False),
    ],
)
def test_ranges_are_read_as_the_schema_says(tmp_path, version, events, hit):
    assert bool(said(tmp_path, version, advisory(*events))) == hit


def test_a_finding_names_the_versions_that_mend_it(tmp_path):
    (found,) = said(tmp_path, "1.5", advisory(*TWICE))
    assert found.mended_in == ("2.0", "3.5")
    assert str(found) == "thing 1.5: OSV-1, mended in 2.0, 3.5. Bad."
    (found,) = said(tmp_path, "3.1", advisory(*TWICE))
    assert found.mended_in == ("3.5",)


def test_listed_versions_spellings_and_what_is_not_meant(tmp_path):
    assert said(tmp_path, "1.0", advisory(versions=["0.9", "1.0"]))
    assert said(tmp_path, "1.0+cpu", advisory(versions=["1.0"]))
    assert not said(tmp_path, "1.1", advisory(versions=["0.9", "1.0"]))
    assert said(tmp_path, "1.0", advisory(name="My.Thing", versions=["1.0"]), name="my-thing")
    assert not said(tmp_path, "1.0", advisory(versions=["1.0"], ecosystem="npm"))
    assert not said(tmp_path, "1.0", advisory(versions=["1.0"], withdrawn="2026-01-01T00:00:00Z"))


def test_the_lock_is_checked_against_a_list_without_a_network(kbench, tmp_path):
    known = {package.name: package.version for package in packages.locked(ROOT / "constraints.txt")}
    assert known["torch"] == "2.13.0"
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        bad = advisory({"introduced": "0"}, {"fixed": "99"}, name="torch")
        archive.writestr("OSV-1.json", json.dumps(bad))
        archive.writestr("OSV-2.json", json.dumps(advisory({"introduced": "99"}, name="numpy")))
    options = ("--lock", ROOT / "constraints.txt", "--advisories", tmp_path / "all.zip")
    done = kbench("packages", *options)
    assert done.returncode == 1
    assert "torch 2.13.0: OSV-1, mended in 99. Bad." in done.stdout
    assert f"1 findings for {len(known)} Python packages in 2 advisories" in done.stdout
    locked = ("--lock", ROOT / "requirements.lock", "--advisories", tmp_path / "all.zip")
    assert kbench("packages", *locked).returncode == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no archive", "cannot read advisories"),
        ({}, "holds no advisory"),
        ({"x.json": "{"}, "x.json is no JSON"),
        ({"x.json": "[]"}, "no advisory in OSV's form"),
        ({"x.json": " " * (17 << 20)}, "claims 17,825,792 bytes"),
    ],
)
def test_what_is_no_list_is_one_message(kbench, refused, tmp_path, content, words):
    path = tmp_path / "all.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    refused(kbench("packages", "--advisories", path), words)


def test_a_lock_without_packages_is_refused(tmp_path):
    (tmp_path / "lock").write_text("torch>=2\n")
    with pytest.raises(UserError, match="locks no package"):
        packages.locked(tmp_path / "lock")


def container(base):
    return record.Container(
        target="cpu",
        engine="docker",
        image="sha256:1",
        digest=None,
        bytes=1,
        base=base,
        base_id="sha256:2",
        code_version="0.1.0+x",
        revision="r",
        packages={"Some_Thing": "1.0", "torch": "2.13.0+cpu", "other": "3"},
        wheels={
            "some_thing-1.0-py3-none-any.whl": "a" * 64,
            "torch-2.13.0+cpu-cp311-x.whl": "b" * 64,
        },
        seconds=1.0,
        sif=None,
    )


def test_the_bill_of_an_image_has_its_wheels_hashes_and_says_what_nobody_verified(kbench, tmp_path):
    record.write(tmp_path, container("python:3.11-slim"))
    done = kbench("packages", "--image", tmp_path, "--sbom", tmp_path / "sbom.json")
    assert done.returncode == 0 and "python:3.11-slim: not verified" in done.stdout
    bill = json.loads((tmp_path / "sbom.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert "not verified" in bill["metadata"]["component"]["properties"][0]["value"]
    hashes = {one["purl"]: one.get("hashes") for one in bill["components"]}
    assert hashes == {
        "pkg:pypi/some-thing@1.0": [{"alg": "SHA-256", "content": "a" * 64}],
        "pkg:pypi/torch@2.13.0%2Bcpu": [{"alg": "SHA-256", "content": "b" * 64}],
        "pkg:pypi/other@3": None,
    }
    pinned = container(f"python:3.11-slim@sha256:{'c' * 64}")
    assert "verified by its digest" in packages.base_of(pinned)


def test_this_environment_has_what_it_was_made_from(kbench):
    listed = kbench("packages").stdout
    assert "snakemake " in listed and "kbench " in listed
    here = {
        package.name: package.version for package in packages.installed() if package.kind == "pypi"
    }
    locked = packages.locked(ROOT / "requirements.lock")
    assert not [one for one in locked if one.name in here and here[one.name] != one.version]
