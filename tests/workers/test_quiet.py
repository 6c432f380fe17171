"""Sources that are silent for unusually long: who is told, when, and how often."""

import dataclasses
import logging
from collections.abc import AsyncIterator

import pytest

from mailroom import SourceNotes, observations
from mailroom.holds import SourceHolds
from mailroom.keys import NO_POOL, SCHEMA
from mailroom.observations import DAY, MINUTE
from rules.rulebook import Rulebook
from rules.source import units
from tests.conftest import wait_until_async
from tests.rules import writing
from tests.workers.worker_fixture import WorkerFixture
from workers import quiet
from workers.alerts import AlertSender
from workers.http import Http
from workers.quiet import QuietWatch

pytestmark = pytest.mark.anyio

#: A Wednesday, 15:00 UTC.
LAST = 20_002 * DAY + 15 * 60 * MINUTE
HOUR = 60 * MINUTE


def book(quiet_after: str = "auto") -> Rulebook:
    """Return a book with one source."""
    made = writing.book("vars: {}\n")
    source = dataclasses.replace(made.sources["shop"], quiet_after=units.quiet(quiet_after))
    return dataclasses.replace(made, sources={"shop": source})


@pytest.fixture
async def alerts(site: WorkerFixture) -> AsyncIterator[AlertSender]:
    """Alerts to the far side, and a receiver that lives."""
    await site.mailroom.say_process("receiver.1", NO_POOL, 0, 1, said=f"{SCHEMA} x")
    async with Http() as http:
        alerts = AlertSender(http, site.mailroom)
        alerts.aim(f"{site.far.url}/alerts")
        yield alerts
        await alerts.close()
    await site.mailroom.forget_process("receiver.1")


