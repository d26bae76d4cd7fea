"""The documentation: its pages do what they say, its site is whole, its quotations are still said."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import ROOT
from tutorials import as_said, follow, steps

from kbench import objective, similarity, tasks
from kbench.commands import COMMANDS

DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
HERE = str(Path(sys.executable).parent)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [f"{HERE}/mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.whole
def test_a_tutorial_prints_what_it_shows(tmp_path):
    commands = follow(DOCS / "tutorials" / "own-similarity.md", tmp_path, HERE)
    assert "kbench conform cubed-cosine" in commands


@pytest.mark.whole
@pytest.mark.parametrize(
    "page, headings, of",
    [
        ("commands", [f"kbench {name}" for name in COMMANDS], "commands"),
        ("similarities", similarity.names(), "similarities"),
        ("objectives", objective.names(), "objectives"),
        ("tasks", tasks.usable(), "tasks"),
    ],
)
def test_the_reference_lists_all(site, page, headings, of):
    shown = re.findall(r"<h2[^>]*>([^<]+)", (site / "reference" / f"{page}.html").read_text())
    assert sorted(shown) == sorted(headings), of


@pytest.mark.whole
def test_the_site_fetches_nothing(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?(https?://[^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"?stylesheet[^>]*href=\"?(https?://[^\s\">]+)", text)
        assert loaded == [], page


@pytest.mark.whole
def test_readme_is_its_first_page_with_its_pictures(site):
    page = (site / "index.html").read_text()
    pictures = re.findall(r'<img[^>]*src="([^"]+)"', page)
    assert pictures and all((site / picture).is_file() for picture in pictures)
    assert "make demo" in page


def test_what_is_quoted_is_still_said():
    quoted = re.findall(r"^> (.*)$", (DOCS / "reading-a-verdict.md").read_text(), re.MULTILINE)
    reports = [report.read_text() for report in ROOT.glob("results/*/summary/report.md")]
    assert len(quoted) >= 5
    for sentence in quoted:
        assert any(sentence in report for report in reports), sentence


def test_every_tutorial_is_run():
    """Each is followed by a test: this one's, or that of the installed wheel."""
    sources = [Path(__file__), ROOT / "tests" / "workflow" / "test_new.py"]
    tested = "".join(source.read_text() for source in sources)
    assert TUTORIALS and all(page.name in tested for page in TUTORIALS)


def test_what_is_printed_otherwise_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ mkdir a && cd a\n$ pwd\n.../a\n$ echo b\nc\n```\n")
    with pytest.raises(AssertionError, match="echo b"):
        follow(page, tmp_path, HERE)
    page.write_text('```text title="f"\nx\n```\n```console\n$ cat f; echo y >&2\nx\ny\n```\n')
    assert follow(page, tmp_path, HERE) == ["cat f; echo y >&2"]
    assert len(list(steps(page.read_text()))) == 2
    assert as_said("...\nb\n", "a\nb") and not as_said("", "b") and not as_said("b", "")
