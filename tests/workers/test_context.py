"""What a worker process keeps between drains: the book in force, the clients, the limits."""

import asyncio
import logging
import os

import pytest

from mailroom import INBOX, Mailroom, RoomChange, RoomRequest
from rules.compiler.folder_watch import LOOK_EVERY
from rules.secret import Secret
from tests.conftest import PrivateValkey
from tests.workers.worker_fixture import NOTE, UPSERT, WorkerFixture, event
from workers.context import WorkerContext
from workers.outcome import Failed

ALERT_URL = Secret("${ALERT_URL}")

pytestmark = pytest.mark.anyio


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return what the context logged: level and line."""
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "relais.context"]


async def test_reload(site: WorkerFixture) -> None:
    """A book that changes is in force soon, without a restart; the worker looks once a second."""
    assert LOOK_EVERY == 1.0
    site.write(NOTE)
    async with site.work():
        await site.put(event("e1"))
        await site.ended("e1")
        before = site.context.books.version
        await site.rewrite(UPSERT)
        await site.until(lambda: site.context.books.version != before, "the new book is in force")
        await site.put(event("e2"))
        (fate,) = await site.ended("e2")
        assert fate.book == site.context.books.version
    assert [d.action for d in fate.deliveries] == ["upsert_contact"]


async def test_bad_book(site: WorkerFixture) -> None:
    """A bad book changes nothing that runs; somebody is told what is wrong, once."""
    site.write(NOTE)
    async with site.work():
        await site.until(lambda: site.context.clients, "the context is equipped")
        before = site.context.books.version
        await site.rewrite(NOTE.replace("crm.add_note", "crm.ad_note"))
        await site.until(lambda: site.far.alerts, "an alert")
        await site.put(event("e1"))
        await site.ended("e1")
        assert site.context.books.version == before
        await site.rewrite(NOTE)
        await site.until(lambda: not site.context.books.problems, "the book is good again")
    (alert,) = site.far.alerts
    assert alert["alert"] == "bad_book"
    assert "did you mean" in alert["text"]
    assert [note["text"] for note in site.far.notes] == ["e1"]


async def test_o6_emptied_book(site: WorkerFixture) -> None:
    """A book whose rules are gone changes nothing until a person approves it; somebody is told before and after."""
    site.write(NOTE + UPSERT)
    async with site.work():
        await site.until(lambda: site.context.clients, "the context is equipped")
        before = site.context.books.version
        site.write(NOTE.replace("keep a note", "something else"))
        await site.until(lambda: site.context.books.pending, "the files wait")
        await site.put(event("e1"))
        (fate,) = await site.ended("e1")
        assert (fate.book, fate.state) == (before, "delivered")
        await site.approve()
        await site.until(lambda: site.context.books.version != before, "the approved book is in force")
        await site.until(lambda: len(site.far.alerts) == 2, "two alerts")
    assert [alert["alert"] for alert in site.far.alerts] == ["book_waits", "book_lost"]
    assert site.far.alerts[0]["text"].endswith(
        "would lose rules keep a note, keep the contact; waits for: relais rules approve"
    )
    assert site.far.alerts[1]["text"] == "the book in force lost rules keep a note, keep the contact"


async def test_refused_again(site: WorkerFixture, caplog: pytest.LogCaptureFixture) -> None:
    """A key that is refused again after it was good is told again: the last that is heard is no good news."""
    site.write(NOTE)
    async with site.work():
        await site.until(lambda: site.context.clients, "the context is equipped")
        for what in ("key", "there", "key"):
            site.context.report_room_change(RoomChange(what, "crm", "unauthorised"))
            await site.context.alerts.close()
    assert [alert["alert"] for alert in site.far.alerts] == [
        "paused_destination",
        "destination_up",
        "paused_destination",
    ]
    assert said(caplog) == [
        (logging.ERROR, "destination.paused destination=crm code=unauthorised"),
        (logging.WARNING, "destination.up destination=crm"),
        (logging.ERROR, "destination.paused destination=crm code=unauthorised"),
    ]


async def test_down_again(site: WorkerFixture, caplog: pytest.LogCaptureFixture) -> None:
    """A destination that is down again after it was up is told again, with what it means for its deliveries."""
    site.write(NOTE)
    async with site.work():
        await site.until(lambda: site.context.clients, "the context is equipped")
        for what in ("breaker", "there", "breaker", "breaker"):
            site.context.report_room_change(RoomChange(what, "crm", "timeout"))
            await site.context.alerts.close()
    assert [(alert["alert"], alert["destination"]) for alert in site.far.alerts] == [
        ("destination_down", "crm"),
        ("destination_up", "crm"),
        ("destination_down", "crm"),
    ]
    assert site.far.alerts[0]["text"] == "crm is down (timeout): its deliveries wait, and go on when it answers"
    down = (logging.ERROR, "destination.down destination=crm code=timeout")
    assert said(caplog) == [down, (logging.WARNING, "destination.up destination=crm"), down, down]


async def test_poison_is_told(site: WorkerFixture) -> None:
    """A box that killed three drains is held, and somebody is told; once, and with no word of whose it is."""
    site.write(NOTE)
    await site.put(event("e1"), event("e2", "somebody else"))
    for n, boxes in enumerate((2, 2, 1, 1)):  # after two deaths each is taken alone
        await site.mailroom.beat(f"d{n}", register=True)
        took = await site.mailroom.take(f"d{n}", f"d{n}", [RoomRequest(INBOX, 9, 9)], suspects=9 if n else 0)
        assert len(took.leases) == boxes
        await site.mailroom.bury([f"d{n}"])
    assert await site.mailroom.untold() == [(INBOX, "poison"), (INBOX, "poison")]
    async with site.work():
        await site.until(lambda: site.far.alerts, "an alert")
    assert site.far.alerts == [{"alert": "held_key", "text": "in: poison", "room": "in"}]
    assert await site.mailroom.untold() == []


async def test_untold_is_told(site: WorkerFixture) -> None:
    """Whatever waits to be told is told and forgotten: a held box of a destination, an id that names many messages."""
    site.write(NOTE)
    untold = site.mailroom.key("untold")
    await site.mailroom.store.rpush(untold, "crm poison", "in many_contents:shop", "crm poison")
    async with site.work():
        await site.until(lambda: len(site.far.alerts) == 2, "both are told")
        await site.until_true(lambda: nothing_untold(site), "nothing is left to tell")
    told = sorted(site.far.alerts, key=lambda alert: str(alert["alert"]))
    assert told == [
        {"alert": "held_key", "text": "crm: poison", "destination": "crm"},
        {"alert": "message_id", "text": "read.id of shop names no single message", "source": "shop"},
    ]


async def nothing_untold(site: WorkerFixture) -> bool:
    """Tell whether nobody waits to be told."""
    return await site.mailroom.untold() == []


async def noted(site: WorkerFixture, room: str, why: str) -> bool:
    """Whether it is noted why a room cannot be served; empty: that it can."""
    found = {it.name: it.unusable for it in await site.mailroom.rooms()}.get(room, "")
    return why in found if why else not found


async def test_missing_secret(
    site: WorkerFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A destination whose secret is missing keeps its queue and somebody is told; a mounted file brings it to life."""
    site.write(NOTE, more="auth:\n      bearer: ${CRM_TOKEN}")
    monkeypatch.delenv("CRM_TOKEN", raising=False)
    secrets = site.book.parent / "secrets"
    secrets.mkdir()
    async with site.work(secrets=secrets):
        await site.put(event("e1"))
        await site.until(lambda: site.far.alerts, "an alert")
        assert site.far.alerts[0]["alert"] == "unusable_destination"
        assert "CRM_TOKEN" in site.far.alerts[0]["text"]
        assert (await site.fate("e1")).state in ("waiting", "delivering")
        await site.until_true(lambda: noted(site, "crm", "CRM_TOKEN"), "people see why")
        ((level, line),) = said(caplog)
        assert (level, line.startswith("destination.unusable destination=crm why=")) == (logging.ERROR, True)
        assert "CRM_TOKEN" in line
    (secrets / "CRM_TOKEN").write_text("token\n")
    async with site.work(secrets=secrets):
        await site.ended("e1")
        assert await noted(site, "crm", "")
    assert site.far.requests("POST", "*/notes")[0].headers["authorization"] == "Bearer token"


