"""People and tokens over the private port, and by the command line."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from console import cli
from console.client import ClientSettings, ConsoleClient
from console.errors import UserError
from tests.conftest import PrivateValkey
from tests.console.api.console_process import begin
from tests.console.conftest import Start

Run = Callable[..., str]


@pytest.fixture
def url(start: Start, valkey: PrivateValkey) -> str:
    return begin(start, valkey.url, RELAIS_CONSOLE_TOKEN="swordfish")


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("RELAIS_CONSOLE_URL", url)
    monkeypatch.setenv("RELAIS_CONSOLE_TOKEN", "swordfish")

    def run(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(cli.relais, [*words])
        assert result.exit_code == status, result.output
        return result.output

    return run


def client(url: str, token: str) -> ConsoleClient:
    return ConsoleClient(ClientSettings(console_url=url, console_token=token))


def refused(ask: Callable[..., Any], *given: Any) -> str:
    with pytest.raises(UserError) as said:
        ask(*given)
    return str(said.value.message)


def test_tokens(url: str, run: Run) -> None:
    """A named token may what its role may, until it is removed; each change stands in the audit."""
    viewer = run("tokens", "add", "prometheus").splitlines()[-1]
    operator = run("tokens", "add", "nightly", "--role", "operator", "--reason", "retries").splitlines()[-1]
    assert "known_token" in run("tokens", "add", "nightly", status=1)
    assert client(url, viewer).get("/events")["events"] == []
    assert refused(client(url, viewer).post, "/people/find", {"text": "eva@example.org"}).startswith("not_allowed")
    assert refused(client(url, operator).post, "/events/look", {"id": "x"}).startswith("no_payloads")
    assert client(url, operator).post("/jobs", {"verb": "drop", "dry": True})["count"] == 0
    assert refused(client(url, operator).get, "/tokens").startswith("not_allowed")
    listed = run("tokens", "list")
    assert [line.split()[:3] for line in listed.splitlines()[1:]] == [
        ["nightly", "operator", "no"],
        ["prometheus", "viewer", "no"],
    ]
    assert operator not in listed
    assert "is removed" in run("tokens", "remove", "nightly")
    run("tokens", "remove", "nightly", status=1)
    assert "wants a token" in refused(client(url, operator).get, "/events")
    assert "wants a token" in refused(client(url, "relais_guess").get, "/events")


def test_users(url: str, run: Run) -> None:
    """A person is added with a link to set a pass phrase, gets another role, is reset and removed."""
    said = run("users", "add", "eva", "--role", "operator")
    assert said.startswith("eva is operator now, and sets a pass phrase by this link, once, within 10 minutes:\n")
    assert said.splitlines()[1].startswith(f"{url}/ui/enter/")
    assert run("users", "add", "eva", "--role", "rules") == "eva is rules now.\n"
    assert "bad_request: name" in run("users", "add", "Eva!", status=1)
    [eva] = json.loads(run("users", "list", "--json"))
    del eva["added"]
    nothing = {"payloads": False, "last_sign_in": None, "may_sign_in": False}
    assert eva == {"name": "eva", "role": "rules", **nothing}
    assert "has no pass phrase yet" in run("users", "list")
    assert "sets another pass phrase" in run("users", "reset", "eva")
    assert "named_user" in run("users", "link", "eva", status=1)
    assert "comes in as operator" in run("users", "link")
    assert "is removed" in run("users", "remove", "eva")
    run("users", "remove", "eva", status=1)
    run("users", "reset", "eva", status=1)
