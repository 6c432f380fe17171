"""The door of the pages: single sign-on through a real provider, and which page one lands on."""

import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import urlsplit

import pytest

from console.client import ClientSettings, ConsoleClient
from tests.conftest import PrivateValkey
from tests.console.access.fake_openid_provider import CLIENT, EVA, SECRET, FakeOpenIdProvider
from tests.console.api.console_process import asked, begin
from tests.console.conftest import Start
from tests.console.web.visitor import OWN, PageVisitor

BASE = {"RELAIS_CONSOLE_BASE": "/relais", "RELAIS_CONSOLE_TOKEN": "swordfish"}


@pytest.fixture
def provider() -> Iterator[FakeOpenIdProvider]:
    with FakeOpenIdProvider() as found:
        yield found


@pytest.fixture
def url(start: Start, valkey: PrivateValkey, provider: FakeOpenIdProvider) -> str:
    """The address of a console that signs people in by the provider."""
    environ = {"RELAIS_OIDC_ISSUER": provider.url, "RELAIS_OIDC_CLIENT": CLIENT, "OIDC_CLIENT_SECRET": SECRET}
    return begin(start, valkey.url, **environ, **BASE, RELAIS_OIDC_ROLES="operator=support; admin=it")


class CookieVisitor(PageVisitor):
    """Somebody whose browser keeps every cookie."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.jar: dict[str, str] = {}

    def go(self, address: str, headers: dict[str, str] | None = None) -> str:
        """Ask for an address of any server on this machine, and keep its cookies."""
        parts = urlsplit(address)
        home, self.url = self.url, f"{parts.scheme or 'http'}://{parts.netloc or urlsplit(self.url).netloc}"
        cookies = {"Cookie": "; ".join(f"{name}={text}" for name, text in self.jar.items())}
        found = self.ask("GET", f"{parts.path}?{parts.query}", None, {**cookies, **(headers or {})})
        self.url = home
        if kept := self.headers.get("set-cookie"):
            name, _, text = kept.partition(";")[0].partition("=")
            self.jar[name] = text
        return found

    def sign_in(self, button: str = "/ui/sso") -> str:
        """Press the button, and go where one is led, up to the page that leads on."""
        self.go(button)
        assert self.status == 303
        self.go(self.headers["location"])
        assert self.status == 302
        return self.go(self.headers["location"])


def test_sign_in(url: str) -> None:
    """The button leads to the provider and back into the page that was wanted, without a script."""
    eva = CookieVisitor(url)
    eva.go("/ui/events?type=x%26y")
    door = eva.headers["location"].removeprefix("/relais")
    assert door == "/ui/login?next=%2Fevents%3Ftype%3Dx%2526y"
    [button] = re.findall(r'<a class="button" href="/relais([^"]+)"', eva.go(door))
    back = eva.sign_in(unescape(button))
    assert eva.status == 200
    kept = eva.headers["set-cookie"]
    assert all(word in kept for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    [to] = re.findall(r'http-equiv="refresh" content="0;url=/relais([^"]+)"', back)
    assert to == "/ui/events?type=x%26y"
    assert "sso:eva@example.org" in eva.go(unescape(to))
    assert eva.status == 200
    users = asked(url, "/users", "swordfish")["users"]
    assert [(user["name"], user["role"], user["may_sign_in"]) for user in users] == [
        ("sso:eva@example.org", "operator", True)
    ]
    verbs = [(line["by"], line["verb"]) for line in asked(url, "/audit", "swordfish")["audit"]]
    assert ("sso:eva@example.org", "sign_in") in verbs


def test_cookie_of_the_way_there(url: str) -> None:
    """The browser that began is known by a cookie of ten minutes that no script reads, and that comes back with it."""
    eva = CookieVisitor(url)
    eva.go("/ui/sso")
    kept = eva.headers["set-cookie"]
    assert kept.startswith(f"relais-sso-{urlsplit(url).port}=")
    assert all(word in kept for word in ("HttpOnly", "SameSite=lax", "Max-Age=600", "Path=/"))
    assert "Secure" not in kept
    eva.go("/ui/sso", {"X-Forwarded-Proto": "https"})
    assert eva.headers["set-cookie"].startswith("__Host-relais-sso=")
    assert "Secure" in eva.headers["set-cookie"]
    assert "redirect_uri=https%3A%2F%2F127.0.0.1" in eva.headers["location"]


def test_back_and_again(url: str) -> None:
    """Who reloads the way back, or goes back to it, is in already; in another browser it is over."""
    eva = CookieVisitor(url)
    eva.go("/ui/sso")
    eva.go(eva.headers["location"])
    back = eva.headers["location"]
    eva.go(back)
    assert eva.status == 200
    assert 'content="0;url=/relais/ui/sso/over"' in eva.go(back)
    assert eva.status == 400
    eva.go("/ui/sso/over")
    assert (eva.status, eva.headers["location"]) == (303, "/relais/ui/")
    thief = CookieVisitor(url)
    assert "sso/over" in thief.go(back)
    assert thief.status == 400
    assert "This sign-in is over" in thief.go("/ui/sso/over")
    assert thief.status == 400
    assert thief.jar == {}


def test_two_tabs(url: str) -> None:
    """Two tabs that began both arrive."""
    eva = CookieVisitor(url)
    there = []
    for _ in range(2):
        eva.go("/ui/sso")
        there.append(eva.headers["location"])
    for each in there:
        eva.go(each)
        eva.go(eva.headers["location"])
        assert eva.status == 200


@pytest.mark.parametrize(("language", "says"), [("en", "none of your groups"), ("de", "Gruppe"), ("fr", "groupes")])
def test_nobody_without_a_role(url: str, provider: FakeOpenIdProvider, language: str, says: str) -> None:
    """Who has no role is told so, and by which setting they get one, in their language."""
    provider.person = {**EVA, "groups": ["others"]}
    eva = CookieVisitor(url)
    eva.jar["relais-look"] = f"{language}.UTC"
    page = unescape(eva.sign_in())
    assert eva.status == 403
    assert says in page
    assert "RELAIS_OIDC_ROLES" in page
    assert 'href="/relais/ui/sso"' in page


def test_provider_is_wrong(url: str, provider: FakeOpenIdProvider) -> None:
    """A provider that answers nonsense is a page with a sentence; the pass phrase goes on."""
    provider.metadata = {"issuer": "https://idp.example.org"}
    eva = CookieVisitor(url)
    assert "relais doctor" in eva.go("/ui/sso")
    assert eva.status == 502
    assert 'name="phrase"' in eva.go("/ui/login")


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example.org/", "//evil.example.org/", "/\\evil.example.org", "/%2Fevil", "/..%2F..%2Fx"]
)
def test_no_open_redirect(url: str, elsewhere: str) -> None:
    """What is not a page of ours is not remembered, wherever it stands."""
    eva = CookieVisitor(url)
    eva.go(f"/ui/login?next={elsewhere}")
    page = eva.sign_in(f"/ui/sso?next={elsewhere}")
    assert 'content="0;url=/relais/ui/"' in page
    eva.post("/look", {"back": elsewhere}, OWN)
    assert eva.headers["location"] == "/relais/ui/"


def test_without_single_sign_on(start: Start, valkey: PrivateValkey) -> None:
    """Without the setting there is neither button nor route; who signs in lands where they wanted, all the same."""
    url = begin(start, valkey.url, **BASE)
    eva = CookieVisitor(url)
    assert "/ui/sso" not in eva.go("/ui/login?next=/systems")
    for path in ("/ui/sso", "/ui/sso/back?state=x"):
        eva.go(path)
        assert eva.status == 404
    client = ConsoleClient(ClientSettings(console_url=url, console_token="swordfish"))
    link = client.post("/users/add", {"name": "eva", "role": "viewer", "payloads": False, "reason": "x"})["link"]
    eva.post(link.removeprefix("/ui"), {"phrase": "twelve signs", "again": "twelve signs"})
    eva.fill("/login?next=/systems", name="eva", phrase="wrong")
    assert eva.status == 401
    eva.fill("/login?next=/systems", name="eva", phrase="twelve signs")
    assert (eva.status, eva.headers["location"]) == (303, "/relais/ui/systems")
    lines = asked(url, "/audit", "swordfish")["audit"]
    assert [(line["by"], line["what"]) for line in lines if line["verb"] == "sign_in"] == [
        ("eva", "pass phrase"),
        ("eva", "link"),
    ]
