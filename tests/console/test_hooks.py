"""`relais hooks` against the sandbox's Maileon and ActiveTrail, on a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from console import cli
from sandbox import server
from sandbox.server import Running

BOOK = """
sources:
  mailing:
    kind: maileon
    verify: {query: {name: token, value: ["%(token)s", "${OLD_TOKEN}"]}}
    hooks: {api_key: "${ML_KEY}", base: %(maileon)s, allow_private: true}
  at:
    kind: activetrail
    verify: {header: {name: X-Relais-Token, value: "%(token)s"}}
    hooks:
      api_key: ${AT_KEY}
      base: %(activetrail)s
      events: {contact_changed: contact_change, unsubscribed: contact_unsubscribe}
      allow_private: true
  other:
    kind: activetrail
    verify: {query: {name: token, value: "${OLD_TOKEN}"}}
    hooks: {api_key: "${AT_KEY}", base: %(activetrail)s, allow_private: true}
  cmx:
    kind: cmxorganize
    verify: {none: a source for tests}
"""
TO = "https://relais.example.org"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    """The vendors' stand-ins."""
    with server.in_thread() as running:
        yield running


class Hooks:
    """The command, against one sandbox."""

    def __init__(self, folder: Path, sandbox: Running) -> None:
        sandbox.world.reset()
        self.folder = folder / "book"
        self.folder.mkdir()
        self.sandbox = sandbox
        self.write("${NEW_TOKEN}")

    def write(self, token: str) -> None:
        bases = {kind: self.sandbox.base(kind) for kind in ("maileon", "activetrail")}
        (self.folder / "a.yaml").write_text(BOOK % {"token": token, **bases})

    def __call__(self, *words: str, status: int = 0) -> str:
        said = CliRunner().invoke(cli.relais, ["hooks", *words, "--book", str(self.folder)])
        assert said.exit_code == status, said.output
        assert "secret-" not in said.output
        return said.output

    def states(self, *words: str) -> list[tuple[str, str]]:
        return [(one["event"], one["state"]) for one in json.loads(self(*words, "--json"))["hooks"]]


@pytest.fixture
def hooks(tmp_path: Path, sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> Hooks:
    """The command with a book that leads to the sandbox."""
    accounts = sandbox.world.accounts
    keys = {"ML_KEY": accounts.maileon_api_key, "AT_KEY": accounts.activetrail_api_key}
    for name, value in {**keys, "NEW_TOKEN": "secret-new", "OLD_TOKEN": "secret-old"}.items():
        monkeypatch.setenv(name, value)
    return Hooks(tmp_path, sandbox)


def kept(sandbox: Running, vendor: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = list(sandbox.world.holds()[vendor]["webhooks"])
    return found


@pytest.mark.parametrize(
    ("source", "vendor", "words"),
    [
        ("mailing", "maileon", ["doi", "unsubscription", "bounce"]),
        ("at", "activetrail", ["contact_change", "contact_unsubscribe"]),
    ],
)
def test_register(hooks: Hooks, source: str, vendor: str, words: list[str]) -> None:
    """What is missing is made, done again nothing changes, another token changes all, and only ours are removed."""
    assert hooks("list", source) == f"{source}: there is no webhook.\n"
    assert hooks.states("register", source, "--to", TO) == [(word, "made") for word in words]
    assert hooks.states("register", source, "--to", f"{TO}/") == [(word, "there") for word in words]
    assert "secret-new" in json.dumps(kept(hooks.sandbox, vendor))
    hooks.write("${OLD_TOKEN}")
    assert hooks.states("register", source, "--to", TO) == [(word, "changed") for word in words]
    assert "secret-new" not in json.dumps(kept(hooks.sandbox, vendor))
    stored = getattr(hooks.sandbox.world, vendor).webhooks
    first = next(iter(stored.values()))
    stored[7000] = {**first, "id": 7000, "url": "https://elsewhere.example.org/in/hook"}
    stored[7001] = {**first, "id": 7001}
    assert hooks.states("register", source, "--to", TO)[:2] == [(words[0], "there"), (words[0], "twice")]
    assert sorted(hooks.states("list", source)) == sorted(
        [(words[0], "other"), (words[0], "ours"), *[(word, "ours") for word in words]]
    )
    assert len(hooks.states("remove", source, "--to", TO)) == len(words) + 1
    assert [one["id"] for one in kept(hooks.sandbox, vendor)] == [7000]


@pytest.mark.parametrize("there", ["https://test.example.org", f"{TO}.example.net"])
def test_another_relais(hooks: Hooks, there: str) -> None:
    """What posts to a source of the same name at another address is left and told, until that address is named."""
    hooks("register", "mailing", "--to", TO)
    hooks("register", "mailing", "--to", there)
    said = hooks("remove", "mailing", "--to", f"{TO}/")
    assert (said.count("removed"), "relais hooks remove mailing --to" in said) == (3, True)
    assert {one["url"].partition("/in/")[0] for one in kept(hooks.sandbox, "maileon")} == {there}
    assert [state for _, state in hooks.states("remove", "mailing", "--to", there)] == ["removed"] * 3
    assert kept(hooks.sandbox, "maileon") == []


def test_maileon_webhook(hooks: Hooks) -> None:
    """Maileon gets the token in the URL and posts the address as JSON: addresses do not belong into logs of URLs."""
    hooks("register", "mailing", "--to", TO)
    one = kept(hooks.sandbox, "maileon")[1]
    assert (one["url"], one["event"]) == (f"{TO}/in/mailing/unsubscription", "unsubscription")
    assert one["urlParams"] == [
        {"name": "token", "custom_value": "secret-new", "standard_contact_field": None, "custom_contact_field": None}
    ]
    assert (one["standardFields"], one["eventFields"][0]) == (["email", "external_id"], "timestamp")


def test_activetrail_webhook(hooks: Hooks) -> None:
    """ActiveTrail gets the token as a header with a fixed text, and posts JSON."""
    hooks("register", "at", "--to", TO)
    one = kept(hooks.sandbox, "activetrail")[0]
    assert (one["url"], one["event_type"], one["format"]) == (f"{TO}/in/at/contact_changed", "contact_change", "json")
    assert one["parameters"][0] == {
        "key": "X-Relais-Token",
        "value": "secret-new",
        "event_value_type": "custom_text",
        "event_parameter_type": "header",
    }
    hooks.sandbox.world.activetrail.webhooks[41]["is_active"] = False
    assert hooks.states("register", "at", "--to", TO)[0] == ("contact_change", "changed")


def test_refused(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be done is said with the mend, and nothing is written then."""
    assert "cannot_prove" in hooks("register", "other", "--to", TO, status=1)
    assert "nothing can be registered for cmx" in hooks("list", "cmx", status=3)
    assert "the book has no source 'mailin'" in hooks("list", "mailin", status=3)
    for what in ("register", "remove"):
        assert "say where the platform reaches us" in hooks(what, "mailing", status=2)
    monkeypatch.setenv("ML_KEY", hooks.sandbox.world.accounts.maileon_api_key_write_only)
    assert "key_refused" in hooks("register", "mailing", "--to", TO, status=1)
    monkeypatch.delenv("AT_KEY")
    assert "AT_KEY is not set" in hooks("list", "at", status=3)
    assert kept(hooks.sandbox, "maileon") == kept(hooks.sandbox, "activetrail") == []
