"""What Relais writes comes back by webhook, and does not go round: real drains, a real receiver, two real systems."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from mailroom import Fate, StoreFull, ledger
from mailroom.aside import ECHO, AsideShelf, kept_payload
from mailroom.echoes import EchoMark
from mailroom.operator import Operator, Selection
from receiver.payload import read_kept
from rules.event_types.base import from_epoch
from tests.mailroom.log import list_fates
from tests.mirror import MirrorSystems, receive, write_mirror_book
from tests.workers.worker_fixture import WorkerFixture, event
from workers import echo
from workers.drain.echo_guard import _is_in_time

pytestmark = pytest.mark.anyio

EVA = "eva@example.org"


@pytest.fixture
def mirror() -> Iterator[MirrorSystems]:
    """Two systems that know nobody yet."""
    with MirrorSystems() as systems:
        yield systems


def write(site: WorkerFixture, mirror: MirrorSystems, *, more: str = "", option: str = "") -> None:
    """Write a book that passes what changes in one system on to the other."""
    site.book.mkdir()
    (site.book / "book.yaml").write_text(write_mirror_book(mirror.url, more=more, option=option))


@contextlib.asynccontextmanager
async def relais(site: WorkerFixture, mirror: MirrorSystems, *, more: str = "", option: str = "") -> AsyncIterator[Any]:
    """Let a receiver and a drain work between both systems."""
    write(site, mirror, more=more, option=option)
    with receive(site.book, site.url, mirror):
        async with site.work() as drain:
            yield drain


async def ended(site: WorkerFixture, count: int) -> list[Fate]:
    """Wait until so many events have come and are settled; return them, oldest first."""

    async def are_settled() -> bool:
        found = await list_fates(site.mailroom)
        return len(found) >= count and all(fate.settled for fate in found)

    await site.until_true(are_settled, f"{count} events are settled")
    return (await list_fates(site.mailroom))[::-1]


async def test_goes_quiet(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """A change goes to the other system once; what that tells of it is an echo, is counted as one, and ends there."""
    async with relais(site, mirror):
        mirror.edit(mirror.a, EVA, last_name="Adler")
        first, echo = await ended(site, 2)
        await site.idle()
    assert mirror.names(EVA) == ("Adler", "Adler")
    assert (len(mirror.a.told), len(mirror.b.told), mirror.a.written) == (1, 1, [])
    assert (first.state, echo.state, echo.source) == ("delivered", "echo", "b")
    assert echo.echo_of == first.deliveries[0].id
    assert echo.rules == [
        {
            "name": "b to a",
            "matched": False,
            "at": "on_echo",
            "why": f"Relais wrote this there itself, as {echo.echo_of}",
        }
    ]
    assert (await site.mailroom.counts())["routed|b|contact.changed|echo"] == 1
    assert [fate.id for fate in await list_fates(site.mailroom) if fate.state == "echo"] == [echo.id]
    for name in await site.mailroom.store.keys("*echo*"):
        assert 3_600_000 < await site.mailroom.store.pttl(name) <= 4_200_000
        kept = await site.mailroom.store.dump(name)
        assert kept is not None
        assert b"Adler" not in kept
        assert b"eva" not in kept
        assert "eva" not in str(name)


async def test_goes_on_without_a_pair(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """Where the book says that nothing comes back, each change causes the next."""
    async with relais(site, mirror, more="echoes: []"):
        mirror.edit(mirror.a, EVA, last_name="Adler")
        await site.until(lambda: len(mirror.a.told) > 4 and len(mirror.b.told) > 4, "it goes round and round")
        mirror.a.faults = mirror.b.faults = ["refused"] * 100
        await site.idle()
    assert {fate.state for fate in await list_fates(site.mailroom)} == {"delivered", "dead"}


async def test_on_echo_route(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """A rule that wants its own echoes fires for them, and the ledger says that it is one."""
    async with relais(site, mirror, option="on_echo: route"):
        mirror.a.faults = ["refused"]
        mirror.edit(mirror.a, EVA, last_name="Adler")
        first, echo = await ended(site, 2)
    assert (echo.state, echo.echo_of) == ("dead", first.deliveries[0].id)
    assert echo.rules == [{"name": "b to a", "matched": True}]


async def test_edit_in_the_same_minute(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """What a person changes right after, or changes and undoes, is a change of its own, and goes to the other."""
    async with relais(site, mirror):
        mirror.edit(mirror.a, EVA, last_name="Adler")
        await ended(site, 2)
        mirror.edit(mirror.b, EVA, last_name="Berg")
        await ended(site, 4)
        assert mirror.names(EVA) == ("Berg", "Berg")
        mirror.edit(mirror.b, EVA, last_name="Adler")
        found = await ended(site, 6)
        assert mirror.names(EVA) == ("Adler", "Adler")
        mirror.edit(mirror.b, EVA, first_name="Eva")
        found = await ended(site, 8)
        await site.idle()
    assert [fate.state for fate in found] == ["delivered", "echo"] * 4


async def test_edit_before_the_echo(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """A person was faster than our write: what he changed is routed although it comes when the write is marked."""
    async with relais(site, mirror):
        hanging = mirror.b.faults = ["hang"]
        mirror.edit(mirror.a, EVA, last_name="Adler")
        await site.until(lambda: not hanging, "the write is under way, and marked")
        mirror.edit(mirror.b, EVA, last_name="Berg")
        await site.until(lambda: mirror.a.written, "it was passed on")
        assert mirror.a.written[0]["last_name"] == "Berg"


async def test_told_twice(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """A platform that tells each change twice makes no more of it: the same content is the same echo."""
    mirror.a.tells = mirror.b.tells = 2
    async with relais(site, mirror):
        mirror.edit(mirror.a, EVA, last_name="Adler")
        found = await ended(site, 6)
        await site.idle()
    assert sorted(fate.state for fate in found) == ["delivered"] * 2 + ["echo"] * 4
    assert mirror.a.written == []


@pytest.mark.parametrize("said", [True, False])
async def test_tells_only_who(site: WorkerFixture, mirror: MirrorSystems, said: bool) -> None:
    """What tells nothing but an address is an echo once, where the book says `echoes:`; else it is nobody's."""
    mirror.b.thin = True
    async with relais(site, mirror, more="echoes: SYSTEM" if said else ""):
        mirror.edit(mirror.a, EVA, last_name="Adler")
        await ended(site, 2)
        mirror.edit(mirror.b, EVA, last_name="Berg")
        found = await ended(site, 3)
    assert [fate.state for fate in found] == ["delivered", "echo" if said else "delivered", "delivered"]


