"""A running Relais and a browser for the tests of pages; both are started once for a module."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.site import BrowserSite

#: Debian's; Playwright's own cannot be had everywhere.
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser. CI must have it; a laptop without it is told what it does not test.

    Of one module: Playwright keeps an event loop while it runs, and no other test could have one of its own then.
    """
    if not Path(CHROMIUM).exists():
        says = f"no {CHROMIUM}: the pages are NOT TESTED in a browser (apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(says)
        pytest.skip(says)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def site() -> Iterator[BrowserSite]:
    """All of Relais."""
    folder = Path(tempfile.mkdtemp(prefix="rl", dir="/tmp"))
    built = BrowserSite(folder)
    yield built
    built.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def inside(site: BrowserSite, browser: Browser) -> Iterator[BrowserContext]:
    """A browser in which somebody has come in who may everything."""
    context = browser.new_context(timezone_id="Europe/Berlin", locale="en-GB", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(site.link(payloads=True))
    page.get_by_role("button", name="Come in").click()
    page.get_by_role("link", name="To do").wait_for()
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(inside: BrowserContext) -> Iterator[Page]:
    """A tab. What the policy of a page forbids, or its module does not catch, fails the test."""
    yield from watched(inside)


def watched(context: BrowserContext) -> Iterator[Page]:
    """Yield a tab; afterwards nothing may have been complained about."""
    complaints: list[str] = []
    tab = context.new_page()
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
    tab.on(
        "console", lambda line: complaints.append(f"{tab.url}: {line.text}") if "Security Policy" in line.text else None
    )
    yield tab
    tab.close()
    assert complaints == []
