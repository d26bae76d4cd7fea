"""The site in a real browser; left out where playwright or Chromium is not installed."""

import shutil

import pytest
from tiny import ROOT

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.whole, pytest.mark.skipif(not CHROMIUM, reason="no Chromium")]
PAGES = ("index.html", "leaderboard.html", "similarities/cosine.html", "datasets/world-pairs.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory, kbench):
    folder = tmp_path_factory.mktemp("site") / "site"
    summaries = [path.parent for path in sorted(ROOT.glob("results/*/summary/report.md"))]
    assert kbench("site", *summaries, "--output", folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"]
        )
        yield launched
        launched.close()


@pytest.fixture(params=[(1280, "light"), (390, "dark")])
def opened(request, browser):
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    errors = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_and_nothing_overflows(opened, site, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    opened.goto((site / name).as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    violations = axe.run(opened).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in violations] == []


def test_the_search_leaves_the_pages_that_have_all_words(opened, site):
    opened.goto((site / "index.html").as_uri())
    opened.fill("#search", "similarities gauss only")
    shown = opened.locator("[data-page]:visible").all_inner_texts()
    assert shown == ["wpse-gaussian-only"]
    assert opened.locator("[data-search] [role=status]").inner_text().startswith("1 of ")
    opened.fill("#search", "")
    opened.click("text=wpse-gaussian-only >> nth=-1")
    assert opened.url.endswith("similarities/wpse-gaussian-only.html")
    opened.click("nav >> text=Leaderboard")
    assert opened.locator("h1").inner_text() == "Leaderboard"
