"""The page in a real browser."""

import pytest
from browser import SCREENS, objections, opened, overflows
from synthetic import run_name, write_experiment, write_weights

from kbench.report import content, render
from kbench.report.analysis import Analysis
from kbench.results import store, table

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = write_experiment(
        tmp_path_factory.mktemp("browser") / "made-up", {"cosine": 2.0, "wpse-linear": 1.0}
    )
    write_weights(folder / "runs" / run_name("wpse-linear", 0) / "weights.npz")
    loaded = store.load(folder)
    return render.write(content.build(Analysis(loaded, table.frame(loaded))), folder / "report")[0]


@pytest.fixture(params=SCREENS)
def page(request, browser, path):
    page, seen = opened(browser, request.param)
    page.on(
        "request",
        lambda asked: seen.append(asked.url) if asked.url != path.as_uri() else None,
    )
    page.goto(path.as_uri())
    yield page
    assert [entry for entry in seen if not entry.startswith(("data:", "file:"))] == []
    page.close()


def test_nothing_overflows(page):
    assert not overflows(page)


def test_axe_finds_nothing_to_object_to(page):
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert objections(page) == []


def test_every_link_inside_the_page_leads_somewhere_that_can_be_seen(page):
    links = page.evaluate(
        "[...new Set([...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash))]"
    )
    assert len(links) > 10
    for link in links:
        page.evaluate("hash => { location.hash = hash; }", link)
        page.wait_for_timeout(5)
        assert page.locator(f"[id='{link[1:]}']").is_visible(), link


def test_the_keyboard_reaches_the_content_first_and_every_control(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#answer"
    controls = page.locator("a[href], button, input, summary")
    assert page.evaluate(
        "[...document.querySelectorAll('[tabindex]')].every(one => one.tabIndex === 0)"
    )
    assert controls.count() > 50


def test_in_print_nothing_is_cut_off_and_controls_are_gone(page):
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 900})
    assert not page.locator("nav").is_visible()
    overflow = (
        "[...document.querySelectorAll('.scroll')].map(part => getComputedStyle(part).overflowX)"
    )
    assert set(page.evaluate(overflow)) == {"visible"}
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_sorting_by_keyboard(page):
    heading = page.locator("#scores-zeroshot thead button").last
    column = (
        "[...document.querySelectorAll('#scores-zeroshot tbody tr')].map(r =>"
        " Number(r.lastElementChild.dataset.sort))"
    )
    heading.focus()
    page.keyboard.press("Enter")
    ascending = page.evaluate(column)
    page.keyboard.press("Enter")
    assert page.evaluate(column) == ascending[::-1] and ascending == sorted(ascending)
    assert heading.locator("xpath=..").get_attribute("aria-sort") == "descending"


def test_a_number_shows_the_results_it_is_made_of(page):
    page.locator("#scores-zeroshot tbody a[data-filter]").first.click()
    page.wait_for_timeout(100)
    shown = page.locator("#results tbody tr:visible")
    assert shown.count() == 2
    assert {row.split("\t")[2] for row in shown.all_inner_texts()} == {"world-shape"}


def test_a_result_leads_to_its_run(page):
    page.locator("#results-folded summary").click()
    page.locator("#results tbody a").first.click()
    page.wait_for_timeout(100)
    assert page.locator("#runs details[open] pre").first.is_visible()


def test_filtering_says_how_many_rows_are_left(page):
    page.locator("#published summary").click()
    page.locator("#published-cells-filter").fill("slip-readme linear_sgd")
    assert page.locator("#published-cells tbody tr:visible").count() == 5
    assert "5 of 195 rows" in page.locator("label:has(#published-cells-filter)").inner_text()


@pytest.fixture(scope="module")
def long(browser, tmp_path_factory):
    """A page whose table of all results counts as long, unfolded by nobody yet."""
    folder = write_experiment(tmp_path_factory.mktemp("long") / "made-up", {"cosine": 2.0})
    loaded = store.load(folder)
    report = content.build(Analysis(loaded, table.frame(loaded)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "LONGEST", 5)
        patch.setattr(render, "MOST_RUNS", 1)
        (folder / "page.html").write_text(render.html(report))
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.goto((folder / "page.html").as_uri())
    yield opened, len(table.frame(loaded))
    opened.close()


def test_rows_of_a_long_table_are_made_when_asked_for(long):
    page, number = long
    rows = page.locator("#results tbody tr")
    assert rows.count() == 0
    page.locator("#results-folded summary").click()
    page.wait_for_timeout(200)
    assert rows.count() == number
    cells = rows.first.locator("th, td")
    assert cells.count() == page.locator("#results thead th").count()
    assert rows.first.locator("a").get_attribute("href").startswith("#run-")


def test_a_long_table_is_sorted_and_filtered_as_others_are(long):
    page, number = long
    value = "[...document.querySelectorAll('#results tbody tr')].map(r => parseFloat(r.cells[5].textContent))"
    page.locator("#results-filter").fill('"world-shape" zero-shot')
    page.wait_for_timeout(100)
    left = page.locator("#results tbody tr").count()
    assert 0 < left < number
    assert f"{left} of {number} rows" in page.locator("label:has(#results-filter)").inner_text()
    page.locator("#results thead button").nth(5).click()
    page.wait_for_timeout(100)
    sorted_ = page.evaluate(value)
    assert sorted_ == sorted(sorted_) and len(sorted_) == left
    page.locator("#results-filter").fill("")


def test_a_result_leads_to_a_run_that_came_packed(long):
    page, _ = long
    assert page.locator("[data-packed]").count() == 0
    runs = page.locator("#runs details")
    assert runs.count() == 2
    page.evaluate("location.hash = document.querySelector('#runs details').id")
    page.wait_for_timeout(200)
    assert runs.first.get_attribute("open") is not None
    assert "Reproduce with" in runs.first.inner_text()


def test_a_number_leads_into_a_long_table_too(long):
    page, _ = long
    page.locator("#scores-zeroshot tbody a[data-filter]").first.click()
    page.wait_for_timeout(200)
    assert page.locator("#results tbody tr").count() == 2
