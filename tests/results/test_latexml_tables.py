"""Tables as LaTeXML writes them in different ways, from page to rows; all pages and numbers are
made up.
"""

import pytest
import yaml

from kbench.cli import main
from kbench.errors import UserError
from kbench.results import grids, importing, published

FIELDS = {"backbone": "demo", "corpus": "world", "task": "zeroshot", "metric": "acc1", "epochs": 5}

FORMULAS = r"""<figure class="ltx_table"><figcaption class="ltx_caption">Table 1: Formulas</figcaption>
<table class="ltx_tabular"><tbody class="ltx_tbody">
<tr class="ltx_tr"><th class="ltx_td ltx_th"></th><th class="ltx_td ltx_th">easy</th><th class="ltx_td">hard</th></tr>
<tr class="ltx_tr"><th class="ltx_td ltx_th">One</th>
 <td class="ltx_td"><math class="ltx_Math" alttext="41.5_{\pm 0.3}"><semantics><mn>41.5</mn></semantics></math></td>
 <td class="ltx_td"><math class="ltx_Math" alttext="\mathbf{42.5}^{*}\pm 0.25"><mn>42.5</mn></math></td></tr>
<tr class="ltx_tr"><th class="ltx_td ltx_th">Two</th>
 <td class="ltx_td"><span class="ltx_text ltx_font_bold">51.5
  <math class="ltx_Math" alttext="\pm"><mo>p</mo></math>1</span></td>
 <td class="ltx_td"><math class="ltx_Math" alttext="\bm{52.5}{\scriptstyle\pm 0.75}"><mn>52.5</mn></math></td></tr>
</tbody></table></figure>"""

SPANS = """<figure class="ltx_table"><span class="ltx_tabular ltx_align_middle">
<span class="ltx_tr"><span class="ltx_td ltx_rowspan ltx_rowspan_2">Method</span>
 <span class="ltx_td ltx_align_center ltx_colspan ltx_colspan_2">Left</span>
 <span class="ltx_td ltx_colspan ltx_colspan_2">Right</span></span>
<span class="ltx_tr"><span class="ltx_td">easy</span><span class="ltx_td">hard</span>
 <span class="ltx_td">easy</span><span class="ltx_td">hard</span></span>
<span class="ltx_tr"><span class="ltx_td">One</span><span class="ltx_td">41.5</span><span class="ltx_td">42.5</span>
 <span class="ltx_td">43.5</span><span class="ltx_td">44.5</span></span>
</span><figcaption class="ltx_caption">Table 2: Spans</figcaption></figure>"""

TRANSPOSED = """<figure class="ltx_table"><figcaption class="ltx_caption">Table 3: Turned</figcaption>
<table class="ltx_tabular">
<tr class="ltx_tr"><td class="ltx_td">Data</td><td class="ltx_td">Set</td>
 <td class="ltx_td">One <cite class="ltx_cite">[<a href="#b1">12</a>]</cite></td>
 <td class="ltx_td">Two<sup class="ltx_sup">1</sup></td></tr>
<tr class="ltx_tr"><td class="ltx_td" rowspan="2">small</td><td class="ltx_td">easy</td>
 <td class="ltx_td">41.5<span class="ltx_note ltx_role_footnote"><sup class="ltx_note_mark">2</sup>
  <span class="ltx_note_content">measured with 99 prompts</span></span></td>
 <td class="ltx_td"><span class="ltx_text ltx_framed ltx_framed_underline">51.5</span>
  <sup class="ltx_sup">3</sup></td></tr>
<tr class="ltx_tr"><td class="ltx_td">hard</td><td class="ltx_td">&#8211;</td>
 <td class="ltx_td">52.5&#160;%&#8224;</td></tr>
</table></figure>"""

SETS = {"easy": {"dataset": "world-digits"}, "hard": {"dataset": "world-shape"}}
TABLES = {
    "formulas": (
        FORMULAS,
        {
            "caption": "Formulas",
            "rows": {"One": {"variant": "cosine"}, "Two": {"variant": "filip"}},
            "columns": SETS,
        },
        {
            ("cosine", "world-digits", None): (41.5, 0.3),
            ("cosine", "world-shape", None): (42.5, 0.25),
            ("filip", "world-digits", None): (51.5, 1.0),
            ("filip", "world-shape", None): (52.5, 0.75),
        },
    ),
    "spans": (
        SPANS,
        {
            "caption": "Spans",
            "header_rows": 2,
            "rows": {"One": {"variant": "cosine"}},
            "columns": {
                f"{side} / {name}": {**SETS[name], "split": side.lower()}
                for side in ("Left", "Right")
                for name in SETS
            },
        },
        {
            ("cosine", "world-digits", "left"): (41.5, None),
            ("cosine", "world-shape", "left"): (42.5, None),
            ("cosine", "world-digits", "right"): (43.5, None),
            ("cosine", "world-shape", "right"): (44.5, None),
        },
    ),
    "transposed": (
        TRANSPOSED,
        {
            "caption": "Turned",
            "label_columns": 2,
            "rows": {f"small / {name}": SETS[name] for name in SETS},
            "columns": {"One": {"variant": "cosine"}, "Two": {"variant": "filip"}},
        },
        {
            ("cosine", "world-digits", None): (41.5, None),
            ("filip", "world-digits", None): (51.5, None),
            ("filip", "world-shape", None): (52.5, None),
        },
    ),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def imported(tmp_path, page, table, **changes):
    """Return the exit status of an import of a page."""
    (tmp_path / "page.html").write_text(
        f"<!DOCTYPE html><html><body>{page}</body></html>", encoding="utf-8"
    )
    mapping = {
        "source": "made-up-paper",
        "url": "https://example.org",
        "tables": [{"fields": FIELDS} | table],
    }
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(mapping | changes))
    with pytest.raises(SystemExit) as caught:
        main(["published", "import", "page.html", "--mapping", "map.yaml"])
    return caught.value.code


