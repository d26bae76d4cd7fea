"""The image a workflow is told to use: whole, for this processor, of this version, known by its
digest.
"""

import hashlib
import platform

import pytest
from sif_bytes import sif as sif_bytes

from kbench import provenance
from kbench.container import image, sif
from kbench.errors import UserError

HERE = {code.encode() for code, name in sif.PROCESSORS.items() if name == platform.machine()}
THIS = next(iter(HERE))
OTHER = b"04" if THIS != b"04" else b"02"


def write(path, content: bytes):
    path.write_bytes(content)
    return path


def test_a_whole_image_passes(tmp_path):
    sif.check(write(tmp_path / "a.sif", sif_bytes(THIS)))


@pytest.mark.parametrize("kept", [20_000, 33_000, -1])
def test_a_truncated_image_is_refused(tmp_path, kept):
    with pytest.raises(UserError, match="truncated"):
        sif.check(write(tmp_path / "a.sif", sif_bytes(THIS)[:kept]))


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF" + bytes(4000)])
def test_another_file_is_no_image(tmp_path, content):
    with pytest.raises(UserError, match="not a SIF image"):
        sif.check(write(tmp_path / "a.sif", content))


@pytest.mark.parametrize(
    ("code", "named"), [(OTHER, sif.PROCESSORS[OTHER.decode()]), (b"99", "another processor")]
)
def test_another_processor_is_named(tmp_path, code, named):
    with pytest.raises(UserError, match=f"built for {named}.*this machine is {platform.machine()}"):
        sif.check(write(tmp_path / "a.sif", sif_bytes(code)))


def test_a_missing_image_says_which_command_builds_it(tmp_path):
    with pytest.raises(UserError, match="kbench container build"):
        image.find(tmp_path / "none.sif")


def test_the_digest_is_the_sha256_of_the_file(tmp_path, labelled):
    labelled(provenance.code_version())
    path = write(tmp_path / "a.sif", sif_bytes(THIS))
    assert image.find(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("code", ["0.0.9+12345678", None])
def test_an_image_of_another_version_is_refused(tmp_path, labelled, code):
    labelled(code)
    with pytest.raises(UserError, match=r"holds .*kbench") as caught:
        image.find(write(tmp_path / "a.sif", sif_bytes(THIS)))
    assert (code or "no kbench") in str(caught.value) and provenance.code_version() in str(
        caught.value
    )


def test_a_sandbox_is_known_by_its_content(tmp_path, labelled):
    labelled(provenance.code_version())
    box = tmp_path / "box"
    (box / "etc").mkdir(parents=True)
    (box / "etc" / "name").write_text("one")
    (box / "link").symlink_to("etc/name")
    first = image.find(box).digest
    assert image.find(box).digest == first
    (box / "etc" / "name").write_text("two")
    assert image.find(box).digest != first


def test_the_link_has_no_white_space_and_follows_the_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my images").mkdir()
    path = write(tmp_path / "my images" / "a b.sif", b"x")
    link = image.Image(path, "0123456789abcdef").link()
    assert not set(link) & set(" \t") and (tmp_path / link).read_bytes() == b"x"
    moved = write(tmp_path / "other.sif", b"y")
    assert image.Image(moved, "0123456789abcdef").link() == link
    assert (tmp_path / link).read_bytes() == b"y"


def test_an_image_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.sif", sif_bytes(THIS))
    monkeypatch.setattr(
        type(path),
        "open",
        lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")),
    )
    with pytest.raises(UserError, match=r"cannot read the image .*a\.sif: Permission denied"):
        image.find(path)


def test_a_workflow_examines_its_image_once(tmp_path, labelled, monkeypatch):
    labelled(provenance.code_version())
    path = write(tmp_path / "a.sif", sif_bytes(THIS))
    first = image.remembered(path, anew=True, folder=tmp_path / "notes")
    hashed = []
    monkeypatch.setattr(image.files, "sha256", lambda path: hashed.append(path) or "0" * 64)
    assert image.remembered(path, anew=False, folder=tmp_path / "notes") == first and not hashed
    write(path, sif_bytes(THIS, (100, 6000)))
    assert (
        image.remembered(path, anew=False, folder=tmp_path / "notes").digest == "0" * 64 and hashed
    )
    assert (
        image.remembered(path, anew=True, folder=tmp_path / "notes").digest == "0" * 64
        and len(hashed) == 2
    )


def test_nothing_is_remembered_of_an_image_that_is_refused(tmp_path):
    for anew in (True, False):
        with pytest.raises(UserError, match="no image at"):
            image.remembered(tmp_path / "none.sif", anew, folder=tmp_path / "notes")
    assert not (tmp_path / "notes").exists()
