"""What today's rules would send of dead letters, replays and what lies aside: planned by the workers' own plan."""

import json
from typing import Any

import pytest

from console import catalogue
from console.jobs.forecast import Forecast, Forecaster
from console.jobs.orders import JobOrder
from mailroom import Mailroom
from receiver.payload import read_payload
from rules.compiler import loader
from rules.event import Event
from rules.rulebook import Rulebook
from tests.console.api.stuck_things import Stuck

pytestmark = pytest.mark.anyio

BOOK = """\
sources:
  shop:
    kind: generic
    verify: {none: "only a test sends here"}
    read: {id: body.id, type: body.event}
    retain: 1d
destinations:
  crm: {kind: rest, base: "http://127.0.0.1:9", allow_private: true, auth: {bearer: "${CRM_TOKEN}"}}
  news: {kind: rest, base: "http://127.0.0.1:9", allow_private: true, auth: {bearer: "${CRM_TOKEN}"}}
rules:
  - name: keep a note
    when: {source: shop, type: order.paid}
    then:
      - crm.upsert_contact: {email: "{{ data.email }}"}
  - name: broken
    when: {source: shop, type: order.paid, data.broken: true}
    then:
      - crm.upsert_contact: {email: "{{ data.nothing_of_it }}"}
  - name: another
    when: {source: shop, type: order.paid}
    then:
      - news.upsert_contact: {email: "{{ data.email }}"}
  - name: asks first
    when: {source: shop, type: order.asked}
    look_up:
      found: {crm.contact: {email: "{{ data.email }}"}}
    then:
      - crm.upsert_contact: {email: "{{ found.email }}"}
"""


def read_book() -> Rulebook:
    checked = loader.check_texts({"book.yaml": BOOK}, catalogue.build())
    assert checked.book is not None, checked.errors
    return checked.book


def make(name: str, type: str, **more: Any) -> Event:
    body = {"id": name, "event": type, "email": f"{name}@example.org", **more}
    (event,) = read_payload(read_book().sources["shop"], body)
    return event


def told(found: Forecast) -> list[tuple[str, str, str, int]]:
    return [(one.outcome, f"{one.destination}.{one.action}", one.rule, one.count) for one in found.lines]


async def test_dead(mailroom: Mailroom) -> None:
    """Of a dead letter only the place that had failed is decided anew, once for all letters of an event."""
    world = Stuck(mailroom)
    await world.die("a", "b")
    await world.die("c", rule="an old rule")
    order = JobOrder(verb="retry", how={"today": True}, dry=True)  # type: ignore[arg-type]  # as JSON has it
    found = await Forecaster(mailroom, read_book()).forecast(order, ["a.0", "b.0", "c.0", "gone.0"])
    assert told(found) == [("sent", "crm.upsert_contact", "keep a note", 2), ("dead", ".", "an old rule", 1)]
    assert found.lines[0].samples == ["a", "b"]
    assert "no rule of this name" in found.lines[1].why
    assert (found.events, found.nothing, found.unreadable) == (3, 0, 0)
    assert "example.org" not in json.dumps(found.as_json())
    await mailroom.leave("d1")


async def test_aside(mailroom: Mailroom) -> None:
    """What lies in quarantine is planned as the book reads it now; what takes a look-up is not known, and said."""
    events = [make("ada", "order.paid"), make("bob", "order.paid", broken=True), make("eva", "order.asked")]
    events += [make("max", "order.lost")]
    await mailroom.quarantine([(event, "type: none") for event in events])
    order = JobOrder(verb="retry", place="quarantine", dry=True)
    found = await Forecaster(mailroom, read_book()).forecast(order, [event.id for event in events])
    assert told(found) == [
        ("sent", "crm.upsert_contact", "keep a note", 2),
        ("sent", "news.upsert_contact", "another", 2),
        ("dead", "crm.upsert_contact", "broken", 1),
        ("unknown", "crm.upsert_contact", "asks first", 1),
    ]
    assert found.lines[3].why == "it looks up found"
    assert (found.events, found.nothing) == (4, 1)
    assert "example.org" not in json.dumps(found.as_json())


async def test_replay(mailroom: Mailroom) -> None:
    """A replay is planned by all rules; and nothing in the store is another for it."""
    world = Stuck(mailroom)
    await world.put("a", "b")
    await mailroom.prepare()
    before = await dump(mailroom)
    found = await Forecaster(mailroom, read_book()).forecast(JobOrder(verb="replay", dry=True), ["a", "b", "none"])
    assert told(found) == [
        ("sent", "crm.upsert_contact", "keep a note", 2),
        ("sent", "news.upsert_contact", "another", 2),
    ]
    assert await dump(mailroom) == before
    await mailroom.leave("d1")


async def dump(mailroom: Mailroom) -> dict[bytes, bytes]:
    store: Any = mailroom.store
    return {key: await store.dump(key) for key in await store.keys("*")}
