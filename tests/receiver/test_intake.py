"""The door to the mailroom: webhooks and whoever fetches put their batches through it."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from mailroom import Receipt, RefusedDetails, SourceNotes, StoreFull, StoreUnavailable
from receiver import errors, intake
from receiver.intake import Ids, Intake
from receiver.sources.base import Batch, SourceItem, Unfit
from rules.dedupe import DedupeOptions
from rules.event import Event
from rules.event_types.base import to_epoch
from rules.rulebook import Source
from tests.conftest import wait_until_async
from tests.receiver.book import holder

TIME = "2026-11-21T10:00:00.000Z"
TRACE = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"


@pytest.fixture
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A source of the book."""
    return holder(tmp_path_factory.mktemp("book")).entry("at").source


class FakeEventStore:
    """A mailroom whose answers the test decides."""

    def __init__(self) -> None:
        self.kept: list[Event] = []
        self.unfit: list[tuple[Event, str]] = []
        #: Raised by `put` and by `quarantine`.
        self.failures: list[Exception | None] = [None, None]
        self.open = asyncio.Event()
        self.open.set()
        self.quarantine_open = asyncio.Event()
        self.quarantine_open.set()
        self.forgets_receipts = False
        self.notes = SourceNotes()

    async def prepare(self) -> None:
        pass

    async def put(self, events: Sequence[Event]) -> list[Receipt]:
        await self.open.wait()
        if self.failures[0]:
            raise self.failures[0]
        self.kept += events
        return [] if self.forgets_receipts else [Receipt(each.id, False) for each in events]

    async def quarantine(self, events: Sequence[tuple[Event, str]]) -> list[Receipt]:
        await self.quarantine_open.wait()
        if self.failures[1]:
            raise self.failures[1]
        self.unfit += events
        return [Receipt(f"first of {each.sender_id}", True) for each, _ in events]

    async def approved_book(self) -> str:
        return ""

    async def say_process(self, name: str, pool: str, workers: int, turn: int, *, said: str = "") -> None:
        pass

    async def note_sources(self, notes: SourceNotes) -> None:
        self.notes.merge(notes)

    async def forget_spooled(self, process: str) -> None:
        pass

    async def forget_process(self, name: str) -> None:
        pass

    async def refused(
        self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes, more: RefusedDetails
    ) -> None:
        pass

    async def close(self) -> None:
        pass


def item(name: str, **more: object) -> SourceItem:
    told = {"type": "contact.changed", "sender_id": name, **more}
    return SourceItem(0, b"{}", **told)  # type: ignore[arg-type]


def batch(*items: SourceItem) -> Batch:
    return Batch(list(items))


UNFIT = {"invalid": Unfit("email", "is no address")}
MIXED = batch(item("a"), item("no", type=None), item("b", **UNFIT), item("c"), item("d", **UNFIT))


def test_every_field(source: Source) -> None:
    """An event that the receiver makes has every field of an event, and is as frozen as any."""
    one = SourceItem(
        3,
        b"{}",
        "contact.changed",
        sender_id="m1",
        order_key="email:eva@example.org",
        subject="contact/1",
        identities=("a", "b"),
        names=("email:eva@example.org", "at:contact:1"),
    )
    made = intake.build_event(one, source, TIME, traceparent=TRACE)
    assert all(hasattr(made, each.name) for each in fields(Event))
    assert made == Event(**vars(made))
    assert (made.source, made.sender_id, made.position, made.identities) == ("at", "m1", 3, ("a", "b"))
    assert (made.order_key, made.names) == ("email:eva@example.org", ("at:contact:1",))
    with pytest.raises(AttributeError):
        made.id = "another"  # type: ignore[misc]


def test_tells(source: Source) -> None:
    """What an event tells of its object is kept only where the source is pulled from: else nothing is compared."""
    one = item("a", tells=(("contact 1", "@"), ("contact 1 state", "x")))
    assert intake.build_event(one, source, TIME).tells == ()
    asked = {**source.options.model_dump(exclude_unset=True), "pull": {"api_key": "${AT_KEY}"}}
    pulled = dataclasses.replace(source, options=type(source.options).model_validate(asked))
    moment = f"@{to_epoch(TIME)}"
    assert intake.build_event(one, pulled, TIME).tells == (("contact 1", moment), ("contact 1 state", "x"))


def test_names(source: Source) -> None:
    """Beside its order key an event has two further names at the most, and most events have none."""
    assert intake.build_event(item("a", order_key="x"), source, TIME).names == ()
    assert intake.build_event(item("a", order_key="x", names=("x",)), source, TIME).names == ()
    assert intake.build_event(item("a", order_key="x", names=("u", "v", "w")), source, TIME).names == ("u", "v")


