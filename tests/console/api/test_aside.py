"""`relais quarantine`, `relais refused` and `relais events reroute`, over HTTP: a real console on a real store."""

import getpass
import json
from typing import Any

import pytest

from console import catalogue
from mailroom import INBOX, RefusedDetails
from receiver.payload import read_payload
from rules.compiler import loader
from rules.event import Event
from rules.rulebook import Rulebook
from tests.conftest import PrivateValkey
from tests.console.api.console_process import samples
from tests.console.api.stuck_things import DAY, Stuck, StuckConsole, stuck
from tests.mailroom.test_client import settlement

HOUR = 3_600_000

BOOK = """\
sources:
  shop:
    kind: generic
    verify: {none: "only a test sends here"}
    read: {id: body.id, type: %s}
destinations:
  crm: {kind: rest, base: "http://127.0.0.1:9", allow_private: true, auth: {bearer: "${CRM_TOKEN}"}}
rules:
  - name: paid orders
    when: {source: shop, type: order.paid}
    then:
      - crm.upsert_contact: {email: "{{ data.email }}"}
"""


def book(type: str = "body.event") -> Rulebook:
    checked = loader.check_texts({"book.yaml": BOOK % type}, catalogue.build())
    assert checked.book is not None, checked.errors
    return checked.book


async def enforce(it: Stuck, type: str = "body.event") -> Rulebook:
    """Put a book in force."""
    made = book(type)
    await it.mailroom.keep_book(made.version, {"book.yaml": BOOK % type})
    return made


def body(name: str, event: str, who: str = "eva") -> dict[str, Any]:
    return {"id": name, "event": event, "email": f"{who}@example.org"}


def made(name: str, event: str = "order.paid", who: str = "eva") -> Event:
    (one,) = read_payload(book().sources["shop"], body(name, event, who))
    return one


def quarantined(url: str) -> tuple[str, str]:
    """Lay two events in quarantine: one that a mended book can read, one that is damaged for good."""

    async def do(it: Stuck) -> tuple[str, str]:
        await enforce(it)
        good, bad = made("q1"), Event(**{**vars(made("q2")), "body": b'"no object"'})
        await it.mailroom.quarantine([(good, "type: none"), (bad, "email: missing")])
        return good.id, bad.id

    return stuck(url, do)  # type: ignore[no-any-return]


