"""`kbench dataset fetch` from a web server on this machine: whole or not at all, and resumed."""

import functools
import http.server
import threading

import pytest
import requests
from layout import write_dataset

from kbench import files
from kbench.datasets import dataset as known_datasets
from kbench.datasets.fetch import RECORD, Remote, fetch
from kbench.datasets.reader import digest
from kbench.datasets.verify import verify
from kbench.errors import UserError


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; files named in `cut` end half way, and every path that was asked for is in
    `asked`.
    """

    asked, cut = [], set()

    def do_GET(self):
        self.asked.append(self.path)
        name = self.path.removeprefix("/mine/")
        if name not in self.cut:
            return super().do_GET()
        body = (files.Path(self.directory) / "mine" / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server with the dataset at URL/mine; returns (its URL, what was asked for, files to
    cut).
    """
    write_dataset(tmp_path / "web" / "mine")
    handler = type("Serving", (Handler,), {"asked": [], "cut": set()})
    address = ("127.0.0.1", 0)
    with http.server.ThreadingHTTPServer(
        address, functools.partial(handler, directory=tmp_path / "web")
    ) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield f"http://127.0.0.1:{server.server_port}/mine", handler.asked, handler.cut
        server.shutdown()


@pytest.fixture
def root(mine, tmp_path):
    """Where it is to go: the entry is there, the folder is not."""
    return mine.with_name("fetched")


def test_the_folder_is_a_copy_with_its_hashes(web, mine, root):
    dataset = known_datasets.get("mine")
    assert fetch(dataset, root, web[0])
    assert digest(root) == digest(mine) and verify(dataset, root).problems == []
    record = files.read_json(root / RECORD)
    assert record["url"] == web[0]
    assert record["files"]["test/0.tar"]["sha256"] == files.sha256(mine / "test" / "0.tar")
    assert not (root / "dataset_type.txt").exists()
    assert not fetch(dataset, root, web[0])


def test_a_byte_that_changed_since_is_found(web, mine, root):
    dataset = known_datasets.get("mine")
    assert fetch(dataset, root, web[0])
    assert verify(dataset, root).problems == []
    shard = next(root.rglob("*.tar"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"1")
    assert f"{shard} is not as it was downloaded" in verify(dataset, root).problems


def test_what_is_interrupted_goes_on(web, root):
    url, asked, cut = web
    cut.add("test/0.tar")
    with pytest.raises(UserError, match=r"cannot fetch 'mine'.*What has arrived is kept"):
        fetch(known_datasets.get("mine"), root, url)
    assert not root.exists()
    cut.clear()
    asked.clear()
    assert fetch(known_datasets.get("mine"), root, url)
    assert "/mine/test/0.tar" in asked and "/mine/train/0.tar" not in asked
    assert [path.name for path in root.parent.iterdir()].count(f".{root.name}.part") == 0


def test_another_address_starts_over(web, root):
    url, asked, cut = web
    cut.add("test/0.tar")
    with pytest.raises(UserError):
        fetch(known_datasets.get("mine"), root, url)
    cut.clear()
    asked.clear()
    assert fetch(known_datasets.get("mine"), root, url + "/")
    assert "/mine//train/0.tar" not in asked and "/mine/train/0.tar" in asked


def test_other_counts_never_take_the_name(web, root):
    dataset = known_datasets.get("mine").model_copy(update={"n_train": 7})
    with pytest.raises(UserError, match="split 'train' has 6 images, not 7"):
        fetch(dataset, root, web[0])
    assert not root.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url + "/nowhere", ("404", "train/nshards.txt", "Place there")),
        (lambda url: "http://127.0.0.1:1/mine", ("no connection", "Place there")),
    ],
)
def test_what_cannot_be_reached_says_what_to_place_where(web, root, change, words):
    with pytest.raises(UserError) as refusal:
        fetch(known_datasets.get("mine"), root, change(web[0]))
    assert all(word in str(refusal.value) for word in words) and not root.exists()


def test_command(web, command, refused, mine, tmp_path):
    arguments = ("--data", tmp_path / "elsewhere")
    process = command("dataset", "fetch", "mine", *arguments)
    refused(process, "data folder")
    (tmp_path / "elsewhere").mkdir()
    refused(command("dataset", "fetch", "mine", *arguments), "'mine' has no URL")
    process = command("dataset", "fetch", "mine", *arguments, "--url", web[0])
    assert process.returncode == 0 and "downloaded to" in process.stdout, process.stderr
    process = command("dataset", "fetch", "mine", *arguments, "--url", web[0])
    assert process.returncode == 0 and "nothing to do" in process.stdout


def test_addresses_on_hugging_face():
    remote = Remote("https://huggingface.co/datasets/someone/wds_mine/tree/main")
    assert (
        remote.address("test/0.tar")
        == "https://huggingface.co/datasets/someone/wds_mine/resolve/main/test/0.tar"
    )
    assert (
        remote.address("classnames.txt")
        == "https://huggingface.co/datasets/someone/wds_mine/raw/main/classnames.txt"
    )
    assert Remote("http://host/mine").address("test/0.tar") == "http://host/mine/test/0.tar"


def test_nothing_is_downloaded_without_being_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(
        requests.Session, "request", lambda *_, **__: pytest.fail("a request was made")
    )
    with pytest.raises(UserError, match="kbench dataset fetch food101"):
        known_datasets.get("food101").root(known_datasets.Locations(data=tmp_path))


def test_nothing_is_written_outside_the_data_folder(web, command, refused, mine, tmp_path):
    entry = tmp_path / "workflow" / "datasets" / "mine.yaml"
    entry.write_text(entry.read_text().replace("folder: mine", f"folder: {tmp_path / 'outside'}"))
    refused(
        command("dataset", "fetch", "mine", "--url", web, "--data", tmp_path / "new"),
        "not below the data folder",
    )
    assert not (tmp_path / "outside").exists()
