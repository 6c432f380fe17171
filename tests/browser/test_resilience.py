"""What the pages do when something around them is wrong: the store, a proxy, the clock, many tabs, long names."""

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from bench.processes import family
from tests.browser.site import BrowserSite

#: Bytes that the proxy keeps back until it has as many.
KEPT_BACK = 65_536
LONG = "\u202e" + "x" * 3_000 + "<script>alert(1)</script>"


class BufferingProxy:
    """Sends what is asked on at once; of an answer nothing before it has so many bytes of it, or its end."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._open, daemon=True).start()

    def _open(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            asking = threading.Thread(target=self._pass, args=(client, server, 0), daemon=True)
            asking.start()
            self._pass(server, client, KEPT_BACK)
            asking.join()

    def _pass(self, source: socket.socket, target: socket.socket, most: int) -> None:
        kept, ends = b"", False
        with suppress(OSError):
            while not ends:
                piece = source.recv(65_536)
                kept, ends = kept + piece, not piece
                # Like a proxy that knows where an answer ends: only one without an end is kept back.
                whole = b"text/event-stream" not in kept[:4_000].lower()
                if whole or len(kept) >= most or ends:
                    target.sendall(kept)
                    kept = b""
        for end in (source, target):  # whoever ends first ends both ways
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()


@pytest.fixture(scope="module", autouse=True)
def life(site: BrowserSite) -> None:
    """Something that has arrived."""
    site.send()
    site.await_count(1, state="delivered")


@pytest.fixture
def tab(inside: BrowserContext) -> Iterator[Page]:
    """A tab of somebody who has come in."""
    page = inside.new_page()
    yield page
    page.close()


def test_a_proxy_that_buffers(site: BrowserSite, browser: Browser) -> None:
    """Where a proxy keeps the tail back the page says so, and shows what comes in all the same."""
    proxy = BufferingProxy(urlsplit(site.base).port or 0)
    context = browser.new_context(locale="en-GB", timezone_id="UTC")
    page = context.new_page()
    page.goto(re.sub(r":\d+/", f":{proxy.port}/", site.link("viewer", "lea"), count=1))
    page.get_by_role("button", name="Come in").click()
    page.get_by_role("link", name="Events", exact=True).click()
    page.get_by_role("button", name="Watch live").click()
    expect(page.get_by_text("keeps the stream back")).to_be_visible(timeout=30_000)
    told = site.send()
    expect(page.get_by_role("link", name=told[:14]).first).to_be_visible(timeout=30_000)
    context.close()
    proxy.close()


def test_seven_tabs(site: BrowserSite, inside: BrowserContext) -> None:
    """Of seven tabs that watch, those that nobody sees give their connection back: the last one works."""
    tabs: list[Page] = []
    for _ in range(7):
        for other in tabs:
            hide(other, hidden=True)
        page = inside.new_page()
        page.goto(f"{site.base}/events")
        page.get_by_role("button", name="Watch live").click()
        expect(page.get_by_text("/s come in")).to_be_visible()
        tabs.append(page)
    told = site.send()
    expect(tabs[-1].get_by_role("link", name=told[:14]).first).to_be_visible()
    hide(tabs[-1], hidden=True)
    hide(tabs[0], hidden=False)
    told = site.send()
    expect(tabs[0].get_by_role("link", name=told[:14]).first).to_be_visible(timeout=30_000)
    for page in tabs:
        page.close()


def hide(page: Page, *, hidden: bool) -> None:
    """Let a page believe that its tab is, or is not, behind another one: without a screen each is in front."""
    page.evaluate(f"Object.defineProperty(document, 'hidden', {{value: {str(hidden).lower()}, configurable: true}})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize("hours", [-25, 25])
def test_a_clock_that_is_wrong(site: BrowserSite, browser: Browser, inside: BrowserContext, hours: int) -> None:
    """A machine whose clock is a day off sees the times of the server, also where a page stays the same."""
    context = browser.new_context(storage_state=inside.storage_state(), timezone_id="Europe/Berlin")
    tab = context.new_page()
    tab.goto(f"{site.base}/systems/destination/crm")
    before = shown_time(tab)
    tab.clock.set_system_time(int(tab.evaluate("Date.now()")) + hours * 3_600_000)
    expect(tab.locator("[data-as-of]")).not_to_have_text(before, timeout=30_000)
    after = shown_time(tab)
    assert 0 < (seconds(after) - seconds(before)) % 86_400 < 60, (before, after)
    expect(tab.locator(".old")).to_have_count(0)
    context.close()


def shown_time(page: Page) -> str:
    return page.locator("[data-as-of]").inner_text()


def seconds(clock: str) -> int:
    hour, minute, second = map(int, clock.split(":"))
    return hour * 3_600 + minute * 60 + second


def test_long_and_hostile_names(site: BrowserSite, tab: Page) -> None:
    """A name of three thousand letters, backwards and with a script, breaks no page and runs nothing."""
    complaints: list[Any] = []
    tab.on("dialog", lambda dialog: complaints.append(dialog.message))
    tab.set_viewport_size({"width": 360, "height": 740})
    for path in ("/events?rule=", "/todo/dead?code=", "/act/dead.drop?code=", "/views?of=/events?code="):
        tab.goto(f"{site.base}{path}{quote(LONG)}")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360, path
    assert complaints == []


def test_the_store_stops_while_a_page_is_open(site: BrowserSite, tab: Page) -> None:
    """While the store is away a page shows what it knew and how old that is; then it goes on."""
    tab.set_viewport_size({"width": 1280, "height": 900})
    for path in ("/todo", "/systems", "/"):
        tab.goto(site.base + path)
    store = next(pid for pid in family(site.process.process.pid) if is_store(pid))
    os.kill(store, signal.SIGSTOP)
    try:
        expect(tab.get_by_text("This is the last known state")).to_be_visible(timeout=90_000)
        expect(tab.get_by_role("table", name="Sources")).to_be_visible()
        tab.goto(f"{site.base}/systems")
        expect(tab.get_by_text("This is the last known state")).to_be_visible()
        expect(tab.get_by_role("row", name=re.compile("crm"))).to_be_visible()
    finally:
        os.kill(store, signal.SIGCONT)
    expect(tab.get_by_text("This is the last known state")).to_have_count(0, timeout=90_000)


def is_store(pid: int) -> bool:
    with suppress(OSError):
        return b"valkey" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    return False