async def test_their_names(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """A field has another name there, in what is written and in what is told: it is compared all the same."""
    async with relais(site, mirror, more="contacts: {fields: {last_name: familyName}}"):
        mirror.edit(mirror.a, EVA, last_name="Adler")
        first, echo = await ended(site, 2)
        assert mirror.b.written[0] == {"email": EVA, "familyName": "Adler"}
        mirror.edit(mirror.b, EVA, familyName="Berg")
        _, _, edited = await ended(site, 3)
    assert (first.state, echo.state, edited.state) == ("delivered", "echo", "delivered")


async def test_two_at_once(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """Several changes of several people on both sides at once: each goes over once, and all ends."""
    people = [f"p{n}@example.org" for n in range(6)]
    async with relais(site, mirror):
        for n, email in enumerate(people):
            mirror.edit((mirror.a, mirror.b)[n % 2], email, last_name="Adler")
            mirror.edit((mirror.a, mirror.b)[n % 2], email, last_name="Berg")
        found = await ended(site, 4 * len(people))
        await site.idle()
    assert [mirror.names(email) for email in people] == [("Berg", "Berg")] * len(people)
    assert sorted(fate.state for fate in found) == ["delivered"] * 12 + ["echo"] * 12


@pytest.mark.usefixtures("impatient")
async def test_lost_answer(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """It was written and the answer is lost: the echo of either attempt is one."""
    mirror.b.faults = ["lost"]
    async with relais(site, mirror):
        mirror.edit(mirror.a, EVA, last_name="Adler")
        await site.until(lambda: len(mirror.b.told) == 2, "it was written twice")
        found = await ended(site, 3)
        await site.idle()
    assert [fate.state for fate in found].count("echo") == 2
    assert mirror.a.written == []


async def test_refused(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """What a system refuses never comes back: nothing is remembered of it."""
    mirror.b.faults = ["refused"]
    async with relais(site, mirror):
        mirror.edit(mirror.a, EVA, last_name="Adler")
        (first,) = await ended(site, 1)
        assert first.state == "dead"
        assert await site.mailroom.store.keys("*echo*") == []
        mirror.edit(mirror.b, EVA, last_name="Adler")
        found = await ended(site, 2)
    assert found[1].state == "delivered"


async def test_killed_between_mark_and_write(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """Whoever sends it after a death marks it once more; what comes back is an echo."""
    write(site, mirror)
    with receive(site.book, site.url, mirror):
        async with site.work() as drain:
            mirror.b.faults = ["hang"]
            mirror.edit(mirror.a, EVA, last_name="Adler")
            await site.until(lambda: not mirror.b.faults, "it is marked, and not written")
            assert len(await site.mailroom.store.keys("relais:{p0}:echo:b:*")) == 1
            await site.mailroom.bury([drain.name])
            await site.until(site.running.done, "the drain notices")
        async with site.work():
            found = await ended(site, 2)
            await site.idle()
    assert [fate.state for fate in found] == ["delivered", "echo"]
    assert (len(mirror.b.told), mirror.a.written) == (1, [])


async def test_reroute(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """A person has an echo routed after all; who asks for what no rule wanted does not mean echoes."""
    async with relais(site, mirror):
        mirror.edit(mirror.a, EVA, last_name="Adler")
        _, echo = await ended(site, 2)
        shelf = AsideShelf(Operator(site.mailroom), "unmatched")
        assert await shelf.find(Selection()) == []
        (one,) = await shelf.find(Selection(code=ECHO))
        assert (one.id, one.code) == (echo.id, ECHO)
        assert await shelf.find(Selection(ids=frozenset({echo.id}))) == [one]
        kept = await kept_payload(site.mailroom, echo.id)
        assert kept is not None
        assert site.context.books.current is not None
        again, _ = read_kept(site.context.books.current.sources["b"], echo.id, kept.head, kept.body)
        line = ledger.taken_in(echo.id, shelf="unmatched")
        assert await site.mailroom.take_in("unmatched", echo.id, [again], line) == "done"
        found = await ended(site, 3)
        await site.idle()
    told = {fate.id: fate for fate in found}
    assert (told[echo.id].state, told[echo.id].echo_of) == ("delivered", "")
    assert len(mirror.a.written) == 1
    assert [fate.state for fate in found] == ["delivered", "delivered", "echo"]


@pytest.mark.parametrize(
    ("received", "is_echo"), [(5_000, True), (-4_000, True), (-6_000, False), (600_000, True), (600_001, False)]
)
def test_time(received: int, is_echo: bool) -> None:
    """An echo is told after the write, but for clocks that differ a little, and within its time."""
    now = 1_700_000_000_000
    mark = EchoMark("e1.0", ("contact.changed",), now, now + 600_000, {})
    one = replace(event("e2", type="contact.changed"), received_at=from_epoch(now + received))
    assert _is_in_time(one, mark) == is_echo


@pytest.mark.usefixtures("impatient")
async def test_full_store(site: WorkerFixture, mirror: MirrorSystems) -> None:
    """A store without memory keeps no marks, and what waits is sent all the same."""
    async with relais(site, mirror):
        hanging = mirror.b.faults = ["hang", "refused"]
        mirror.edit(mirror.a, EVA, last_name="Adler")
        await site.until(lambda: len(hanging) == 1, "it is under way")
        found = await list_fates(site.mailroom)
        before = await site.mailroom.store.keys("*echo*")
        await site.mailroom.store.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreFull):
                await site.mailroom.put([event("no room")])
            await site.until_true(lambda: is_dead(site, found[0].id), "the second attempt was sent, and refused")
            assert await site.mailroom.store.keys("*echo*") == before
        finally:
            await site.mailroom.store.config_set("maxmemory", 0)


async def is_dead(site: WorkerFixture, id: str) -> bool:
    """Say whether the store knows that an event's delivery is dead."""
    return (await site.fate(id)).state == "dead"


async def test_bug(site: WorkerFixture, mirror: MirrorSystems, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the guard cannot read, it does not keep from going on."""

    def fail(*_: object) -> str:
        raise RecursionError

    async with relais(site, mirror):
        monkeypatch.setattr(echo, "tell_content", fail)
        mirror.a.faults = ["refused"]
        mirror.edit(mirror.a, EVA, last_name="Adler")
        found = await ended(site, 2)
        assert [fate.state for fate in found] == ["delivered", "dead"]
        monkeypatch.setattr(echo, "list_written", fail)
        mirror.edit(mirror.a, EVA, last_name="Berg")
        await site.until(lambda: mirror.names(EVA)[1] == "Berg", "it was sent")
        mirror.a.faults = ["refused"]