@pytest.mark.parametrize("name", TABLES)
def test_a_page_becomes_the_numbers_that_a_reader_sees(tmp_path, name):
    page, table, expected = TABLES[name]
    assert imported(tmp_path, page, table) == 0
    rows = published.of_source("made-up-paper")
    assert {(row.variant, row.dataset, row.split): (row.value, row.std) for row in rows} == expected
    assert all(row.epochs == 5 for row in rows)


@pytest.mark.parametrize("source", ["../../outside", "a/b", "A", "", "x.y"])
def test_a_source_that_is_no_plain_name_writes_nothing(tmp_path, capsys, source):
    page, table, _ = TABLES["formulas"]
    assert imported(tmp_path, page, table, source=source) == 2
    assert "source: " in capsys.readouterr().err
    assert not list(tmp_path.parent.glob("outside*")) and not (tmp_path / "published").exists()


def test_a_caption_that_is_no_regular_expression_is_refused(tmp_path, capsys):
    page, table, _ = TABLES["formulas"]
    assert imported(tmp_path, page, table | {"caption": "("}) == 2
    assert "caption" in capsys.readouterr().err


def test_a_table_without_a_body_is_refused(tmp_path, capsys):
    page, table, _ = TABLES["formulas"]
    assert imported(tmp_path, page, table | {"header_rows": 3}) == 2
    assert "are its header" in capsys.readouterr().err


@pytest.mark.parametrize("span", ["colspan='999999999' rowspan='999999999'", "colspan='٣'"])
def test_spans_cannot_ask_for_more_memory_than_a_table_needs(tmp_path, span):
    cell = f"<td class='ltx_td' {span}>1</td>"
    row = f"<tr class='ltx_tr'>{cell * 30}</tr>"
    (tmp_path / "page.html").write_text(
        f"<table class='ltx_tabular'>{row * 300}</table>", encoding="utf-8"
    )
    if "999" in span:
        with pytest.raises(UserError, match="over 100,000 cells"):
            grids.read(tmp_path / "page.html")
    else:
        assert len(grids.read(tmp_path / "page.html")[0].rows) == 300


def test_fractions_in_place_of_percentages_are_refused(tmp_path, capsys):
    page, table, _ = TABLES["spans"]
    for number in ("41.5", "42.5", "43.5", "44.5"):
        page = page.replace(number, f"0.{number.replace('.', '')}")
    assert imported(tmp_path, page, table) == 2
    assert "looks like a fraction" in capsys.readouterr().err
    assert not (tmp_path / "published").exists()


def test_one_fraction_among_percentages_is_refused_where_chance_gives_more(tmp_path):
    page, table, _ = TABLES["spans"]
    page = page.replace("44.5", "0.445")
    assert imported(tmp_path, page, table) == 2


def test_a_percentage_below_one_is_kept_where_chance_gives_less(tmp_path):
    page, table, _ = TABLES["spans"]
    page = page.replace("44.5", "0.445")
    hard = table["columns"]["Right / hard"] | {"dataset": "imagenet1k"}
    assert (
        imported(tmp_path, page, table | {"columns": table["columns"] | {"Right / hard": hard}})
        == 0
    )


def test_rows_written_before_the_optional_columns_are_still_read(tmp_path):
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "old.csv").write_text(
        "source,url,table,corpus,backbone,epochs,variant,dataset,task,metric,value,std,note\n"
        "old,https://example.org,t,cc3m,ViT-B/16,,cosine,imagenet1k,zeroshot,acc1,17.1,,\n"
    )
    [row] = published.of_source("old")
    assert (row.objective, row.unit, row.split, row.n_test, row.epochs) == (
        "infonce",
        "percent",
        None,
        None,
        None,
    )


def test_written_rows_are_read_back_as_they_were(tmp_path):
    row = published.PublishedRow(
        source="made-up", url="https://example.org", table="t", corpus="world", backbone="demo", epochs=None,
        variant="cosine", dataset="world-pairs", task="pmi_gap", metric="excess_loss", value=120.5, unit="nats",
        objective="sigmoid", split="test", n_test=7, image_size=32, prompts=3,
    )  # fmt: skip
    importing.write_rows(tmp_path / "rows.csv", [row])
    assert published.read_rows(tmp_path / "rows.csv") == [row]
