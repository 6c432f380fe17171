import socket
import sys

import pytest

from console.access.oidc_settings import OidcSettings
from console.checks import sign_on
from console.checks.store import HealthCheck
from tests.console.access.fake_openid_provider import CLIENT, SECRET, FakeOpenIdProvider


def look(issuer: str) -> HealthCheck:
    [found] = sign_on.check(OidcSettings(oidc_issuer=issuer, oidc_client=CLIENT, oidc_roles="viewer=all"))
    return found


def test_nothing_is_asked_for() -> None:
    """Without single sign-on there is nothing to check."""
    assert sign_on.check(OidcSettings()) == []


def test_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider answers and is who it should be, or the check says why not and what to look at."""
    monkeypatch.setenv("OIDC_CLIENT_SECRET", SECRET)
    with FakeOpenIdProvider() as provider:
        found = look(provider.url)
        assert (found.ok, provider.url in found.says, found.mend) == (True, True, "")
        provider.metadata = {"issuer": "https://idp.example.org"}
        found = look(provider.url)
        assert (found.ok, "another issuer" in found.says, "RELAIS_OIDC_ISSUER" in found.mend) == (False, True, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
    assert look(f"http://127.0.0.1:{number}").says.endswith("refused")


def test_what_is_missing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the secret or the packages the mend is another one."""
    monkeypatch.delenv("OIDC_CLIENT_SECRET", raising=False)
    assert "OIDC_CLIENT_SECRET" in look("https://idp.example.org").mend
    monkeypatch.setitem(sys.modules, "console.access.oidc", None)
    assert "pip install 'relais-router[oidc]'" in look("https://idp.example.org").mend
