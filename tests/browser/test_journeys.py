"""What somebody of a small firm does on the pages, one journey a test: pause, mute, go back, keep, forget."""

import csv
import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.site import BrowserSite
from tests.conftest import wait_until

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module", autouse=True)
def life(site: BrowserSite) -> None:
    """An order that arrives, and two visits that cannot be carried out: they have no address."""
    site.send()
    for _ in range(2):
        site.send("fair", "visit", email=None, contact="ada@example.org")
    site.await_count(2, state="dead")


def reload_until(page: Page, wanted: Locator) -> None:
    """Look again until something is there."""

    def there() -> bool:
        page.reload()
        return wanted.is_visible()

    wait_until(there, "it is on the page", 30)


def test_a_destination_is_paused_until_a_time(site: BrowserSite, page: Page) -> None:
    """A pause says by whom, why and until when, wherever it matters; what comes waits, and goes on when it is over."""
    page.goto(f"{site.base}/systems/destination/crm")
    page.get_by_role("link", name="Pause …").click()
    tomorrow = (datetime.now(BERLIN) + timedelta(days=1)).strftime("%Y-%m-%dT18:00")
    page.get_by_label("Why?").fill("year end")
    page.get_by_label("or exactly at (Europe/Berlin)").fill(tomorrow)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("year end")).to_contain_text(re.compile("eva.*18:00"))
    waits = site.send()
    page.goto(site.base)
    paused = page.get_by_role("listitem").filter(has_text="year end")
    expect(paused).to_contain_text("18:00")
    expect(paused.get_by_role("link", name="Look (1)")).to_be_visible(timeout=15_000)
    page.goto(f"{site.base}/events/{waits}")
    expect(page.get_by_role("listitem").filter(has_text="crm.upsert_contact")).to_contain_text("year end")
    page.goto(f"{site.base}/systems/destination/crm")
    page.get_by_role("link", name="Resume …").click()
    page.get_by_label("Why?").fill("all is booked")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("link", name="Pause …")).to_be_visible()
    site.await_count(2, state="delivered")


def test_a_cause_is_muted(site: BrowserSite, page: Page) -> None:
    """What is muted is left out on the first page and stays under To do, with until when; unmuted it is back."""
    page.goto(site.base)
    cause = page.get_by_role("listitem").filter(has_text="visitors of the fair")
    cause.get_by_role("link", name="Look (2)").click()
    here = page.url
    page.get_by_role("link", name="Mute …").click()
    page.get_by_label("Why?").fill("the fair is told")
    page.get_by_label("It ends").select_option(label="tomorrow at this time")
    page.get_by_role("button", name="Mute").click()
    page.goto(site.base)
    expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
    expect(cause).to_have_count(0)
    page.goto(f"{site.base}/todo")
    expect(page.get_by_role("row").filter(has_text="visitors of the fair")).to_contain_text("the fair is told")
    page.goto(here)
    page.get_by_role("link", name="Unmute …").click()
    page.get_by_label("Why?").fill("they ask again")
    page.get_by_role("button", name="Unmute").click()
    page.goto(site.base)
    expect(cause).to_be_visible()


def test_a_former_book_comes_back(site: BrowserSite, page: Page) -> None:
    """What a former book said otherwise is read and approved; its files on disk, it is in force."""
    change = ("type: order.paid}", "type: order.paid, data.email: {exists: true}}")
    page.goto(f"{site.base}/rules/book")
    former = str(page.get_by_role("heading", level=1).locator("code").inner_text())
    site.mend(*change)
    page.goto(f"{site.base}/rules")
    page.get_by_role("link", name="History of books").click()
    differences = page.get_by_role("link", name=f"Differences {former}")
    reload_until(page, differences)
    differences.click()
    expect(page.get_by_role("row").filter(has_text="orders")).to_contain_text("changed")
    page.get_by_role("link", name="Back to this one …").click()
    expect(page.get_by_role("paragraph").filter(has_text="The files on disk are another book")).to_be_visible()
    page.get_by_label("Why?").fill("visitors have no address")
    page.get_by_role("button", name="Approve").click()
    site.mend(*reversed(change))
    page.goto(f"{site.base}/rules/history")
    reload_until(page, page.get_by_role("link", name=f"Read {former}"))
    page.goto(f"{site.base}/machine/audit?verb=book.approve")
    expect(page.get_by_role("row").filter(has_text=former)).to_contain_text("visitors have no address")


def test_a_list_is_saved_as_a_table(site: BrowserSite, page: Page) -> None:
    """A filtered list as CSV has the rows of the page, and nobody's address."""
    page.goto(f"{site.base}/events?state=dead")
    expect(page.get_by_role("status").first).to_contain_text("2 found")
    with page.expect_download() as going:
        page.get_by_role("link", name="CSV").first.click()
    text = going.value.path().read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["state"] for row in rows] == ["dead", "dead"]
    assert going.value.suggested_filename.endswith(".csv")
    assert "example.org" not in text


def test_a_list_is_kept_under_a_name(site: BrowserSite, page: Page) -> None:
    """A view is saved, leads to the same list, and is removed."""
    page.goto(f"{site.base}/events")
    page.get_by_label("state").select_option("dead")
    page.get_by_role("button", name="Show").click()
    filtered = page.url
    page.get_by_role("link", name="Save view").click()
    page.get_by_label("Name").fill("the fair's trouble")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="the fair's trouble").click()
    expect(page.get_by_role("status").first).to_contain_text("2 found")
    assert page.url.rstrip("&?").split("?")[0] == filtered.split("?")[0]
    page.locator("summary", has_text="eva").click()
    page.get_by_role("link", name="My views").click()
    page.get_by_role("button", name="Remove the fair's trouble").click()
    expect(page.get_by_role("link", name="the fair's trouble")).to_have_count(0)


def test_a_person_is_forgotten(site: BrowserSite, page: Page) -> None:
    """A person is searched, forgotten with a receipt, and found no more."""
    site.send(name="Eva", email="eva.forgotten@example.org")
    site.find("eva.forgotten@example.org")
    for found in (True, False):
        page.goto(site.base)
        page.keyboard.press("/")
        page.keyboard.type("eva.forgotten@example.org")
        page.keyboard.press("Enter")
        if found:
            expect(page.get_by_role("heading", level=1)).to_contain_text("Person")
            page.get_by_role("link", name="Forget this person …").click()
            page.get_by_label("The address, if you know it").fill("eva.forgotten@example.org")
            page.get_by_label("Why?").fill("case 4711")
            page.get_by_role("button", name="Forget this person").click()
            expect(page.get_by_role("heading", level=1)).to_have_text("This person is forgotten", timeout=60_000)
            expect(page.get_by_text("case 4711")).to_contain_text("eva")
            expect(page.get_by_text("events that lose their link to the person")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Nothing is found")
