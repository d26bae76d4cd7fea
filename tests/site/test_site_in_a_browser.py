"""The site in a real browser."""

import pytest
from browser import SCREENS, objections, opened, overflows
from tiny import ROOT

pytestmark = pytest.mark.whole
PAGES = ("index.html", "leaderboard.html", "similarities/cosine.html", "datasets/world-pairs.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory, kbench):
    folder = tmp_path_factory.mktemp("site") / "site"
    summaries = [path.parent for path in sorted(ROOT.glob("results/*/summary/report.md"))]
    assert kbench("site", *summaries, "--output", folder).returncode == 0
    return folder


@pytest.fixture(params=SCREENS)
def page(request, browser):
    page, said = opened(browser, request.param)
    yield page
    assert said == []
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_and_nothing_overflows(page, site, name):
    page.goto((site / name).as_uri())
    assert not overflows(page)
    assert objections(page) == []


def test_the_search_leaves_the_pages_that_have_all_words(page, site):
    page.goto((site / "index.html").as_uri())
    page.fill("#search", "similarities gauss only")
    shown = page.locator("[data-page]:visible").all_inner_texts()
    assert shown == ["wpse-gaussian-only"]
    assert page.locator("[data-search] [role=status]").inner_text().startswith("1 of ")
    page.fill("#search", "")
    page.click("text=wpse-gaussian-only >> nth=-1")
    assert page.url.endswith("similarities/wpse-gaussian-only.html")
    page.click("nav >> text=Leaderboard")
    assert page.locator("h1").inner_text() == "Leaderboard"
