"""Single sign-on in a real browser, with a provider that is another site to it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from console.processes import port
from tests.conftest import PrivateValkey
from tests.console.access.fake_openid_provider import CLIENT, SECRET, FakeOpenIdProvider
from tests.console.conftest import RelaisProcess


@pytest.fixture
def console() -> Iterator[str]:
    """The address of a console's pages; to a browser `localhost` and `127.0.0.1` are two sites."""
    folder = Path(tempfile.mkdtemp(prefix="rl", dir="/tmp"))
    valkey = PrivateValkey(folder)
    valkey.start()
    with FakeOpenIdProvider("localhost") as provider:
        provider.asks = True
        number = port.free("127.0.0.1")
        environ = {"REDIS_URL": valkey.url, "RELAIS_OIDC_ISSUER": provider.url, "RELAIS_OIDC_CLIENT": CLIENT}
        environ |= {"RELAIS_OIDC_ROLES": "operator=support", "OIDC_CLIENT_SECRET": SECRET}
        process = RelaisProcess("console", "--port", str(number), folder=folder, environ=environ)
        process.wait_healthy(f"http://127.0.0.1:{number}")
        yield f"http://127.0.0.1:{number}/ui"
        process.stop()
    valkey.stop(kill=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_sign_in(console: str, browser: Browser, scripts: bool) -> None:
    """The button leads to the provider, and from there into the page that was wanted; back and once more is no harm."""
    context = browser.new_context(java_script_enabled=scripts, locale="en-GB")
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda line: complaints.append(line.text) if "Security Policy" in line.text else None)
    tab.goto(f"{console}/events?state=dead")
    tab.get_by_role("link", name="Sign in with single sign-on").click()
    tab.get_by_role("link", name="It is me").click()
    tab.wait_for_url(f"{console}/events?state=dead")
    expect(tab.locator("summary", has_text="sso:eva@example.org")).to_be_visible()
    tab.go_back()
    tab.get_by_role("link", name="It is me").click()
    tab.wait_for_url(f"{console}/")
    expect(tab.locator("summary", has_text="sso:eva@example.org")).to_be_visible()
    stranger = browser.new_context(java_script_enabled=scripts, locale="en-GB").new_page()
    stranger.goto(f"{console}/sso/back?state=x&code=y")
    expect(stranger.get_by_role("alert")).to_contain_text("This sign-in is over")
    assert complaints == []
    stranger.context.close()
    context.close()