@pytest.mark.parametrize("trace", [b"", b"01" + TRACE[2:], TRACE + b"0", TRACE.replace(b"1", b"g"), b"\xff" * 55])
def test_no_trace(source: Source, trace: bytes) -> None:
    """A trace context that is none, or of another version, is left away."""
    assert intake.build_event(item("a"), source, TIME, traceparent=TRACE).traceparent == TRACE.decode()
    assert intake.build_event(item("a"), source, TIME, traceparent=trace).traceparent is None


def test_keep(source: Source) -> None:
    """Whoever fetches gets an id for each item when all are on disk: None for what is not taken."""

    async def run() -> Ids:
        return await Intake(store, 10).keep(MIXED, source, TIME, traceparent=TRACE)

    store = FakeEventStore()
    ids = asyncio.run(run())
    assert [each.sender_id for each in store.kept] == ["a", "c"]
    assert {(each.received_at, each.traceparent) for each in store.kept} == {(TIME, TRACE.decode())}
    why = "email: is no address"
    assert [(each.sender_id, said) for each, said in store.unfit] == [("b", why), ("d", why)]
    assert ids == [store.kept[0].id, None, "first of b", store.kept[1].id, "first of d"]


def test_received_now(source: Source) -> None:
    """Without a time of reception it is now."""
    store = FakeEventStore()
    before = intake.format_now()
    asyncio.run(Intake(store, 10).keep(batch(item("a")), source))
    assert before <= store.kept[0].received_at <= intake.format_now()


def test_nothing_to_keep(source: Source) -> None:
    """A batch of which we take nothing is done at once."""
    store = FakeEventStore()
    store.open.clear()
    assert asyncio.run(Intake(store, 10).keep(batch(item("no", type=None)), source)) == [None]
    assert asyncio.run(Intake(store, 10).keep(batch(), source)) == []


def test_refused(source: Source) -> None:
    """With `on_invalid: refuse` one item that does not fit refuses the batch, and nothing of it is kept."""
    store = FakeEventStore()
    strict = dataclasses.replace(source, on_invalid="refuse")
    with pytest.raises(errors.Invalid) as caught:
        asyncio.run(Intake(store, 10).keep(MIXED, strict))
    assert (caught.value.field, caught.value.hint) == ("email", "email: is no address")
    assert (store.kept, store.unfit) == ([], [])


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ([StoreUnavailable("away"), None], "store_unavailable"),
        ([StoreFull("no room"), None], "store_full"),
        ([None, StoreUnavailable("away")], "store_unavailable"),
        ([None, StoreFull("no room")], "store_full"),
        ([None, RuntimeError("a defect")], "internal"),
    ],
)
def test_not_kept(source: Source, failures: list[Exception | None], code: str) -> None:
    """Where the store fails, with the events or with what goes to quarantine, the batch is not said to be kept."""
    store = FakeEventStore()
    store.failures = failures
    with pytest.raises(errors.NotKept, match=code):
        asyncio.run(Intake(store, 10).keep(MIXED, source))
    assert not store.unfit