async def test_missing_secret_of_nobody(site: WorkerFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noted of a destination that cannot be served is forgotten when it leaves the book."""
    monkeypatch.delenv("OLD_TOKEN", raising=False)
    site.write(
        NOTE, more="\n  old:\n    kind: rest\n    base: https://crm.example.org\n    auth: {bearer: '${OLD_TOKEN}'}"
    )
    async with site.work():
        await site.until_true(lambda: noted(site, "old", "OLD_TOKEN"), "people see why")
        await site.rewrite(NOTE)
        await site.until_true(lambda: noted(site, "old", ""), "it is forgotten")


async def test_unreadable_address_of_alerts(
    site: WorkerFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is no text where the address of alerts should be stops no delivery; the log says what is wrong."""
    site.write(NOTE)
    address = os.environ["ALERT_URL"]
    monkeypatch.delenv("ALERT_URL")
    secrets = site.book.parent / "secrets"
    secrets.mkdir()
    (secrets / "ALERT_URL").write_bytes(b"http://\xff/geheim")
    async with site.work(secrets=secrets):
        await site.put(event("e1"), event("e2", "otto"))
        await site.ended("e1")
        await site.ended("e2")
        site.context.report_room_change(RoomChange("key", "crm", "unauthorised"))
        assert f"alerts.unusable why=the secret ALERT_URL has no value: {secrets}/ALERT_URL is not UTF-8" in caplog.text
        assert "drain.bug" not in caplog.text
        assert site.far.alerts == []
        # It is mended without a restart.
        (secrets / "ALERT_URL").write_text(address + "\n")
        await site.until(lambda: site.context.alerts._address == address, "the address is taken", 10)
        site.context.report_room_change(RoomChange("key", "crm", "unauthorised"))
        await site.until(lambda: site.far.alerts, "an alert", 10)
    assert "geheim" not in caplog.text
    assert sorted(note["text"] for note in site.far.notes) == ["e1", "e2"]


@pytest.mark.parametrize("part", ["_alert_address", "untold"])
async def test_optional_parts(
    site: WorkerFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    """A defect in what alerts need is logged, and events are delivered all the same."""

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    site.write(NOTE)
    if part == "untold":
        monkeypatch.setattr(Mailroom, "untold", broken)
    else:
        whole = WorkerContext.reveal
        monkeypatch.setattr(WorkerContext, "reveal", lambda self, it: broken() if it == ALERT_URL else whole(self, it))
    async with site.work():
        await site.put(event("e1"))
        await site.ended("e1")
    assert ("alerts.bug" if part == "untold" else "alerts.unusable why=bug") in caplog.text
    assert [note["text"] for note in site.far.notes] == ["e1"]


async def test_changed_secret(site: WorkerFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted secret that changes is used by the next deliveries, without a restart or another book."""
    site.write(NOTE, more="auth:\n      bearer: ${CRM_TOKEN}")
    monkeypatch.delenv("CRM_TOKEN", raising=False)
    secrets = site.book.parent / "secrets"
    secrets.mkdir()
    (secrets / "CRM_TOKEN").write_text("first\n")
    async with site.work(secrets=secrets):
        await site.put(event("e1"))
        await site.ended("e1")
        revision, version = site.context.books.revision, site.context.books.version
        (secrets / "CRM_TOKEN").write_text("second one\n")
        await site.until(lambda: site.context._equipped != revision, "the secret is taken", 10)
        assert (site.context.books.revision, site.context.books.version) == (revision + 1, version)
        await site.put(event("e2"))
        await site.ended("e2")
    sent = [seen.headers["authorization"] for seen in site.far.requests("POST", "*/notes")]
    assert sent == ["Bearer first", "Bearer second one"]


async def test_removed_destination(site: WorkerFixture) -> None:
    """What waits for a destination that left the book waits on, and goes out when it is back."""
    site.write(UPSERT.replace("crm.", "other."))
    site.far.fail(path="/others*", times=None, status=503)
    async with site.work():
        await site.put(event("e1"))
        await site.until(lambda: site.far.requests(path="/others*"), "it was tried")
        text = (site.book / "book.yaml").read_text()
        start, end = text.index("  other:"), text.index("alerts:")
        (site.book / "book.yaml").write_text(text[:start] + text[end:].replace("other.", "crm."))
        await site.approve()
        await site.until(lambda: "other" not in site.context.rooms(), "the new book is in force")
        await site.put(event("e2"))
        await site.ended("e2")
        site.far.mend()
        await site.rewrite(UPSERT.replace("crm.", "other."))
        await site.ended("e1")
    assert [len(site.far.contacts), len(site.far.others)] == [1, 1]


async def test_equipped_after_an_outage(
    site: WorkerFixture, valkey: PrivateValkey, caplog: pytest.LogCaptureFixture
) -> None:
    """A book that is loaded while the store fails half-way is still put in force, with its clients and limits."""
    site.write(NOTE)
    async with await Mailroom.open(valkey.url) as mailroom:
        site.mailroom, site.url = mailroom, valkey.url
        async with site.work():
            await site.until(lambda: site.context.clients, "the context is equipped")
            before = site.context.books.version
            valkey.stop(kill=True)
            site.write(NOTE, concurrency=7)
            await site.until(lambda: caplog.text.count("drain.store_away") > 2, "it has tried to put it in force")
            await asyncio.to_thread(valkey.start)
            await site.until(lambda: site.context.books.version != before, "the new book is in force")

            async def is_set() -> bool:
                return bool(await mailroom.store.hget(mailroom.key("room:crm"), "concurrency") == b"7")

            await site.until_true(is_set, "the limits are set")


async def test_limit_and_concurrency(site: WorkerFixture) -> None:
    """A destination's rate and concurrency hold for all that is sent to it."""
    site.write(NOTE, concurrency=3)
    site.far.fail(times=None, delay=0.03)
    async with site.work():
        await site.put(*(event(f"e{n}", f"p{n}") for n in range(20)))
        await site.idle()
    assert 2 <= site.far.most_under_way <= 3
    site.far.mend()
    site.far.seen.clear()
    await site.rewrite(NOTE, more="limit: 20/s")
    async with site.work():
        await site.put(*(event(f"f{n}", f"q{n}") for n in range(8)))
        await site.idle()
    sent = [seen.at for seen in site.far.seen]
    assert len(sent) == 24  # find, create, note: each counts
    assert sent[-1] - sent[0] > 20 / 20


async def test_turn_of_an_unknown_destination(site: WorkerFixture) -> None:
    """Whoever asks for something that the book does not have gets a failure, not a bug."""
    site.write(NOTE)
    async with site.work() as drain:
        await site.until(lambda: site.context.clients, "the context is equipped")
        async with site.context.turn("nobody"):
            with pytest.raises(Failed, match="no_destination"):
                await drain.courier.carry_out("nobody", "add_note", {}, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "every", "burst"),
    [("limit: 5/s", 200, 1), ("limit: 100/s", 10, 10), ("limit: 1/m", 60_000, 1), ("", 0, 1)],
)
async def test_limits_are_set(site: WorkerFixture, limit: str, every: int, burst: int) -> None:
    """The store learns of each destination how often, how many at once, in which pool; of a rate a tenth at once."""
    site.write(NOTE, more=limit, concurrency=7)
    async with site.work():
        await site.until(lambda: site.context.clients, "the context is equipped")
        found = await site.mailroom.store.hgetall(site.mailroom.key("room:crm"))
    assert float(found[b"every"]) == every
    assert (found[b"burst"], found[b"concurrency"], found[b"pool"]) == (str(burst).encode(), b"7", b"default")


async def test_another_pool(site: WorkerFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker of another pool cannot serve is for the workers of its pool to say, who may know the secret."""
    monkeypatch.delenv("OLD_TOKEN", raising=False)
    other = "\n  old:\n    kind: rest\n    pool: heavy\n    base: https://crm.example.org\n"
    other += "    auth: {bearer: '${OLD_TOKEN}'}"
    site.write(NOTE, more=other)
    async with site.work():
        await site.until(lambda: site.context.unusable, "the context is equipped")
        assert not site.context.serves("old")
        assert (site.context.serves("crm"), site.context.serves("nobody")) == (True, False)
        assert site.context.rooms() == [INBOX, "crm", "desk", "other"]
        assert await noted(site, "old", "")
    async with site.work(pool="heavy"):
        await site.until_true(lambda: noted(site, "old", "OLD_TOKEN"), "people see why")
        assert site.context.rooms() == []


async def test_longest_request(site: WorkerFixture) -> None:
    """No destination may wait longer for an answer than its drain may be silent."""
    site.write(NOTE, timeout="29")
    site.far.fail(method="GET", path="/contacts*", times=1, hang=True)
    async with site.work(dead_after=5):  # One second for a request.
        await site.put(event("e1"))
        await site.ended("e1")
    fate = await site.fate("e1")
    assert [attempt["code"] for attempt in fate.deliveries[0].attempts] == ["timeout", ""]


async def test_terms_are_set(site: WorkerFixture) -> None:
    """The store learns how long the states of a source are kept where its book says less than usual."""
    site.write(NOTE, retain="0\n    retain_dead: 2h\n    retain_refused: 1d")
    async with site.work():
        await site.until(lambda: site.context.clients, "the context is equipped")
        found = await site.mailroom.store.hgetall(site.mailroom.key("terms"))
    assert found == {b"dead shop": b"7200000", b"refused shop": b"86400000"}
