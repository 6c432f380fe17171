import asyncio
import time
from collections.abc import Callable

import pytest

from console.access import Actor, PhraseRefused, Role, Sessions, SignInRefused, Users, sessions
from console.access.tokens import hash_secret
from mailroom import Mailroom

pytestmark = pytest.mark.anyio

PHRASE = "twelve signs"


async def named(mailroom: Mailroom, name: str = "eva") -> Sessions:
    """Return sessions of a store that knows one person by a pass phrase."""
    await Users(mailroom).add(name, Role.OPERATOR)
    found = Sessions(mailroom)
    await found.enter(await found.invite(name), PHRASE)
    return found


async def test_link(mailroom: Mailroom) -> None:
    """A link is worth one use, however often it is looked at, and ten minutes; of two presses one counts."""
    doors = Sessions(mailroom)
    link = await doors.invite("eva", role=Role.VIEWER)
    for _ in range(2):
        entry = await doors.look(link)
        assert entry is not None
        assert (entry.name, entry.role, entry.sets_phrase) == ("eva", Role.VIEWER, False)
    cookies = [cookie for cookie in await asyncio.gather(*(doors.enter(link) for _ in range(5))) if cookie]
    assert len(cookies) == 1
    assert await doors.find(cookies[0]) == Actor("eva", Role.VIEWER)
    assert await doors.look(link) is None
    assert await doors.enter("never one") is None
    [entry_key] = [name for name in await keys_of(mailroom, doors) if "entry:" in name]
    assert 590 < await mailroom.store.ttl(entry_key) <= 600


async def keys_of(mailroom: Mailroom, doors: Sessions) -> list[str]:
    await doors.invite("max")
    return [name.decode() async for name in mailroom.store.scan_iter()]


async def test_phrase(mailroom: Mailroom) -> None:
    """A named person sets a pass phrase of at least twelve characters by the link, and signs in with it."""
    await Users(mailroom).add("eva", Role.OPERATOR, payloads=True)
    doors = Sessions(mailroom)
    link = await doors.invite("eva")
    for short in ("", "eleven sign"):
        with pytest.raises(PhraseRefused):
            await doors.enter(link, short)
    with pytest.raises(PhraseRefused):
        await doors.enter(link, "x" * 1025)
    assert await doors.find(await doors.enter(link, PHRASE) or "") == Actor("eva", Role.OPERATOR, payloads=True)
    cookie = await doors.sign_in("eva", PHRASE, "192.0.2.1")
    assert await doors.find(cookie) == Actor("eva", Role.OPERATOR, payloads=True)
    for name, phrase in (("eva", PHRASE + "!"), ("nobody", PHRASE), ("eva", "")):
        with pytest.raises(SignInRefused) as refused:
            await doors.sign_in(name, phrase, "192.0.2.1")
        assert refused.value.wait == 0
    assert PHRASE not in str(await mailroom.store.hgetall(mailroom.key("users")))


async def test_slows_down(mailroom: Mailroom) -> None:
    """After five wrong pass phrases a person's next attempts wait, the right one too; of many at once one is tried."""
    doors = await named(mailroom)
    for n in range(5):
        with pytest.raises(SignInRefused) as refused:
            await doors.sign_in("eva", "a wrong phrase", f"192.0.2.{n}")
        assert refused.value.wait == 0
    tried = await asyncio.gather(
        *(doors.sign_in("eva", "a wrong phrase", f"192.0.2.{n}") for n in range(10)), return_exceptions=True
    )
    waits = [each.wait for each in tried if isinstance(each, SignInRefused)]
    assert (len(waits), waits.count(0)) == (10, 1)
    with pytest.raises(SignInRefused) as refused:
        await doors.sign_in("eva", PHRASE, "192.0.2.1")
    assert 1 <= refused.value.wait <= 30
    await Users(mailroom).add("max", Role.VIEWER)
    await doors.enter(await doors.invite("max"), PHRASE)
    assert await doors.sign_in("max", PHRASE, "192.0.2.1")


async def test_address(mailroom: Mailroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address from which many names are tried waits, too; who signs in from it rightly does not count."""
    monkeypatch.setitem(sessions.PATIENCE, "address", (3, 300))
    doors = await named(mailroom)
    for _ in range(4):
        await doors.sign_in("eva", PHRASE, "192.0.2.1")
    for n in range(4):
        with pytest.raises(SignInRefused):
            await doors.sign_in(f"guess{n}", PHRASE, "192.0.2.1")
    with pytest.raises(SignInRefused) as refused:
        await doors.sign_in("eva", PHRASE, "192.0.2.1")
    assert refused.value.wait > 0
    assert await doors.sign_in("eva", PHRASE, "192.0.2.2")


async def test_ends(mailroom: Mailroom) -> None:
    """A session ends by itself, by its person, with all of that person's, and with the person."""
    doors = await named(mailroom)
    one, two = [await doors.sign_in("eva", PHRASE, "192.0.2.1") for _ in range(2)]
    await doors.end(one)
    assert await doors.find(one) is None
    assert await doors.find(two) is not None
    link = await doors.invite("eva")
    await doors.end_all("eva")
    assert await doors.find(two) is None
    assert await doors.look(link) is None
    three = await doors.sign_in("eva", PHRASE, "192.0.2.1")
    assert await doors.find(three) is not None
    reset = await doors.reset("eva")
    assert await doors.find(three) is None
    with pytest.raises(SignInRefused):
        await doors.sign_in("eva", PHRASE, "192.0.2.1")
    four = await doors.enter(reset or "", PHRASE)
    assert await doors.find(four or "") is not None
    assert await doors.remove("eva")
    assert await doors.find(four or "") is None
    assert await doors.reset("eva") is None


async def test_role_counts_at_once(mailroom: Mailroom) -> None:
    """Who gets another role has it with the next request."""
    doors = await named(mailroom)
    cookie = await doors.sign_in("eva", PHRASE, "192.0.2.1")
    await Users(mailroom).change("eva", Role.VIEWER)
    assert await doors.find(cookie) == Actor("eva", Role.VIEWER)


async def test_lives(mailroom: Mailroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request gives a session eight hours more, and no more than are left of its sixteen."""
    clock: Callable[[], float] = time.time
    ahead = 0
    monkeypatch.setattr("console.access.sessions.time.time", lambda: clock() + ahead)
    doors = await named(mailroom)
    cookie = await doors.sign_in("eva", PHRASE, "192.0.2.1")
    key = mailroom.key(f"session:{hash_secret(cookie)}")
    left = []
    for _ in range(3):
        ahead += 8 * 3600 - 60
        left.append((await doors.find(cookie) is not None, await mailroom.store.ttl(key)))
    assert [found for found, _ in left] == [True, True, False]
    assert left[0][1] in range(8 * 3600 - 30, 8 * 3600 + 1)
    assert left[1][1] in range(90, 121)
    assert left[2][1] == -2