def test_receipts_are_missing(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    """A store that says less than it was asked is a defect: nobody is told that anything is kept, and nobody waits."""
    store = FakeEventStore()
    store.forgets_receipts = True
    with pytest.raises(errors.NotKept, match="internal"):
        asyncio.run(Intake(store, 10).keep(batch(item("a")), source))
    assert "receiver.defect" in caplog.messages


def test_too_much(source: Source) -> None:
    """Beyond what may wait for the store a batch is refused at once."""

    async def run() -> None:
        store = FakeEventStore()
        store.open.clear()
        full = Intake(store, 2)
        first = asyncio.create_task(full.keep(batch(item("a"), item("b")), source))
        await asyncio.sleep(0)
        with pytest.raises(errors.NotKept, match="busy"):
            await full.keep(batch(item("c")), source)
        store.open.set()
        assert len(await first) == 2

    asyncio.run(run())


def test_drain(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    """A stop waits until every batch is done, also what goes to quarantine, though somebody breaks or gives up."""

    async def run() -> None:
        store = FakeEventStore()
        store.open.clear()
        store.quarantine_open.clear()
        door = Intake(store, 10)
        told: list[Ids | errors.RequestRefused] = []

        def broken(_: object) -> None:
            raise RuntimeError("a defect of the caller")

        given_up = asyncio.create_task(door.keep(MIXED, source))
        await asyncio.sleep(0)
        given_up.cancel()
        door.keep_soon(MIXED, source, broken, TIME)
        door.keep_soon(batch(item("e")), source, broken, TIME)
        door.keep_soon(MIXED, source, told.append, TIME)
        draining = asyncio.create_task(door.drain())

        store.open.set()

        async def kept() -> bool:
            return len(store.kept) == 7

        await wait_until_async(kept, "what fits is kept")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not draining.done()
        assert told == []
        store.quarantine_open.set()
        await draining
        assert [len(each) for each in told if isinstance(each, list)] == [5]
        assert caplog.messages.count("answer.failed") == 2
        assert len(store.unfit) == 6

    asyncio.run(run())


def test_quarantine_is_logged(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    """Each item that goes to quarantine has a line with the id of its event."""
    store = FakeEventStore()
    asyncio.run(Intake(store, 10).keep(MIXED, source))
    assert caplog.messages == [
        f"receiver.quarantined source=at type=contact.changed event_id={each.id} why=email: is no address"
        for each, _ in store.unfit
    ]
    assert len(caplog.messages) == 2


def test_knows_no_http() -> None:
    """The door is apart from HTTP: no request, no answer, no status."""
    text = Path(intake.__file__).read_text()
    for word in ("starlette", "uvicorn", "receiver.request", "scope"):
        assert word not in text


def items(*of: tuple[str | None, str, bytes]) -> list[SourceItem]:
    return [
        SourceItem(n, body, "contact.changed", identity=identity, sender_id=sender)
        for n, (sender, identity, body) in enumerate(of)
    ]


def ids(batch: list[SourceItem], source: Source) -> list[str]:
    intake.tell_apart(batch)
    return [intake.build_event(item, source, TIME).id for item in batch]


def test_equal_items_of_one_request(source: Source) -> None:
    """Equal items of one request are as many events, and the same ones when the request comes again."""
    one = ("m1", "contact/7", b"{}")
    first = ids(items(one, one, ("m1", "contact/8", b"{}"), one), source)
    assert len(set(first)) == 4
    assert ids(items(one, one), source) == first[:2]
    store = FakeEventStore()
    assert asyncio.run(Intake(store, 10).keep(Batch(items(one, one)), source)) == first[:2]


def test_same_id(source: Source) -> None:
    """A source whose platform changes what it repeats says so: then the id alone tells its messages apart."""
    changed = items(("m1", "", b'{"attempt": 1}')), items(("m1", "", b'{"attempt": 2}'))
    assert len({ids(batch, source)[0] for batch in changed}) == 2
    assert len({ids(batch, dataclasses.replace(source, same_id="same"))[0] for batch in changed}) == 1


def test_dedupe(source: Source) -> None:
    """What the source says is the same has one mark, whatever the id; what lacks its key says so."""
    asks = dataclasses.replace(source, dedupe=DedupeOptions.model_validate({"window": "10m", "key": "raw.order"}))
    found = items(("m1", "", b'{"order": 1, "try": 1}'), ("m2", "", b'{"order": 1, "try": 2}'), ("m3", "", b"{}"))
    one, other, without = [intake.build_event(each, asks, intake.format_now()) for each in found]
    assert (one.same_as, one.same_for) == (other.same_as, 600_000)
    assert (without.same_as, without.unread, found[2].empty) == ("", ("dedupe.key",), ("dedupe.key",))
    by_content = dataclasses.replace(source, dedupe=DedupeOptions.model_validate({"window": "10m"}))
    marks = {intake.build_event(each, by_content, intake.format_now()).same_as for each in found}
    assert len(marks) == 3


@pytest.mark.parametrize(
    ("country", "expected"),
    [
        (None, ("seminardesk:profile:1", "phone:+4930123456")),
        ("DE", ("seminardesk:profile:1", "phone:+4930123456", "phone:+493111234567")),
        ("AT", ("seminardesk:profile:1", "phone:+4930123456", "phone:+433111234567")),
    ],
)
def test_numbers_belong_to_a_country(source: Source, country: str | None, expected: tuple[str, ...]) -> None:
    """A number is an identity where its country is known: by itself, or by the source."""
    phones = ("+49 30 123456", "0311 1234567", "tel:+49-30-123456", "unknown")
    item = SourceItem(0, b"{}", "profile.created", identities=("seminardesk:profile:1",), order_key="x", phones=phones)
    made = intake.build_event(item, dataclasses.replace(source, country=country), TIME)
    assert (made.identities, made.order_key) == (expected, "x")


def test_number_as_order_key(source: Source) -> None:
    """Who is known by nothing but a number is kept in order by it, however it was written."""
    keys = set()
    for number in ("030 123456", "+49 30 12 34 56", "0049 (0)30 123456"):
        item = SourceItem(0, b"{}", "contact.changed", phones=(number,))
        keys.add(intake.build_event(item, dataclasses.replace(source, country="DE"), TIME).order_key)
    assert keys == {"phone:+4930123456"}
    assert intake.build_event(item, source, TIME).order_key is None
