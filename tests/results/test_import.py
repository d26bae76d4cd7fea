"""Import of published tables from pages written for these tests; all numbers are made up."""

import contextlib
import functools
import http.server
import socket
import threading
import time

import pytest
import yaml

from kbench import tasks
from kbench.cli import main
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError
from kbench.files import sha256
from kbench.results import download, grids, importing, published

PAGE = r"""<!DOCTYPE html><html><head><title>x</title><meta charset="utf-8"></head><body>
<figure class="ltx_table" id="S4.T1">
<figcaption class="ltx_caption"><span class="ltx_tag ltx_tag_table">Table 1: </span>Zero-shot accuracy
  in <math class="ltx_Math" alttext="\%"><semantics><mi>percent sign</mi></semantics></math>.</figcaption>
<table class="ltx_tabular ltx_centering">
<thead class="ltx_thead">
<tr class="ltx_tr">
 <th class="ltx_td ltx_th ltx_th_column" rowspan="2">Data</th>
 <th class="ltx_td ltx_th" rowspan="2">Method</th>
 <th class="ltx_td ltx_th" colspan="2">Digits</th><th class="ltx_td ltx_th">Scenes</th></tr>
<tr class="ltx_tr"><th class="ltx_td">easy</th><th class="ltx_td">hard</th><th class="ltx_td">all<br>of them</th></tr>
</thead>
<tbody class="ltx_tbody">
<tr class="ltx_tr"><td class="ltx_td" rowspan="2">small</td><td class="ltx_td">A</td>
 <td class="ltx_td">11.5</td><td class="ltx_td">12.25 &#177; 0.5</td><td class="ltx_td">13</td></tr>
<tr class="ltx_tr"><td class="ltx_td">B</td>
 <td class="ltx_td"><span class="ltx_text ltx_font_bold">21.5</span></td>
 <td class="ltx_td"><math class="ltx_Math" alttext="\mathbf{22.5}\pm 0.25"><mn>22.5</mn></math></td>
 <td class="ltx_td">&#8211;</td></tr>
</tbody></table></figure>
<figure class="ltx_table"><table class="ltx_tabular"><tr class="ltx_tr"><td class="ltx_td">other</td></tr></table>
<figcaption class="ltx_caption">Table 2: Another</figcaption></figure>
</body></html>"""

MAPPING = {
    "source": "made-up-paper",
    "url": "https://example.org/paper",
    "tables": [
        {
            "caption": "Zero-shot",
            "header_rows": 2,
            "label_columns": 2,
            "fields": {"backbone": "demo", "task": "zeroshot", "metric": "acc1", "corpus": "world"},
            "rows": {"small / A": {"variant": "cosine"}, "small / B": {"variant": "wpse-linear"}},
            "columns": {
                "Digits / easy": {"dataset": "world-digits"},
                "Digits / hard": {"dataset": "world-shape"},
            },
            "ignore_columns": ["Scenes / all of them"],
        }
    ],
}


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    return tmp_path / "page.html"


def mapping(tmp_path, **changes):
    table = MAPPING["tables"][0] | changes
    path = tmp_path / "map.yaml"
    path.write_text(yaml.safe_dump(MAPPING | {"tables": [table]}))
    return path


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code


def test_grids_of_a_latexml_page(page):
    first, second = grids.read(page)
    assert first.caption == "Table 1: Zero-shot accuracy in %."
    assert first.rows[0] == ["Data", "Method", "Digits", "Digits", "Scenes"]
    assert first.rows[1] == ["Data", "Method", "easy", "hard", "all of them"]
    assert first.rows[2] == ["small", "A", "11.5", "12.25 ± 0.5", "13"]
    assert first.rows[3] == ["small", "B", "21.5", "22.5 ± 0.25", "–"]
    assert second == grids.Grid("Table 2: Another", [["other"]])


def test_import_of_a_page(page, tmp_path, capsys):
    path = mapping(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["published", "import", str(page), "--mapping", str(path)])
    assert caught.value.code == 0 and "wrote 4 published values" in capsys.readouterr().out
    rows = [row for row in published.rows() if row.source == "made-up-paper"]
    found = {(row.variant, row.dataset): (row.value, row.std) for row in rows}
    assert found == {
        ("cosine", "world-digits"): (11.5, None),
        ("cosine", "world-shape"): (12.25, 0.5),
        ("wpse-linear", "world-digits"): (21.5, None),
        ("wpse-linear", "world-shape"): (22.5, 0.25),
    }
    assert all("SHA-256" in row.note and row.epochs is None for row in rows)


