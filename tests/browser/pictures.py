"""Pictures of the pages for docs and README: `make pictures` (needs Chromium) writes them into `docs/pictures`.

Comes in: nothing but this repository. Goes out: each of the nine screens, of invented people, light, dark and
narrow, in English, German and French. Never reaches a vendor.
"""

import base64
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
#: Name -> address; where there is none, `find` goes there.
SCREENS = {
    "now": "/",
    "events": "/events?source=shop",
    "event": "event",
    "person": "person",
    "todo": "/todo",
    "rules": "/rules",
    "system": "/systems/destination/crm",
    "machine": "/machine",
    "job": "job",
}
#: What each is called at the end of a file's name: language, colours, size.
LOOKS: dict[str, tuple[str, str, dict[str, int]]] = {
    "light.en": ("en", "light", WIDE),
    "dark.de": ("de", "dark", WIDE),
    "narrow.fr": ("fr", "light", NARROW),
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
        if tab.locator("#reason").count():  # the first time; later the page of that job is shown
            tab.locator("#reason").fill("visitors of a fair that was cancelled")
            tab.locator("#typed").fill("24")
            tab.locator("main form button").click()
        else:
            tab.goto(f"{site.base}/jobs")
            tab.locator("tbody a").first.click()
    else:
        tab.goto(site.base + place)
    tab.wait_for_load_state("networkidle")


def save(tab: Page, file: Path) -> None:
    """Write a picture as WebP: a fifth of a PNG."""
    tab.mouse.move(0, 0)
    shot = {"format": "webp", "quality": 70}
    file.write_bytes(base64.b64decode(tab.context.new_cdp_session(tab).send("Page.captureScreenshot", shot)["data"]))


def main() -> None:
    """Write all pictures."""
    folder = Path(tempfile.mkdtemp(prefix="rl", dir="/tmp"))
    FOLDER.mkdir(exist_ok=True)
    site = BrowserSite(folder)
    try:
        told = live_a_day(site)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for names in ([name for name in SCREENS if name != "job"], ["job"]):  # that one takes away what others show
                for look, (language, scheme, size) in LOOKS.items():
                    tab = come_in(site, browser, language, scheme, size)
                    for name in names:
                        find(site, tab, SCREENS[name], told)
                        save(tab, FOLDER / f"{name}.{look}.webp")
                    tab.context.close()
            browser.close()
    finally:
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
