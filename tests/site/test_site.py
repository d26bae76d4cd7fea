"""`kbench site`: what is on it, where its links lead, and what it never replaces."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html import unescape
from urllib.parse import unquote

import pytest
from synthetic import write_experiment
from tiny import ROOT

from kbench.results.summary import Column, Summary
from kbench.site import standings
from kbench.site.standings import Standing

ACCURACY = Column("zeroshot", "world-shape", "acc1", "fraction", True)
LOSS = Column("pmi_gap", "world-pairs", "excess_loss", "nats", False)
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(scope="module")
def site(tmp_path_factory, kbench):
    folder = tmp_path_factory.mktemp("site")
    first = write_experiment(folder / "first", {"cosine": 2.0, "wpse-linear": 1.0})
    second = write_experiment(folder / "second", {"cosine": 1.5, "my-own & <b>": 0.5})
    options = ("--title", "Kernels & more", "--url", "https://example.org/k/")
    done = kbench("site", first, second, "--output", folder / "site", *options)
    assert done.returncode == 0, done.stderr
    assert "2 reports" in done.stdout
    return folder / "site"


def links(text):
    """Return where a page leads to on its own site."""
    every = {unescape(link) for link in re.findall(r'href="([^"]*)"', text)}
    return {link for link in every if not link.startswith(("https:", "data:"))}


def test_every_link_leads_to_a_file_and_a_place_on_the_site(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) == 2 + 2 + 3 + 5  # index and leaderboard, reports, similarities, sets
    for page in pages:
        for link in links(page.read_text()):
            path, _, place = unquote(link).partition("#")
            target = page.parent / path if path else page
            assert target.is_file(), (page, link)
            assert not place or f'id="{place}"' in unescape(target.read_text()), (page, link)


def test_pages_name_what_they_should_and_escape_it(site):
    index = (site / "index.html").read_text()
    assert "Kernels &amp; more" in index and "experiments/first/index.html" in links(index)
    board = (site / "leaderboard.html").read_text()
    assert "my-own &amp; &lt;b&gt;" in board and "<b>" not in board
    cosine = (site / "similarities" / "cosine.html").read_text()
    assert "first" in cosine and "second" in cosine and "Radford" in cosine
    assert "not installed here" in (site / "similarities" / "my-own-b-.html").read_text()
    report = (site / "experiments" / "first" / "index.html").read_text()
    assert "../../index.html" in links(report)
    assert (site / "experiments" / "first" / "bundle.tar.xz").stat().st_size > 1000


def test_the_feed_is_atom_with_an_entry_for_each_experiment(site):
    feed = ElementTree.parse(site / "feed.xml").getroot()
    assert feed.tag == f"{ATOM}feed" and feed.find(f"{ATOM}title").text == "Kernels & more"
    entries = [entry.find(f"{ATOM}id").text for entry in feed.iter(f"{ATOM}entry")]
    assert sorted(entries) == [
        f"https://example.org/k/experiments/{name}/index.html" for name in ("first", "second")
    ]
    assert 'type="application/atom+xml"' in (site / "index.html").read_text()


def test_a_site_is_replaced_as_a_whole_and_nothing_else_is(kbench, refused, tmp_path):
    results = write_experiment(tmp_path / "first", {"cosine": 1.0}, datasets=("world-shape",))
    output = tmp_path / "site"
    for _ in range(2):
        assert kbench("site", results, "--output", output).returncode == 0
        assert not (output / "old.html").exists() and not (output / "feed.xml").exists()
        (output / "old.html").write_text("of the site before")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    refused(kbench("site", results, "--output", other), "is not empty, and no site of kbench")
    assert [path.name for path in other.iterdir()] == ["mine.txt"]
    refused(kbench("site", results, results, "--output", output), "is there already", "merge")
    refused(kbench("site", tmp_path / "none", "--output", output), "no such results folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "other", "site"]


def standing(mean, operations, column=ACCURACY):
    return Standing(
        "e", f"v{mean}", "cosine", "world", column, Summary({0: mean}), None, operations
    )


def test_the_front_has_what_nothing_betters_at_its_price():
    known = [standing(m, o) for m, o in ((0.5, 1), (0.4, 2), (0.7, 4), (0.7, 8), (0.9, 16))]
    ahead = list(standings.front([*known, standing(1.0, None)]))
    assert [(one.summary.mean, one.operations) for one in ahead] == [(0.5, 1), (0.7, 4), (0.9, 16)]
    turned = [replace(one, column=LOSS) for one in known]
    assert [one.summary.mean for one in standings.front(turned)] == [0.5, 0.4]


@pytest.mark.whole
def test_the_committed_summaries_make_a_site(kbench, tmp_path):
    summaries = [path.parent for path in sorted(ROOT.glob("results/*/summary/report.md"))]
    done = kbench("site", *summaries, "--output", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    board = (tmp_path / "site" / "leaderboard.html").read_text()
    assert "wpse-gaussian-d2" in board and "Pareto front" in board
    assert len(summaries) == 11
    for one in summaries:
        assert (tmp_path / "site" / "experiments" / one.parent.name / "index.html").is_file()
