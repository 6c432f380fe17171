"""Fetching from sources: against the sandbox's Magnetis on a real socket, into a real store."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console.vendor_api import OutgoingApi
from mailroom import Mailroom, StoreUnavailable
from mailroom.pulls import PullBoard
from receiver.intake import Intake
from receiver.pull import PullRunner, _now
from receiver.request import RawRequest
from receiver.rulebook import RulebookWatcher, SourceEntry
from receiver.sources import SOURCES
from receiver.verification import trusted
from sandbox import server
from sandbox.server import Running
from tests.conftest import PrivateValkey, wait_until_async
from tests.mailroom.log import list_put
from tests.receiver import book
from tests.receiver.test_intake import FakeEventStore

pytestmark = pytest.mark.anyio

TEXT = """
sources:
  tel:
    kind: magnetis
    country: FR
    verify: {none: a source for tests}
    pull:
      api_key: ${KEY}
      base: %s
      leads: %s
      allow_private: true
      quota: {limit: 5000/day, reserve: %d}
"""


LISTED = """
sources:
  sd:
    kind: seminardesk
    verify: {none: a source for tests}
    pull: {api_key: "${SD}", base: "%s", allow_private: true}
  dates:
    kind: seminardesk
    verify: {none: a source for tests}
    pull: {api_key: "${SD}", base: "%s", allow_private: true, lists: [dates]}
  at:
    kind: activetrail
    verify: {none: a source for tests}
    pull: {api_key: "${AT}", base: "%s", allow_private: true}
  mailing:
    kind: maileon
    verify: {none: a source for tests}
    pull: {api_key: "${ML}", base: "%s", allow_private: true}
"""
#: A moment in the past, and a window around it.
AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
SINCE, HOUR = AT - timedelta(hours=1), timedelta(hours=1)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    """The vendors' stand-ins."""
    with server.in_thread() as running:
        yield running


class Pulling:
    """A runner, and what it works on."""

    def __init__(self, folder: Path, sandbox: Running, mailroom: Mailroom, leads: str, reserve: int) -> None:
        sandbox.world.reset()
        self.vendor = sandbox.world.magnetis
        self.mailroom = mailroom
        self.environ = {"KEY": sandbox.world.accounts.magnetis_api_key}
        text = TEXT % (sandbox.base("magnetis"), leads, reserve)
        self.book = RulebookWatcher(book.write(folder, text), book.CATALOGUE, self.environ)
        self.book.load()
        self.board = PullBoard(mailroom)
        self.intake = Intake(mailroom, 10_000)
        self.api = OutgoingApi()
        self.runner = PullRunner(self.book, mailroom, self.intake, self.api)

    @property
    def entry(self) -> SourceEntry:
        return self.book.entry("tel")

    def called(self, *numbers: int, ago: float = 60, **more: Any) -> None:
        """Let calls happen so many seconds ago, a second apart."""
        at = datetime.now(UTC) - timedelta(seconds=ago)
        rows = [
            {"id": f"call-{n}", "caller": "+33199001234", "start_at": f"{at + timedelta(seconds=i):%Y-%m-%d %H:%M:%S}"}
            for i, n in enumerate(numbers)
        ]
        self.vendor.tell({"calls": [{**row, **more} for row in rows]})

    async def pull(self) -> dict[str, Any]:
        """Do a round whether it is due or not, and return what it says."""
        state = {**(await self.board.states()).get("tel", {}), "next": 0}
        await self.board.say("tel", state)
        await self.runner.pull(self.entry)
        return (await self.board.states())["tel"]

    async def kept(self) -> list[str]:
        """Return what the inbox was given, oldest first."""
        records = [await self.mailroom.record(id) for id in await list_put(self.mailroom)]
        return [json.loads(record.split(b"\n", 1)[1])["id"] for record in records if record]


Make = Callable[..., contextlib.AbstractAsyncContextManager[Pulling]]


@pytest.fixture
def make(tmp_path: Path, valkey: PrivateValkey, sandbox: Running) -> Make:
    """Return what makes a runner."""

    @contextlib.asynccontextmanager
    async def open_it(leads: str = "/leads", reserve: int = 500) -> AsyncIterator[Pulling]:
        async with await Mailroom.open(valkey.url) as room:
            it = Pulling(tmp_path, sandbox, room, leads, reserve)
            yield it
            await it.api.close()

    return open_it


