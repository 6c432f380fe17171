"""What people do on the pages, in a real browser: with and without its scripts, by keyboard, hostile input and all."""

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import watched
from tests.browser.site import BrowserSite

PAGES = (
    "/", "/events", "/todo", "/todo/dead", "/rules", "/rules/try", "/rules/book", "/systems", "/systems/source/shop",
    "/systems/destination/crm", "/machine", "/machine/audit", "/jobs", "/act/dead.drop", "/act/sources.hold?id=shop",
)  # fmt: skip
#: Would run, or break a page, were it not escaped.
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>\u202e=1+1'
#: Visits have no such field: what the rule of the fair asks for cannot be made.
FAULT = """type: visit}
    then:
      - crm.upsert_contact: {email: "{{ data.email"""
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="module", autouse=True)
def life(site: BrowserSite) -> None:
    """Orders that arrive, and 21 visits that cannot be carried out: they have no address."""
    for _ in range(3):
        site.send()
    for _ in range(21):
        site.send("fair", "visit", email=None, contact="ada@example.org")
    site.await_count(21, state="dead")


def test_an_event_is_found_and_understood(site: BrowserSite, page: Page) -> None:
    """From the first page over a filter to the story of an event: which rule, and where that stands."""
    page.goto(site.base)
    expect(page.get_by_role("heading", level=1)).to_contain_text("wait")
    page.get_by_role("link", name="Events", exact=True).click()
    page.get_by_label("type").fill("order.*")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"type=order\.\*"))
    expect(page.get_by_role("status").first).to_contain_text("3 found")
    page.locator("tbody").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("order.paid from shop")
    expect(page.get_by_text("book.yaml:19")).to_be_visible()
    page.goto(f"{site.base}/events?state=dead")
    page.locator("tbody").get_by_role("link").first.click()
    page.get_by_label("Why do you want to see it?").fill("a call of this person")
    page.get_by_role("button", name="Look at the payload").click()
    expect(page.locator("pre")).to_contain_text("@example.org")
    page.go_back()
    page.reload()
    expect(page.get_by_role("listitem").filter(has_text="looked")).to_contain_text("a call of this person")


def test_a_person_is_found_without_a_trace(site: BrowserSite, page: Page) -> None:
    """A search for an address ends at a hash; the address stands in no URL, title or log."""
    page.goto(site.base)
    page.keyboard.press("/")
    page.keyboard.type("ben@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Person")
    expect(page.get_by_text("Read as e-mail.")).to_be_visible()
    assert "ben@" not in page.url + page.title() + page.content()
    assert "ben@example.org" not in site.process.said


def test_dead_letters_are_mended(site: BrowserSite, page: Page) -> None:
    """The cause is found, the rule is mended, its change previewed and approved, and all are retried by it."""
    page.goto(f"{site.base}/todo")
    page.get_by_role("link", name="21", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("21 · Dead letters")
    cause = page.url
    site.mend(FAULT, FAULT.replace("data.email", "data.contact"))
    page.goto(f"{site.base}/rules")
    if page.get_by_role("button", name="Preview the change").is_visible():  # unless it counts already
        page.get_by_role("button", name="Preview the change").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("compared", timeout=60_000)
        page.get_by_role("link", name="Approve: put in force …").click()
        page.get_by_label("Why?").fill("visits have another field")
        page.get_by_role("button", name="Approve: put in force").click()
        expect(page).to_have_url(re.compile(r"/ui/rules$"))
    page.goto(f"{site.base}/rules")
    on_disk = page.get_by_role("paragraph").filter(has_text="On disk:")
    expect(on_disk).to_contain_text("the same", timeout=30_000)
    page.goto(cause)
    page.get_by_role("link", name="Retry by today's rules (21) …").click()
    page.get_by_label("Why?").fill("rule mended")
    page.get_by_label("Type 21 to go on").fill("21")
    page.get_by_role("button", name="Retry by today's rules (21)").click()
    expect(page.get_by_text("21 of 21")).to_be_visible(timeout=30_000)
    site.await_count(0, state="dead")
    page.goto(f"{site.base}/machine/audit?verb=dead.today")
    expect(page.get_by_role("row", name=re.compile("rule mended"))).to_contain_text("21")


def test_a_tail_tells_what_it_does_not_show(site: BrowserSite, page: Page) -> None:
    """New events appear by themselves; a paused tail counts them, and shows them when it goes on."""
    page.goto(f"{site.base}/events?source=shop")
    page.get_by_role("button", name="Watch live").click()
    expect(page.get_by_text("/s come in")).to_be_visible()
    first = site.send()
    expect(page.get_by_role("link", name=first[:14]).first).to_be_visible()
    page.keyboard.press("p")
    second = site.send()
    expect(page.get_by_text(re.compile(r"paused: [1-9] came since"))).to_be_visible()
    expect(page.get_by_role("link", name=second[:14])).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("link", name=second[:14]).first).to_be_visible()