def test_importing_twice_replaces(page, tmp_path):
    path = mapping(tmp_path)
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            main(["published", "import", str(page), "--mapping", str(path)])
        assert caught.value.code == 0
    assert len([row for row in published.rows() if row.source == "made-up-paper"]) == 4


def test_csv(tmp_path):
    document = tmp_path / "table.csv"
    document.write_text("Method,easy,hard\nA,1.5,2.5\nB,3.5 ± 0.1,\n")
    path = mapping(
        tmp_path,
        caption="table.csv",
        header_rows=1,
        label_columns=1,
        rows={"A": {"variant": "cosine"}, "B": {"variant": "filip"}},
        columns={"easy": {"dataset": "world-digits"}, "hard": {"dataset": "world-shape"}},
        ignore_columns=[],
    )
    rows = importing.import_rows(document, importing.read_mapping(str(path)))
    assert [(row.variant, row.value, row.std) for row in rows] == [
        ("cosine", 1.5, None),
        ("cosine", 2.5, None),
        ("filip", 3.5, 0.1),
    ]


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            ">hard<",
            ">harder<",
            "In the mapping only: 'Digits / hard'; in the document only: 'Digits / harder'",
        ),
        (">B</td>", ">A</td>", "twice: 'small / A'"),
        ("Zero-shot accuracy", "Accuracy", "0 tables match 'Zero-shot'"),
        (">11.5<", ">115<", "the cell at small / A, Digits / easy: value"),
        (">11.5<", ">n/a<", "is 'n/a', not a percentage"),
    ],
)
def test_a_changed_document_is_refused(page, tmp_path, old, new, message):
    assert old in PAGE
    page.write_text(PAGE.replace(old, new), encoding="utf-8")
    read = importing.read_mapping(str(mapping(tmp_path)))
    with pytest.raises(UserError) as caught:
        importing.import_rows(page, read)
    assert message in str(caught.value)


def test_values_that_contradict_known_ones_are_not_written(page, tmp_path, capsys):
    fields = MAPPING["tables"][0]["fields"]
    path = mapping(
        tmp_path,
        ignore_columns=["Scenes / all of them"],
        fields=fields | {"variant": "cosine"},
        rows={"small / A": {}, "small / B": {}},
    )
    with pytest.raises(SystemExit) as caught:
        main(["published", "import", str(page), "--mapping", str(path)])
    assert caught.value.code == 2 and "two published values" in capsys.readouterr().err
    assert not (tmp_path / "published").exists()


def test_the_prepared_mapping_covers_the_pending_cells():
    prepared = importing.read_mapping("wpse-paper")
    cells = {
        (
            row["corpus"],
            row["epochs"],
            row["variant"],
            table.fields["task"],
            column["dataset"],
            column["metric"],
        )
        for table in prepared.tables
        for row in table.rows.values()
        for column in table.columns.values()
    }
    pending = published.sources()["wpse-paper"].pending.rows(
        "wpse-paper", "https://arxiv.org/abs/2404.19228"
    )
    assert cells == {(r.corpus, r.epochs, r.variant, r.task, r.dataset, r.metric) for r in pending}


OPEN_CLIP = """name,pretrained,params (M),FLOPs (B),Average score,{columns}{ignored}
ViT-B-16,laion2b_s34b_b88k,149.62,41.09,0.7,{values}{rest}
ViT-B-16,datacomp_xl_s13b_b90k,149.62,41.09,0.7,{values}{rest}
"""


def open_clip_results(folder):
    """Write a file as open_clip's docs/openclip_retrieval_results.csv is, with made-up values."""
    table = importing.read_mapping("openclip-retrieval").tables[0]
    more = [name for name in table.ignore_columns if name.startswith("WinoGAViL")]
    document = folder / "openclip_retrieval_results.csv"
    document.write_text(
        OPEN_CLIP.format(
            columns=",".join(table.columns),
            ignored="".join(f",{name}" for name in more),
            values=",".join(f"0.5{index:02}0" for index in range(12)),
            rest=",0.1" * len(more),
        )
    )
    return document


def test_open_clips_results_are_of_its_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = open_clip_results(tmp_path)
    assert run("published", "import", document, "--mapping", "openclip-retrieval") == 0
    rows = [row for row in published.rows() if row.weights]
    assert len(rows) == 24 and {row.weights for row in rows} == {
        "ViT-B-16/laion2b_s34b_b88k",
        "ViT-B-16/datacomp_xl_s13b_b90k",
    }
    first = rows[0]
    assert (first.value, first.n_test, first.metric) == (50.0, 1000, "image_retrieval_recall@1")
    assert sorted(row.value for row in rows)[-1] == 51.1


