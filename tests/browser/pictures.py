"""Pictures of the pages for docs and README: `make pictures` (needs Chromium) writes them into `docs/pictures`.

Comes in: nothing but this repository. Goes out: a PNG for each of the nine screens, of invented people; in several
languages, light and dark, wide and narrow. Never reaches a vendor.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.site import BrowserSite
from tests.conftest import wait_until

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
WIDE, NARROW = {"width": 1120, "height": 700}, {"width": 360, "height": 720}
#: Name -> address, language, colours, size.
SCREENS: dict[str, tuple[str, str, str, dict[str, int]]] = {
    "now": ("/", "en", "light", WIDE),
    "events": ("/events?source=shop", "de", "light", WIDE),
    "event": ("event", "en", "light", WIDE),
    "person": ("person", "fr", "light", WIDE),
    "todo": ("/todo", "de", "dark", WIDE),
    "job": ("job", "en", "light", NARROW),
    "rules": ("/rules", "fr", "dark", WIDE),
    "system": ("/systems/destination/crm", "de", "light", NARROW),
    "machine": ("/machine", "en", "dark", WIDE),
}


def live_a_day(site: BrowserSite) -> str:
    """Let happen what the pictures show; return the event whose story is told."""
    for _ in range(9):
        site.send()
    told = site.send()
    for _ in range(24):
        site.send("fair", "visit", email=None, contact="ada@example.org")
    for _ in range(3):
        site.send(event="order.cancelled")
    site.await_count(24, state="dead")
    wait_until(lambda: site.events(total="true", source="shop", state="delivered")["total"] == 10, "orders arrived")
    return told


def come_in(site: BrowserSite, browser: Browser, language: str, scheme: Any, size: Any) -> Page:
    """Return a tab of somebody who has come in."""
    context = browser.new_context(viewport=size, locale=language, color_scheme=scheme, timezone_id="Europe/Berlin")
    tab = context.new_page()
    tab.goto(site.link(name="eva"))
    tab.locator("main button").click()
    tab.locator("nav").wait_for()
    tab.wait_for_timeout(500)  # the time zone is learned, and the page asked for once more
    return tab


def find(site: BrowserSite, tab: Page, place: str, told: str) -> None:
    """Go to a screen that has no address of its own."""
    if place == "event":
        tab.goto(f"{site.base}/events/{told}")
    elif place == "person":
        tab.locator("form.search input").fill("dora@example.org")
        tab.locator("form.search button").click()
    elif place == "job":
        tab.goto(f"{site.base}/act/dead.drop?destination=crm")
        tab.locator("#reason").fill("visitors of a fair that was cancelled")
        tab.locator("#typed").fill("24")
        tab.locator("main form button").click()
    else:
        tab.goto(site.base + place)
    tab.wait_for_load_state("networkidle")


def main() -> None:
    """Write all pictures."""
    folder = Path(tempfile.mkdtemp(prefix="rl", dir="/tmp"))
    FOLDER.mkdir(exist_ok=True)
    site = BrowserSite(folder)
    try:
        told = live_a_day(site)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for name, (place, language, scheme, size) in sorted(SCREENS.items(), key=lambda one: one[0] == "job"):
                tab = come_in(site, browser, language, scheme, size)
                find(site, tab, place, told)
                tab.screenshot(path=FOLDER / f"{name}.png")
                tab.context.close()
            browser.close()
    finally:
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