def test_a_page_renews_itself(site: BrowserSite, page: Page) -> None:
    """A number changes by itself where it is looked at, and no request is answered with a page that is the same."""
    page.goto(f"{site.base}/systems/source/shop")
    page.get_by_text("as a table").click()
    came = int(page.get_by_role("link", name=re.compile(r"^\d+ events?$")).inner_text().split()[0])
    site.send()
    expect(page.get_by_role("link", name=f"{came + 1} events")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("table", name="Events that came in")).to_be_visible()  # what was open stays open


def test_keys(site: BrowserSite, page: Page) -> None:
    """Pages, rows and an event are reached by keys alone."""
    page.goto(site.base)
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page).to_have_url(f"{site.base}/events")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What became of it")).to_be_visible()


def test_hostile_texts_are_texts(site: BrowserSite, page: Page) -> None:
    """What people and addresses say is shown as it is, on every page that shows it; nothing of it runs."""
    page.goto(f"{site.base}/act/sources.hold?id=fair")
    page.get_by_label("Why?").fill(HOSTILE)
    page.get_by_role("button", name="Hold").click()
    for path in ("/systems/source/fair", "/", "/todo", "/machine/audit"):
        page.goto(site.base + path)
        expect(page.get_by_text("onerror=alert(1)").first).to_be_visible()
    for path in ("/events", "/todo/dead"):
        page.goto(f"{site.base}{path}?rule={quote(HOSTILE)}&code={quote(HOSTILE)}")
        expect(page.get_by_role("link", name=re.compile("onerror")).first).to_be_visible()
    page.goto(f"{site.base}/rules/try")
    page.get_by_label("what it sends").fill('{"id": "1", "event": "</textarea><script>alert(3)</script>"}')
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_label("what it sends")).to_have_value(re.compile("</textarea><script>"))


def test_a_foreign_page_can_do_nothing(site: BrowserSite, inside: BrowserContext) -> None:
    """A form on another page reaches nothing, although its visitor is signed in; and no page can be framed."""
    tab = inside.new_page()
    evil = "http://evil.localhost:1/"
    form = f'<form method="post" action="{site.base}/act/rooms.pause"><button>win</button></form>'
    frame = f'<iframe src="{site.base}/"></iframe>'
    tab.route(evil, lambda route: route.fulfill(body=form + frame, content_type="text/html"))
    tab.goto(evil)
    expect(tab.frame_locator("iframe").get_by_role("link", name="To do")).to_have_count(0)
    with tab.expect_navigation() as going:
        tab.get_by_role("button", name="win").click()
    assert going.value is not None
    assert going.value.status == 403
    tab.close()


@pytest.fixture
def plain(site: BrowserSite, browser: Browser) -> Iterator[Page]:
    """A tab of a browser without scripts, of an operator."""
    context = browser.new_context(java_script_enabled=False, viewport=NARROW, locale="en-GB")  # type: ignore[arg-type]
    tabs = watched(context)
    tab = next(tabs)
    tab.goto(site.link("operator", "max"))
    tab.get_by_role("button", name="Come in").click()
    yield tab
    next(tabs, None)
    context.close()


def test_all_works_without_scripts(site: BrowserSite, plain: Page) -> None:
    """Without scripts people look, filter, search, pause and resume; and in their language."""
    plain.goto(f"{site.base}/systems/destination/crm")
    plain.get_by_role("link", name="Pause …").click()
    plain.get_by_label("Why?").fill("year end")
    plain.get_by_role("button", name="Pause").click()
    expect(plain.get_by_text("year end")).to_be_visible()
    plain.get_by_role("link", name="Resume …").click()
    plain.get_by_label("Why?").fill("year is over")
    plain.get_by_role("button", name="Resume").click()
    plain.goto(f"{site.base}/events?state=delivered")
    expect(plain.get_by_role("link", name="CSV")).to_be_visible()
    expect(plain.get_by_role("button", name="Watch live")).to_be_hidden()


def test_everybody_can_use_the_pages(site: BrowserSite, page: Page) -> None:
    """axe-core finds nothing on any page, light and wide or dark and narrow; no page scrolls sideways at 360 pixels."""
    source = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
    faults: list[Any] = []
    for scheme, size in (("light", WIDE), ("dark", NARROW)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for path in PAGES:
            page.goto(site.base + path)
            page.evaluate(source)
            found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")
            faults += [
                (path, scheme, one["id"], [node["html"][:120] for node in one["nodes"][:3]])
                for one in found["violations"]
            ]
            width = page.evaluate("document.documentElement.scrollWidth")
            faults += [(path, "scrolls sideways", width)] if width > size["width"] else []
    assert faults == []
