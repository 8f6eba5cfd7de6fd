"""The page in a real Chromium: nothing is fetched or fails, and text is readable."""

from pathlib import Path

import pytest

from tests.chromium import CONTRAST, watched
from tests.report.test_page import on_disk
from wwdc.report.make import Made
from wwdc.report.page import Card, cards, figure, lacking, page, table

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """A page with everything that pages have."""
    folder = tmp_path_factory.mktemp("page")
    made: Made = on_disk(folder, [1, 2, 3])
    missing = Made(made.plot, "lacking", "", "nothing is embedded", "embed")
    failed = Made(made.plot, "failed", "", "ValueError: no")
    tones = [Card("1", "point"), Card("2", "removed", "good"), Card("3", "leak", "bad")]
    rows = table(("sweep", "hash"), [("one", ("abc", "abcdef"))], (1,))
    body = cards(tones) + rows + figure(made) + lacking(missing, folder) + lacking(failed, folder)
    body += f"<details open><summary>More</summary>{rows}</details>"
    target = folder / "index.html"
    target.write_text(page("A title", "what it is", [("a", "First", body)], "made today"))
    return target


@pytest.fixture
def opened(browser, path, request):
    """The page in a tab of the wanted theme, what went wrong in it and what it asked for."""
    scheme, script = getattr(request, "param", ("light", True))
    with watched(browser, path, scheme, script) as found:
        yield found


@pytest.mark.parametrize("opened", [("light", True), ("dark", True)], indirect=True)
def test_text_is_readable_and_nothing_fails(opened, path):
    tab, faults, asked = opened
    found = tab.evaluate(CONTRAST)
    assert found["bad"] == [] and found["seen"] > 20
    assert faults == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


def test_light_and_dark_differ(browser, path):
    seen = set()
    for scheme in ("light", "dark"):
        tab = browser.new_page(color_scheme=scheme)
        tab.goto(path.as_uri())
        seen.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        seen.add(tab.locator("figure img").screenshot())
        tab.close()
    assert len(seen) == 4


def test_a_figure_opens_large_and_closes(opened):
    tab, faults, _ = opened
    tab.locator("a.look").click()
    assert tab.locator("dialog[open] img").is_visible()
    tab.locator("dialog[open]").click()
    assert tab.locator("dialog[open]").count() == 0 and faults == []


@pytest.mark.parametrize("opened", [("light", False)], indirect=True)
def test_it_works_without_javascript(opened):
    tab, faults, _ = opened
    assert tab.locator("figure img").is_visible() and tab.locator("nav a").count() == 1
    tab.locator("nav a").click()
    assert tab.url.endswith("#a") and faults == []