async def test_new_calls_in_order(make: Make) -> None:
    """What happened since the first day is kept in the order in which it happened, over pages, each once."""
    async with make() as it:
        it.called(*range(600, 300, -1), ago=3_000)
        it.called(*range(300, 0, -1), ago=2_000)
        said = await it.pull()
        assert (said["code"], said["fetched"], said["new"], said["requests"]) == ("", 600, 600, 4)
        ids = await it.kept()
        assert ids == [f"call-{n}" for n in (*range(600, 300, -1), *range(300, 0, -1))]
        again = await it.pull()
        assert (again["new"], len(await it.kept())) == (0, 600)
        assert again["marks"]["calls"] > said["marks"]["calls"]


async def test_webhook_and_pull_are_one_event(make: Make) -> None:
    """A call that came by webhook is not taken once more, also under another end, nor after its id is forgotten."""
    async with make() as it:
        body = b'{"data": {"id": "call-7", "caller": "+33199001234", "utm_source": "google"}}'
        batch = it.entry.adapter.unpack(trusted(RawRequest(body)), it.entry.source.options, "call:completed")
        await it.intake.keep(batch, it.entry.source)
        for key in [key async for key in it.mailroom.store.scan_iter(it.mailroom.key("known:*"))]:
            await it.mailroom.store.delete(key)
        it.called(7, 8, duration=0)
        said = await it.pull()
        assert (said["fetched"], said["new"]) == (2, 1)


async def test_mark_stays_without_the_vendor(make: Make) -> None:
    """While the vendor fails, the mark stays, one stream does not hold the other up, and the reason is said."""
    async with make(leads="/nowhere") as it:
        it.called(1)
        said = await it.pull()
        assert (said["code"], said["new"]) == ("refused", 1)
        assert said["why"].startswith("leads: the vendor answers 501")
        assert set(said["marks"]) == {"calls"}
        assert said["next"] - said["at"] >= 900_000
        it.environ["KEY"] = "wrong"
        it.called(2, ago=30)
        refused = await it.pull()
        assert (refused["code"], refused["marks"], refused["new"]) == ("key_refused", said["marks"], 0)
        del it.environ["KEY"]
        assert (await it.pull())["code"] == "secret_missing"


async def test_mark_stays_without_the_store(make: Make) -> None:
    """What could not be kept is asked for again."""
    async with make() as it:
        it.called(1)
        away = FakeEventStore()
        away.failures[0] = StoreUnavailable("away")
        taking, it.runner._intake = it.runner._intake, Intake(away, 10)
        said = await it.pull()
        assert (said["code"], set(said["marks"])) == ("store_unavailable", {"leads"})
        it.runner._intake = taking
        assert (await it.pull())["new"] == 1


async def test_quota(make: Make) -> None:
    """A round stops where the share of the day is used, says when it goes on, and the mark stays."""
    async with make(reserve=4_999) as it:
        said = await it.pull()
        assert said["quota"]["used"] == 1
        assert (said["code"], said["requests"]) == ("quota", 1)
        assert said["next"] > said["at"]
        assert sum(it.vendor.holds()["asked"].values()) == 1
        assert [(each.name, each.used) for each in await it.mailroom.quotas()] == [("KEY", 1)], "as metrics show it"


async def test_back_fill(make: Make) -> None:
    """A back-fill goes from the oldest to the newest in steps of a day, and takes nothing twice."""
    async with make() as it:
        for day in (5, 4, 3, 2, 1):
            it.called(day * 10, day * 10 + 1, ago=day * 86_400 - 10)
        await it.pull()
        began = len(await it.kept())
        now = _now()
        await it.board.ask_fill("tel", now - 6 * 86_400_000, now, now, "eva")
        for _ in range(14):
            await it.runner.pull(it.entry)
        fill = (await it.board.fills())["tel"]
        assert fill["ended"]
        assert (fill["fetched"], fill["new"]) == (10, 10 - began)
        assert (await it.kept())[began:] == ["call-50", "call-51", "call-40", "call-41", "call-30", "call-31"] + [
            f"call-{n}" for n in (20, 21)
        ]


async def test_one_process_at_a_time(make: Make) -> None:
    """Of two receivers one pulls, and the other goes on when the first has ended."""
    async with make() as it:
        it.called(*range(20))
        other = PullRunner(it.book, it.mailroom, it.intake, it.api)
        runners = [asyncio.create_task(each._pull_alone(it.entry)) for each in (it.runner, other)]
        await asyncio.gather(*runners)
        assert sum(it.vendor.holds()["asked"].values()) == 2
        assert len(await it.kept()) == 20


