import pytest

from console.errors import UserError
from tests.conftest import PrivateValkey
from tests.console.api.console_process import asked, begin
from tests.console.conftest import Start


def test_token(start: Start, valkey: PrivateValkey) -> None:
    """With a token nobody gets in without it; `/healthz` tells nothing and stays open."""
    url = begin(start, valkey.url, RELAIS_CONSOLE_TOKEN="swordfish")
    with pytest.raises(UserError, match="wants a token"):
        asked(url, "/events")
    assert asked(url, "/events", token="swordfish")["events"] == []


def test_rebinding(console: str) -> None:
    """Without a token a request under a foreign name is refused: a web page may have led its name to us."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(f"{console}/events", headers={"Host": "evil.example.org"})  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)  # noqa: S310
    with refused.value:
        assert refused.value.code == 400


def test_proxy(console: str) -> None:
    """Without a token a proxy on this machine does not make everybody one of this machine."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(f"{console}/events", headers={"X-Forwarded-For": "192.0.2.1"})  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)  # noqa: S310
    with refused.value:
        assert refused.value.code == 401