def test_quarantine(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Events in quarantine are counted by cause, shown without a value, and with one only for a name in the story."""
    assert relais("quarantine", "list") == "No events in quarantine.\n"
    good, _ = quarantined(valkey.url)
    found = relais.json("quarantine", "list")
    assert [(g["source"], g["code"], g["type"], g["count"]) for g in found["groups"]] == [
        ("shop", "email", "order.paid", 1),
        ("shop", "type", "order.paid", 1),
    ]
    assert [one["id"] for one in relais.json("quarantine", "list", "--code", "type", "--each")["items"]] == [good]
    shown = relais("quarantine", "show", good)
    assert "because type: none" in shown
    assert "eva@" not in shown
    assert "eva@example.org" not in json.dumps(relais.json("quarantine", "show", good))
    seen = relais("quarantine", "show", good, "--payload", "--reason", "what do they send?")
    assert "eva@example.org" in seen
    (look,) = relais.json("events", "show", good)["decisions"]
    assert (look["what"], look["by"], look["why"]) == ("looked", getpass.getuser(), "what do they send?")
    assert "unknown_item" in relais("quarantine", "show", "none", status=1)


def test_f50_quarantine_retry(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """In bulk, count first: what fits by the book in force is taken in, the rest is left alone and says why."""
    good, bad = quarantined(valkey.url)
    dry = relais("quarantine", "retry", status=1)
    assert "Events in quarantine: 2 would be taken in as the book in force reads them. Nothing was done" in dry
    assert relais.json("quarantine", "list")["total"] == 2
    done = relais.json("quarantine", "retry", "--yes", "--reason", "mended", status=1)
    assert (done["words"], done["left_alone"]) == ({"done": 1, "unfit": 1}, [{"item": bad, "word": "unfit"}])
    story = relais.json("events", "show", good)
    assert story["state"] == "waiting"
    assert [(one["what"], one["by"], one["why"]) for one in story["decisions"]] == [
        ("taken_in", getpass.getuser(), "mended")
    ]
    assert samples(relais.url)['relais_by_hand_total{room="quarantine",verb="retry"}'] == 1
    assert relais.json("quarantine", "drop", bad, "--yes")["words"] == {"done": 1}
    assert relais.json("quarantine", "list")["total"] == 0
    assert relais.json("events", "show", bad)["state"] == "skipped"


def test_quarantine_without_a_book(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """As long as no book is in force nothing is taken in, and the answer says so."""

    async def do(it: Stuck) -> None:
        await it.mailroom.quarantine([(made("q1"), "type: none")])

    stuck(valkey.url, do)
    assert "no_book" in relais("quarantine", "retry", "--yes", status=1)


def unwanted(url: str, *names: str, event: str = "order.cancelled", **more: str) -> list[str]:
    """Let no rule want events; return their ids."""

    async def do(it: Stuck) -> list[str]:
        await enforce(it)
        ids = []
        for name in names:
            one = made(name, event, who=name)
            await it.mailroom.put([one])
            (lease,) = await it.take(INBOX)
            line = json.dumps(
                {
                    "t": "routed",
                    "at": "",
                    "source": "shop",
                    "type": event,
                    "received": one.received_at,
                    "book": "b",
                    "fired": [],
                    "missed": [],
                    "made": [],
                    **more,
                }
            )
            await it.mailroom.settle(
                "d1", "s", [settlement(lease, one.id, line=line, note="aside", retain=HOUR, day=DAY)]
            )
            ids.append(one.id)
        return ids

    return stuck(url, do)  # type: ignore[no-any-return]


def test_reroute(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """What no rule wanted is routed once more where a rule wants it today; the rest is left alone."""
    (paid,) = unwanted(valkey.url, "ada", event="order.paid")
    (cancelled,) = unwanted(valkey.url, "bob")
    assert relais.json("events", "show", paid)["state"] == "unmatched"
    assert relais.json("events", "reroute", status=1)["count"] == 2
    done = relais.json("events", "reroute", "--yes", status=1)
    assert done["left_alone"] == [{"item": cancelled, "word": "unwanted"}]
    assert relais.json("events", "show", paid)["state"] == "waiting"
    assert "bob@example.org" in relais("events", "show", cancelled, "--payload", "--reason", "she asks")
    assert relais.json("events", "drop", cancelled, "--yes")["words"] == {"done": 1}
    assert "erased" in relais("events", "show", cancelled, "--payload", "--reason", "she asks", status=1)


def test_reroute_an_echo(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """What Relais took for its own echo is left out where all are meant, and routed where somebody means it."""
    (echo,) = unwanted(valkey.url, "ada", event="order.paid", echo="e1.0")
    shown = relais.json("events", "show", echo)
    assert (shown["state"], shown["echo_of"]) == ("echo", "e1.0")
    assert "an echo: Relais wrote this there itself, as e1.0" in relais("events", "show", echo)
    assert relais.json("events", "reroute", "--yes")["count"] == 0
    found = relais.json("events", "reroute", "--code", "echo", status=1)
    assert (found["count"], found["groups"][0]["code"]) == (1, "echo")
    assert relais.json("events", "reroute", echo, "--yes")["words"] == {"done": 1}
    assert relais.json("events", "show", echo)["state"] == "waiting"


def refused(url: str, *, size: int = 0, verified: bool = False, text: bytes | None = None) -> str:
    """Keep a refused request; return its id."""

    async def do(it: Stuck) -> str:
        await enforce(it)
        sent = text or json.dumps([body("r1", "order.paid", "ada"), body("r2", "order.paid", "bob")]).encode()
        more = RefusedDetails("", size or len(sent), verified)
        headers = {"content-type": "application/json", "x-signature": "***"}
        await it.mailroom.refused(reason="wrong_signature", source="shop", headers=headers, body=sent, more=more)
        store: Any = it.mailroom.store
        ((id, _),) = await store.xrevrange(it.mailroom.key("refused"), count=1)
        return str(id.decode())

    return stuck(url, do)  # type: ignore[no-any-return]


def test_f50_refused(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A request whose sender nobody verified is taken in only where somebody vouches for it; all its events are."""
    id = refused(valkey.url)
    assert "nobody knows from whom" in relais("refused", "show", id)
    assert "ada@example.org" in relais("refused", "show", id, "--payload", "--reason", "is it theirs?")
    assert relais.json("refused", "retry", id, "--yes", status=1)["words"] == {"unverified": 1}
    assert relais.json("refused", "retry", id, "--unverified", "--yes", "--reason", "it is")["words"] == {"done": 1}
    assert relais("refused", "list") == "No refused requests.\n"
    found = relais.json("events", "list")["events"]
    assert [(one["type"], one["state"]) for one in found] == [("order.paid", "waiting")] * 2
    assert [one["why"] for one in relais.json("events", "show", found[0]["id"])["decisions"]] == ["it is"]


@pytest.mark.parametrize(
    ("more", "word"),
    [({"size": 20_000, "verified": True}, "cut"), ({"verified": True, "text": b"no json"}, "unfit")],
)
def test_refused_left_alone(relais: StuckConsole, valkey: PrivateValkey, more: dict[str, Any], word: str) -> None:
    """What was not kept whole, and what nobody can read, is left alone; it can be dropped."""
    id = refused(valkey.url, **more)
    assert relais.json("refused", "retry", id, "--yes", status=1)["words"] == {word: 1}
    assert relais.json("refused", "drop", id, "--yes")["words"] == {"done": 1}
    assert relais.json("refused", "list")["total"] == 0
