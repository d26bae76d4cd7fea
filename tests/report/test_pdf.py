"""Figures as PDF: every figure of a page, with the images and signs that are in it."""

import base64
import re
import zlib

import pytest
from synthetic import write_experiment, write_weights

from kbench.report import content, pdf, render, svg
from kbench.report.analysis import Analysis
from kbench.results import store, table


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pdf") / "made-up"
    variants = {"cosine": 1.0, "wpse-gaussian": 2.0}
    write_experiment(folder, variants, datasets=("world-shape", "world-pairs"))
    for run in (folder / "runs").iterdir():
        write_weights(run / "weights.npz")
    loaded = store.load(folder)
    return content.build(Analysis(loaded, table.frame(loaded)))


def contents(document):
    """Return all streams of a document, decoded."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\n?endstream", document, re.DOTALL)
    packed = [
        base64.a85decode(stream[:-2]) if stream.endswith(b"~>") else stream for stream in streams
    ]
    return b"\n".join(map(zlib.decompress, packed))


@pytest.mark.whole
def test_every_figure_is_written_twice_the_same(report, tmp_path):
    figures = [figure.id for section in report.sections for figure in section.figures]
    assert render.write_figures(report, tmp_path / "one") == len(figures) > 5
    render.write_figures(report, tmp_path / "two")
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {f"{figure}.{kind}" for figure in figures for kind in ("svg", "pdf")}
    for name in names:
        written = (tmp_path / "one" / name).read_bytes()
        assert written == (tmp_path / "two" / name).read_bytes()
        assert written.startswith(b"%PDF" if name.endswith("pdf") else b"<svg")


@pytest.mark.whole
def test_pictures_are_in_it(report):
    drawn = {figure.id: figure.svg for section in report.sections for figure in section.figures}
    with_pictures = [figure for figure, text in drawn.items() if "data:image/png" in text]
    assert with_pictures
    for figure in with_pictures:
        number = drawn[figure].count("data:image/png")
        assert contents(pdf.of(svg.standalone(drawn[figure]))).count(b"\nBI /W") == number


def test_signs_are_letters_of_an_embedded_font():
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 20"><text x="1" y="15">'
        "filip − cosine ± τ</text></svg>"
    )
    document = pdf.of(drawing)
    assert re.search(rb"/FontFile2", document) and b"DejaVuSans" in document
    # The table from glyphs to characters, without which a text cannot be searched.
    assert all(sign in contents(document) for sign in (b"<2212>", b"<00B1>", b"<03C4>"))


def test_latex_shows_them_where_they_are_written(report, tmp_path):
    figures = [figure.id for section in report.sections for figure in section.figures]
    assert "includegraphics" not in render.latex(report)
    shown = re.findall(r"\{figures/([^}]+)\.pdf\}", render.latex(report, figures=True))
    assert shown == figures