async def test_runs_by_itself(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is fetched without anybody asking; the end of the process ends it."""
    monkeypatch.setattr("receiver.pull.LOOK_EVERY", 0.05)
    async with make() as it:
        it.called(1)
        running = asyncio.create_task(it.runner.run())

        async def arrived() -> bool:
            return bool((await it.board.states()).get("tel", {}).get("new"))

        await wait_until_async(arrived, "it was fetched")
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class Comparing:
    """A runner on sources whose lists are compared."""

    def __init__(self, folder: Path, sandbox: Running, mailroom: Mailroom) -> None:
        sandbox.world.reset()
        self.world, self.mailroom = sandbox.world, mailroom
        keys = sandbox.world.accounts
        environ = {"SD": keys.seminardesk_api_key, "AT": keys.activetrail_api_key, "ML": keys.maileon_api_key}
        text = LISTED % tuple(sandbox.base(name) for name in ("seminardesk", "seminardesk", "activetrail", "maileon"))
        self.book = RulebookWatcher(book.write(folder, text), book.CATALOGUE, environ)
        self.book.load()
        self.board = PullBoard(mailroom)
        self.intake = Intake(mailroom, 10_000)
        self.api = OutgoingApi()
        self.runner = PullRunner(self.book, mailroom, self.intake, self.api)

    async def webhook(self, source: str, body: object, name: str | None = None) -> None:
        """Let a webhook of a source come."""
        entry = self.book.entry(source)
        request = trusted(RawRequest(json.dumps(body).encode(), headers=((b"content-type", b"application/json"),)))
        await self.intake.keep(entry.adapter.unpack(request, entry.source.options, name), entry.source)

    async def fill(self, source: str, *, dry: bool = False, since: datetime = SINCE) -> dict[str, Any]:
        """Compare, or take in what is missing, and return what it says."""
        now = _now()
        await self.board.ask_fill(source, int(since.timestamp() * 1000), now, now, "eva", dry=dry)
        for _ in range(100):
            await self.runner.pull(self.book.entry(source))
            fill = (await self.board.fills())[source]
            if fill.get("ended") or fill.get("code"):
                return fill
        raise AssertionError("it does not end")

    async def missing(self, source: str, since: datetime = SINCE) -> list[tuple[str, str | None]]:
        """Return type and subject of what a comparison finds missing."""
        fill = await self.fill(source, dry=True, since=since)
        assert not fill.get("code")
        return [(one["type"], one["subject"]) for one in fill.get("missing", [])]

    async def types(self) -> list[str]:
        """Return the types of what was kept, oldest first."""
        records = [await self.mailroom.record(id) for id in await list_put(self.mailroom)]
        return [json.loads(record.split(b"\n", 1)[0])["type"] for record in records if record]

    def book_seminar(self, number: int, status: str = "CONFIRMED", made: datetime = AT, changed: datetime = AT) -> Any:
        """Let a booking stand at the vendor, and return it."""
        booking = self.world.seminardesk.bookings.get(number)
        booking["status"] = status
        booking["objectInfo"] |= {"createdAt": made.isoformat(), "changedAt": changed.isoformat()}
        return booking


@pytest.fixture
async def comparing(tmp_path: Path, valkey: PrivateValkey, sandbox: Running) -> AsyncIterator[Comparing]:
    """A runner on sources whose lists are compared."""
    async with await Mailroom.open(valkey.url) as room:
        it = Comparing(tmp_path, sandbox, room)
        yield it
        await it.api.close()


def sd_envelope(id: str, action: str, payload: object) -> object:
    return {"id": id, "attempt": 1, "properties": {"timestamp": 1}, "notifications": [notification(action, payload)]}


def notification(action: str, payload: object) -> object:
    return {"action": action, "payload": payload}


async def test_missing_bookings(comparing: Comparing) -> None:
    """What was made or changed and never told is missing, once; what a webhook told is not; older things are not."""
    it = comparing
    told = it.book_seminar(9101)
    await it.webhook("sd", sd_envelope("a", "booking.create", told))
    it.book_seminar(9102)
    canceled = it.book_seminar(9103, "CONFIRMED")
    await it.webhook("sd", sd_envelope("b", "booking.create", canceled))
    it.book_seminar(9103, "CANCELED", changed=AT + HOUR)
    old = it.book_seminar(9104, made=AT - 30 * HOUR, changed=AT - 20 * HOUR)
    old["status"] = "NO_SHOW"
    assert await it.missing("sd") == [("booking.created", "booking/9102"), ("booking.status_changed", "booking/9103")]
    assert len(await it.types()) == 2, "a comparison keeps nothing"
    fill = await it.fill("sd")
    assert (fill["new"], fill["code"]) == (2, "")
    assert (await it.types())[2:] == ["booking.created", "booking.status_changed"]
    assert await it.missing("sd") == []
    assert (await it.fill("sd"))["new"] == 0
    assert len(await it.types()) == 4


async def test_webhook_meanwhile(comparing: Comparing) -> None:
    """What a webhook brings between the comparison and the keeping is not kept a second time."""
    it = comparing
    booking = it.book_seminar(9101)
    keep = it.runner._intake.keep

    async def late(*arguments: Any, **named: Any) -> Any:
        await it.webhook("sd", sd_envelope("a", "booking.create", booking))
        return await keep(*arguments, **named)

    it.runner._intake = it.intake
    monkey = pytest.MonkeyPatch()
    monkey.setattr(it.runner, "_intake", type("Late", (), {"keep": staticmethod(late)})())
    await it.fill("sd")
    monkey.undo()
    assert await it.types() == ["booking.created"]


async def test_lost_creation(comparing: Comparing) -> None:
    """A booking whose creation was lost and whose change came lacks its creation, and nothing else."""
    it = comparing
    booking = it.book_seminar(9101, "CANCELED", changed=AT + HOUR)
    await it.webhook("sd", sd_envelope("a", "booking.statuschanged", booking))
    assert await it.missing("sd") == [("booking.created", "booking/9101")]


async def test_change_that_no_webhook_tells(comparing: Comparing) -> None:
    """A remark or a payment moves the time of change: where the status was told, nothing is missing."""
    it = comparing
    booking = it.book_seminar(9101, made=AT - 900 * HOUR, changed=AT - 900 * HOUR)
    await it.webhook("sd", sd_envelope("a", "booking.create", booking))
    it.book_seminar(9101, made=AT - 900 * HOUR)
    assert await it.missing("sd") == []


async def test_missing_profiles_and_invoices(comparing: Comparing) -> None:
    """Persons and invoices of the lists are events as webhooks make them; a draft is none."""
    it = comparing
    person = it.world.seminardesk.persons.get(4711)
    person["objectInfo"] |= {"changedAt": AT.isoformat()}
    for number, status in ((5001, "POSTED"), (5002, "CANCELED"), (5003, "DRAFT")):
        invoice = it.world.seminardesk.invoices.get(number)
        invoice["status"] = status
        invoice["objectInfo"] |= {"changedAt": AT.isoformat()}
    assert sorted(await it.missing("sd")) == [
        ("invoice.canceled", "invoice/5002"),
        ("invoice.posted", "invoice/5001"),
        ("profile.updated", "profile/4711"),
    ]
    await it.fill("sd")
    assert not await it.mailroom.store.exists(it.mailroom.key("quarantine"))
    webhook = {
        "id": 4711,
        "objectType": "PERSON",
        "name": "Ada Beispiel",
        "firstName": "Ada",
        "lastName": "Beispiel",
        "email": "ada@example.org",
        "isSubscribedToNewsletter": True,
    }
    await it.webhook("sd", sd_envelope("a", "profile.update", webhook))
    person["objectInfo"] |= {"changedAt": (AT + HOUR).isoformat()}
    assert await it.missing("sd") == [], "the webhook's profile and the list's are one"
    person["email"] = "new@example.org"
    assert await it.missing("sd") == [("profile.updated", "profile/4711")]


async def test_missing_dates(comparing: Comparing) -> None:
    """A date of the list is one with that of its webhook; a changed, a new and a canceled one is missing."""
    it = comparing
    date = it.world.seminardesk.dates.get(709)
    date["objectInfo"] |= {"createdAt": AT.isoformat(), "changedAt": AT.isoformat()}
    assert await it.missing("dates") == [("seminar_date.created", "eventDate/709")]
    webhook = {
        "id": 709,
        "eventId": "0" * 32,
        "beginDate": round(datetime.fromisoformat(date["begin"]).timestamp() * 1000),
        "endDate": str(round(datetime.fromisoformat(date["end"]).timestamp() * 1000)),
        "status": {"name": "Findet statt", "bookingAllowed": True, "isCanceled": False},
        "title": [{"language": "DE", "value": "Atem und Stille"}],
    }
    await it.webhook("dates", sd_envelope("a", "eventDate.create", webhook))
    assert await it.missing("dates") == []
    date["begin"] = "2026-12-04T19:00:00+01:00"
    date["objectInfo"] |= {"changedAt": (AT + HOUR).isoformat()}
    assert await it.missing("dates") == [("seminar_date.updated", "eventDate/709")]
    await it.fill("dates")
    assert not await it.mailroom.store.exists(it.mailroom.key("quarantine"))
    (_, id) = await list_put(it.mailroom)
    record = await it.mailroom.record(id)
    assert record is not None
    data = SOURCES["seminardesk"].read("seminar_date.updated", record.split(b"\n", 1)[1])
    assert (data["title"], data["begin_date"]) == ({"de": "Atem und Stille"}, "2026-12-04T18:00:00.000Z")
    assert (data["venue"]["street1"], data["facilitators"][0]["name"]) == ("Uferweg 1", "Lea Leiterin")
    assert b"nicht weitersagen" not in record
    date["status"] |= {"isCanceled": True}
    date["objectInfo"] |= {"changedAt": (AT + 2 * HOUR).isoformat()}
    assert await it.missing("dates") == [("seminar_date.deleted", "eventDate/709")]
    it.world.seminardesk.dates.get(709)["publishingSettings"]["status"] = "hidden"
    assert await it.missing("dates") == []


async def test_many_pages(comparing: Comparing) -> None:
    """A list is read page by page, and says how many came."""
    it = comparing
    for number in range(20_000, 20_250):
        it.book_seminar(number)
    fill = await it.fill("sd", dry=True)
    assert (fill["new"], len(fill["missing"]), fill["requests"]) == (250, 200, 5)
    assert fill["pages"] == 5


async def test_maileon_reports(comparing: Comparing) -> None:
    """Unsubscriptions and bounces of the reports are kept once; those that a webhook brought are not missing."""
    it = comparing
    at = int(AT.timestamp() * 1000)
    it.world.maileon.tell(
        {
            "unsubscriptions": [
                {"timestamp": at, "id": 7, "email": "ada@example.org", "source": "link", "mailing_id": 12},
                {"timestamp": at, "email": "eva@example.org", "source": "reply"},
                {"timestamp": at, "email": ""},
            ],
            "bounces": [{"timestamp": at, "email": "eva@example.org", "type": "permanent", "status_code": "5.1.1"}],
        }
    )
    await it.webhook("mailing", {"email": "Ada@example.org", "timestamp": at + 2_000}, "unsubscription")
    assert await it.missing("mailing") == [("contact.unsubscribed", None), ("contact.bounced", None)]
    assert (await it.fill("mailing"))["new"] == 2
    assert await it.missing("mailing") == []
    assert sorted(await it.types()) == ["contact.bounced", "contact.unsubscribed", "contact.unsubscribed"]


async def test_activetrail_contacts(comparing: Comparing) -> None:
    """A contact of the list is missing if nothing came of it since; who unsubscribed is told as such."""
    it = comparing
    ada = {"id": 1, "email": "ada@example.org", "first_name": "Ada", "state": "ACTIVE", "changed": AT.isoformat()}
    eva = {"id": 2, "email": "eva@example.org", "state": "CUSTOMER_REQUEST", "changed": AT.isoformat()}
    kim = {"id": 3, "email": "kim@example.org", "state": "ACTIVE", "changed": AT.isoformat()}
    it.world.activetrail.tell({"contacts": [ada, eva, kim]})
    await it.webhook("at", {"id": 3, "email": "kim@example.org"}, "contact_updated")
    assert await it.missing("at") == [("contact.updated", "contact/1"), ("contact.unsubscribed", "contact/2")]
    assert (await it.fill("at"))["new"] == 2
    assert (await it.fill("at"))["new"] == 0
    assert await it.missing("at", SINCE + HOUR / 2) == []


async def test_only_when_asked(comparing: Comparing) -> None:
    """Lists that know no time are read only when a person asks; reports by themselves."""
    it = comparing
    await it.runner.pull(it.book.entry("sd"))
    await it.runner.pull(it.book.entry("mailing"))
    assert set(await it.board.states()) == {"mailing"}


async def test_refused_key(comparing: Comparing) -> None:
    """A refused key ends a comparison with the reason."""
    it = comparing
    it.book._environ["SD"] = "wrong"  # type: ignore[index]
    fill = await it.fill("sd", dry=True)
    assert fill["code"] == "key_refused"