@pytest.mark.parametrize("name", ["openclip-retrieval", "openclip-zeroshot"])
def test_open_clips_tables_name_known_sets_by_metrics_that_are_measured_or_not_at_all(name):
    table = importing.read_mapping(name).tables[0]
    for column in table.columns.values():
        task = column.get("task", table.fields["task"])
        if column["dataset"] in known_datasets.names() and task == "zeroshot":
            assert column["metric"] in {measure.name for measure in tasks.get(task).metrics}
            known = known_datasets.get(column["dataset"])
            assert column["metric"] == known.main_metric, column


@pytest.mark.parametrize("change", [{"rows": {"A": {}}}, {"label_columns": 1}])
def test_rows_are_named_or_weights(tmp_path, change):
    path = mapping(tmp_path, **{"rows_are_weights": True, "rows": {}, "label_columns": 2} | change)
    with pytest.raises(UserError, match="rows_are_weights"):
        importing.read_mapping(str(path))


@pytest.mark.parametrize("content", ["no table here", "<p>still none</p>"])
def test_documents_without_a_table(tmp_path, content):
    path = tmp_path / "page.html"
    path.write_text(content)
    with pytest.raises(UserError, match="holds no table"):
        grids.read(path)


def test_mappings_that_cannot_be_read(tmp_path):
    with pytest.raises(
        UserError, match="Prepared mappings: openclip-retrieval, openclip-zeroshot, wpse-paper"
    ):
        importing.read_mapping(str(tmp_path / "absent.yaml"))
    with pytest.raises(UserError, match=r"map\.yaml: tables"):
        importing.read_mapping(str(mapping(tmp_path, surprise=1)))


@pytest.fixture
def served(tmp_path):
    """Serve a folder on this machine; yields the folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_document_is_fetched_from_its_address(page, served, tmp_path, capsys):
    folder, address = served
    (folder / "paper.html").write_bytes(page.read_bytes())
    name = mapping(tmp_path)
    assert run("published", "import", f"{address}/paper.html", "--mapping", name) == 0
    rows = published.read_rows(tmp_path / "published" / "made-up-paper.csv")
    assert [row.value for row in rows] == [11.5, 12.25, 21.5, 22.5]
    assert {row.note for row in rows} == {
        f"imported from {address}/paper.html, SHA-256 {sha256(page)}"
    }
    assert (
        tmp_path / "published" / "documents" / "made-up-paper.html"
    ).read_bytes() == page.read_bytes()
    (folder / "paper.csv").write_text("not the table\n")
    assert run("published", "import", f"{address}/paper.csv", "--mapping", name) == 2
    assert "0 tables match" in capsys.readouterr().err
    assert len(published.read_rows(tmp_path / "published" / "made-up-paper.csv")) == 4


@pytest.mark.parametrize(
    "name, reason", [("absent.html", "File not found"), ("paper.pdf", "is application/pdf")]
)
def test_an_address_without_a_document(served, tmp_path, monkeypatch, capsys, name, reason):
    monkeypatch.chdir(tmp_path)
    (served[0] / "paper.pdf").write_bytes(b"%PDF")
    assert run("published", "import", f"{served[1]}/{name}", "--mapping", mapping(tmp_path)) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "published").exists()


def test_an_address_that_does_not_answer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/paper.html"
    assert run("published", "import", address, "--mapping", mapping(tmp_path)) == 2
    assert "save the page elsewhere" in capsys.readouterr().err


def test_a_document_that_is_cut_short_is_not_kept(tmp_path, monkeypatch, capsys):
    class Short(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"<html>")

    monkeypatch.chdir(tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Short) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/paper.html"
        assert run("published", "import", address, "--mapping", mapping(tmp_path)) == 2
        server.shutdown()
    assert "cannot fetch" in capsys.readouterr().err
    assert not list((tmp_path / "published").rglob("*.*"))


def serving(send):
    """Return a server whose answer to every request is written by `send`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            with contextlib.suppress(OSError):  # the other side has had enough
                send(self.wfile)

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def drip(stream):
    for _ in range(200):
        stream.write(b"<p>")
        stream.flush()
        time.sleep(0.05)


@pytest.mark.parametrize(
    "limit, value, send, reason",
    [
        ("LARGEST", 1 << 20, lambda stream: stream.write(b"x" * (3 << 20)), "over 1 MB"),
        ("LONGEST", 0.5, drip, "not whole after 0.5 seconds"),
    ],
)
def test_a_server_that_states_no_length_is_held_to_the_limits(
    tmp_path, monkeypatch, capsys, limit, value, send, reason
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, limit, value)
    with serving(send) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/paper.html"
        assert run("published", "import", address, "--mapping", mapping(tmp_path)) == 2
        server.shutdown()
    assert reason in capsys.readouterr().err
    assert not list((tmp_path / "published").rglob("*.*"))
