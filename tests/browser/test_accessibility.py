"""Whether everybody can use the pages: axe on each in each look, zoom, contrast, no motion, and the keyboard alone."""

from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.site import BrowserSite

#: Each with something on it.
PAGES = (
    "/", "/events", "/events?state=dead", "EVENT", "PERSON", "/todo", "/todo/dead", "/jobs", "/rules", "/rules/try",
    "/rules/book", "/rules/history", "/systems", "/systems/source/shop", "/systems/destination/crm", "/machine",
    "/machine/audit", "/act/dead.drop", "/act/rooms.pause?id=crm", "/views?of=/events", "/nothing",
)  # fmt: skip
LOOKS = tuple((scheme, width) for scheme in ("light", "dark") for width in (1280, 360))
RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations']}"
AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()


@pytest.fixture(scope="module", autouse=True)
def life(site: BrowserSite) -> dict[str, str]:
    """Something on every page; where a page's address is not known beforehand, it is found here."""
    told = site.send()
    for _ in range(3):
        site.send("fair", "visit", email=None, contact="ada@example.org")
    site.await_count(3, state="dead")
    who = site.find("ben@example.org")
    return {"EVENT": f"/events/{told}", "PERSON": f"/people/{who}"}


@pytest.fixture(scope="module")
def tab(inside: BrowserContext) -> Iterator[Page]:
    """One tab for all."""
    page = inside.new_page()
    yield page
    page.close()


def choose(context: BrowserContext, site: BrowserSite, language: str) -> None:
    """Choose a language, as the menu does."""
    context.add_cookies([{"name": "relais-look", "value": f"{language}.Europe/Berlin", "url": site.base}])


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_axe(site: BrowserSite, inside: BrowserContext, tab: Page, life: dict[str, str], language: str) -> None:
    """axe-core finds nothing on any page, light and dark, wide and narrow; no page scrolls sideways, zoomed or not."""
    choose(inside, site, language)
    faults: list[Any] = []
    for path in PAGES:
        tab.set_viewport_size({"width": 1280, "height": 900})
        tab.goto(site.base + life.get(path, path))
        assert tab.locator("html").get_attribute("lang") == language
        tab.evaluate(AXE)
        for scheme, width in LOOKS:
            tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            tab.set_viewport_size({"width": width, "height": 900})
            for one in tab.evaluate(f"axe.run({RULES})")["violations"]:
                faults.append((path, scheme, width, one["id"], [node["html"][:120] for node in one["nodes"][:3]]))
        for width in (640, 360, 320):  # 1280 pixels at 200 and at 400 per cent
            tab.set_viewport_size({"width": width, "height": 900})
            if (wide := tab.evaluate("document.documentElement.scrollWidth")) > width:
                faults.append((path, "scrolls sideways", width, wide))
    choose(inside, site, "en")
    assert faults == []


def test_no_motion_and_forced_colours(site: BrowserSite, tab: Page) -> None:
    """Nothing moves; where the system chooses the colours, a state is still told by sign and word."""
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.emulate_media(reduced_motion="reduce", forced_colors="active")
    for path in ("/", "/systems", "/todo"):
        tab.goto(site.base + path)
        assert tab.evaluate("document.getAnimations().length") == 0
        assert tab.locator(".state").count() > 0
        for state in tab.locator(".state").all():
            assert len(state.inner_text().strip()) > 1
    tab.emulate_media(reduced_motion="null", forced_colors="none")


def test_the_whole_way_by_keyboard(site: BrowserSite, browser: Browser) -> None:
    """Without a mouse somebody comes in, sees what is dead, reads one story, drops all, and takes it back."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(site.link("operator", "kim"))
    reach(page, "Come in")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="To do").wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for key in "gt":
        page.keyboard.press(key)
    expect(page).to_have_url(f"{site.base}/todo")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Dead letters")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What became of it")).to_be_visible()
    page.go_back()
    reach(page, "Drop (3) …")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Why?")).to_be_visible()
    reach(page, "Why?")
    page.keyboard.type("visits of a fair that was cancelled")
    page.keyboard.press("Enter")
    expect(page.get_by_text("3 of 3")).to_be_visible()
    reach(page, "Undo (3)")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("dead letters again: 3")
    context.close()


def reach(page: Page, name: str) -> None:
    """Press the Tab key until something of this name has the focus; it must be seen."""
    told = """(({activeElement: its}) => its.matches("a, button, input, select, textarea, summary")
        ? (its.labels?.[0] ?? its).innerText : "")(document)"""
    for _ in range(120):
        page.keyboard.press("Tab")
        if name in page.evaluate(told):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"nobody sees the focus on {name}"
            return
    raise AssertionError(f"{name} is not reached by the Tab key")
