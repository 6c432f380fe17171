"""Deleting a person at destinations, against the sandbox's stand-ins: who is meant, and nobody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console import book, elsewhere
from rules.rulebook import Rulebook
from sandbox import server
from sandbox.server import Running
from workers.destinations import DESTINATIONS
from workers.destinations.base import Attempt, Client
from workers.http import Http

pytestmark = pytest.mark.anyio

BOOK = """
destinations:
  hub: {kind: hubspot, base: "URL/hubspot", access_token: "${HUB}", allow_private: true}
  news: {kind: maileon, base: "URL/maileon/1.0", api_key: "${NEWS}", allow_private: true}
  crm:
    kind: rest
    base: URL/crm
    allow_private: true
    auth: {bearer: "${CRM}"}
    contacts: {delete: true}
  other: {kind: rest, base: "URL/crm", allow_private: true, auth: {bearer: "${CRM}"}}
  closed: {kind: hubspot, base: "URL/hubspot", access_token: "${NOT_HERE}", allow_private: true}
  wrong: {kind: hubspot, base: "URL/hubspot", access_token: "${NEWS}", allow_private: true}
"""
ALL = ["hub", "news", "crm"]


@pytest.fixture
def running() -> Iterator[Running]:
    """Stand-ins of the vendors."""
    with server.in_thread() as one:
        yield one


@pytest.fixture
def rulebook(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rulebook:
    """A book with all kinds that can delete, and destinations that cannot."""
    accounts = running.world.accounts
    monkeypatch.setenv("HUB", accounts.hubspot_access_token)
    monkeypatch.setenv("NEWS", accounts.maileon_api_key)
    monkeypatch.setenv("CRM", accounts.crm_token)
    (tmp_path / "book.yaml").write_text(BOOK.replace("URL", running.url))
    return book.load(tmp_path)


async def make(rulebook: Rulebook, name: str, email: str) -> None:
    """Create a contact, as a delivery does."""
    destination = rulebook.destinations[name]
    action, more = ("upsert_contact", {}) if name != "news" else ("subscribe", {"consent": {"newsletter": True}})
    arguments = DESTINATIONS[destination.kind].kind.actions[action].arguments.model_validate({"email": email, **more})
    async with Http() as http:
        await elsewhere.open_client(destination, http).deliver(action, arguments, Attempt("one"))


def held(running: Running) -> str:
    """Return the contacts that the stand-ins hold, as text."""
    vendors: Any = running.world.vendors
    hub, news, crm = (vendors[name] for name in ("hubspot", "maileon", "crm"))
    return str([hub.objects["contacts"], news.contacts, crm.contacts.records])


async def test_delete(rulebook: Rulebook, running: Running) -> None:
    """Whoever has the address is deleted at each destination that was named, others stay; twice is said."""
    for name in ALL:
        for email in ("eva@example.org", "ada@example.org"):
            await make(rulebook, name, email)
    assert held(running).count("eva@example.org") >= 3
    assert await elsewhere.delete(rulebook, ALL, "eva@example.org") == dict.fromkeys(ALL, "deleted")
    assert "eva@example.org" not in held(running)
    assert held(running).count("ada@example.org") >= 3
    assert await elsewhere.delete(rulebook, ALL, "eva@example.org") == dict.fromkeys(ALL, "not_there")


async def test_not_blocked(rulebook: Rulebook, running: Running) -> None:
    """HubSpot would block an address that nobody has: it is asked to delete by id only, so a person can come later."""
    assert await elsewhere.delete(rulebook, ["hub"], "new@example.org") == {"hub": "not_there"}
    await make(rulebook, "hub", "new@example.org")
    assert "new@example.org" in held(running)


async def test_failed(rulebook: Rulebook, running: Running) -> None:
    """How it failed is a word: without a secret, with a wrong one, and where nobody answers."""
    assert await elsewhere.delete(rulebook, ["closed", "wrong"], "eva@example.org") == {
        "closed": "no_secret",
        "wrong": "unauthorised",
    }


def test_deleting(rulebook: Rulebook) -> None:
    """Who can delete says what; a REST API can where the book says so."""
    found = elsewhere.list_deleting(rulebook)
    assert list(found) == ["hub", "news", "crm", "closed", "wrong"]
    assert found["crm"] == "the contact (DELETE /contacts/ID)"
    assert "gdpr-delete" in found["hub"]


@pytest.mark.parametrize("kind", sorted(DESTINATIONS))
def test_declared(kind: str) -> None:
    """A kind has the method if and only if it declares what it deletes."""
    has = DESTINATIONS[kind].client.delete_person is not Client.delete_person
    options: Any = DESTINATIONS[kind].kind.deletes
    assert has == (options.__module__ != "rules.catalogue")
