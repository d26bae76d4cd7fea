"""What tests look for on pages in a real browser."""

import pytest

SCREENS = [(1280, "light"), (390, "dark")]
"""Width in pixels and colour scheme."""


def opened(browser, screen):
    """Return an empty page of a screen, and the list of what it says on its console, which errors
    go to, too.
    """
    width, scheme = screen
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    return page, said


def overflows(page):
    """Return whether a page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def objections(page):
    """Return what axe objects to, and where."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    violations = axe.run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in violations]