async def teach(site: WorkerFixture) -> None:
    """Let the shop send each quarter of an hour for four weeks, until LAST."""
    minutes = {("shop", (LAST - n * 15 * MINUTE) // MINUTE) for n in range(28 * 96 + 1)}
    await site.mailroom.note_sources(SourceNotes(came={"shop": LAST}, minutes=minutes))


async def come(site: WorkerFixture, at: int) -> None:
    await site.mailroom.note_sources(SourceNotes(came={"shop": at}, minutes={("shop", at // MINUTE)}))


def told(site: WorkerFixture) -> list[tuple[str, str]]:
    return [(alert["alert"], alert["text"]) for alert in site.far.alerts]


async def test_by_its_rhythm(site: WorkerFixture, alerts: AlertSender) -> None:
    """It is told once when ten minutes were to be expected, and once that it is back, by whichever worker."""
    await teach(site)
    for minutes in (149, 150, 151, 600):
        await QuietWatch(site.mailroom, alerts).look(book(), LAST + minutes * MINUTE)
    says = "in the same span of the last 4 weeks it sent in 10 minutes or more"
    assert told(site) == [("source_quiet", f"shop is quiet: no webhook for 2 h; {says}")]
    assert site.far.alerts[0]["source"] == "shop"
    back = LAST + 5 * HOUR
    await come(site, back)
    for minutes in (1, 2):
        await QuietWatch(site.mailroom, alerts).look(book(), back + minutes * MINUTE)
    assert told(site)[1:] == [("source_back", "shop is back: a webhook came after 5 h")]
    await QuietWatch(site.mailroom, alerts).look(book(), back + 10 * HOUR)
    assert [code for code, _ in told(site)] == ["source_quiet", "source_back", "source_quiet"]


async def test_as_the_book_says(site: WorkerFixture, alerts: AlertSender) -> None:
    """A span of the book needs no learning; off tells nothing, and ends what was told."""
    await come(site, LAST)
    watch = QuietWatch(site.mailroom, alerts)
    await watch.look(book(), LAST + 30 * DAY)
    await watch.look(book("off"), LAST + 30 * DAY)
    await watch.look(book("2h"), LAST + 2 * HOUR - 1)
    assert told(site) == []
    await watch.look(book("2h"), LAST + 2 * HOUR)
    assert told(site) == [("source_quiet", "shop is quiet: no webhook for 2 h; quiet_after: is 2 h")]
    assert await observations.find_told(site.mailroom) == {"shop": LAST}
    await watch.look(book("off"), LAST + 3 * HOUR)
    assert await observations.find_told(site.mailroom) == {}
    await watch.look(dataclasses.replace(book("2h"), sources={}), LAST + 3 * HOUR)
    assert len(told(site)) == 1


async def test_not_judged(site: WorkerFixture, alerts: AlertSender) -> None:
    """A source that never sent, one that is held, and any while no receiver lives is not judged."""
    watch = QuietWatch(site.mailroom, alerts)
    await watch.look(book("2h"), LAST)
    await come(site, LAST)
    holds = SourceHolds(site.mailroom)
    await holds.hold("shop")
    await watch.look(book("2h"), LAST + DAY)
    await holds.release("shop")
    await site.mailroom.forget_process("receiver.1")
    await watch.look(book("2h"), LAST + DAY)
    assert told(site) == []
    await site.mailroom.say_process("receiver.2", NO_POOL, 0, 1, said=f"{SCHEMA} x")
    await watch.look(book("2h"), LAST + DAY)
    assert len(told(site)) == 1
    await site.mailroom.forget_process("receiver.2")


@pytest.mark.parametrize(
    ("quiet_after", "first", "says"),
    [("2h", 120, "quiet_after: is 2 h"), ("auto", 151, "in the same span of the last 4 weeks it sent in 10 minutes")],
)
async def test_outage_of_receivers(
    site: WorkerFixture, alerts: AlertSender, quiet_after: str, first: int, says: str
) -> None:
    """The time in which no receiver was there is no silence: the alert comes by so much later, and says so."""
    await teach(site)
    last, watch = LAST // MINUTE, QuietWatch(site.mailroom, alerts)
    there = {*range(last - 60, last + 1), *range(last + 481, last + 481 + first + 60)}
    await site.mailroom.note_sources(SourceNotes(minutes={(observations.RECEIVERS, minute) for minute in there}))
    await watch.look(book(quiet_after), LAST + (480 + 60) * MINUTE)
    assert told(site) == []
    await watch.look(book(quiet_after), LAST + (480 + first) * MINUTE)
    ((code, text),) = told(site)
    assert code == "source_quiet"
    assert ", 8 h of it without a receiver; " in text
    assert says in text


async def test_nobody_listens(site: WorkerFixture, alerts: AlertSender) -> None:
    """What nobody took is told again at the next look, and is not taken for told."""
    await come(site, LAST)
    watch = QuietWatch(site.mailroom, alerts)
    site.far.fail(path="/alerts", status=500)
    await watch.look(book("2h"), LAST + DAY)
    assert await observations.find_told(site.mailroom) == {}
    await watch.look(book("2h"), LAST + DAY)
    assert len(told(site)) == 1
    assert await observations.find_told(site.mailroom) == {"shop": LAST}


async def test_no_address(site: WorkerFixture, alerts: AlertSender, caplog: pytest.LogCaptureFixture) -> None:
    """Without an address it stands in the log, once."""
    alerts.aim("")
    await come(site, LAST)
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        await QuietWatch(site.mailroom, alerts).look(book("2h"), LAST + DAY)
    assert caplog.text.count("alert code=source_quiet") == 1


async def test_one_looks(site: WorkerFixture, alerts: AlertSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker of all looks, in the background, and not before its time."""
    await come(site, LAST)
    one, other = QuietWatch(site.mailroom, alerts), QuietWatch(site.mailroom, alerts)
    one.look_soon(book("2h"))
    assert await site.mailroom.store.exists(site.mailroom.key("watching")) == 0
    monkeypatch.setattr(quiet, "LOOK_EVERY", 0.0)
    one.look_soon(book("2h"))

    async def is_told() -> bool:
        return bool(await observations.find_told(site.mailroom))

    await wait_until_async(is_told, "it is told")
    await observations.forget_told(site.mailroom, "shop")
    other.look_soon(book("2h"))
    await other._task  # type: ignore[misc]
    assert await observations.find_told(site.mailroom) == {}
    await one.close()
    await other.close()
    await site.mailroom.release("watching", one._name)
