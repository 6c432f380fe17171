"""The model is the code: walks through the model are made for real, and changed code is noticed."""

from collections.abc import Iterator

import pytest

from tests.conftest import PrivateValkey
from tests.mailroom.store import LUA, Loop, Store, replaced
from tests.model.mailroom import MailroomModel, MailroomSetup
from tests.model.replay import LESS, PEOPLE, SETUP, Replay

#: What the store does in the model; a walk that left one out would say nothing about it.
CARRIED_OUT = {
    *("put", "put again", "start", "take", "take again", "take lands", "settle", "settle lands", "due", "hear"),
    *("strays", "bury", "bury alive", "leave", "unhold"),
    *("not sent", "skip", "revive", "again", "drop"),
}
WALKS, STEPS = 40, 60


@pytest.fixture
def loop() -> Iterator[Loop]:
    """An event loop."""
    loop = Loop()
    yield loop
    loop.close()


def walk(loop: Loop, server: PrivateValkey, lua: str, setup: MailroomSetup = SETUP) -> set[str]:
    """Walk; return the kinds of steps that were made."""
    store = Store(server, lua)
    room = loop(store.open())
    seen: set[str] = set()
    try:
        for seed in range(WALKS):
            replay = Replay(loop, store, room, seed, MailroomModel(setup))
            replay.walk(STEPS)
            seen |= replay.seen
    finally:
        loop(room.close())
        loop(store.close())
    return seen


def test_model_is_the_code(loop: Loop, valkey: PrivateValkey) -> None:
    """After each step of a walk the real store holds what the model says, and every kind of step was made."""
    assert walk(loop, valkey, LUA) | walk(loop, valkey, LUA, PEOPLE) | walk(loop, valkey, LUA, LESS) >= CARRIED_OUT


@pytest.mark.parametrize(
    ("passage", "changed"),
    [
        ("  doubt = math.max(doubt, handed)\n", ""),
        ("local ours = s == 'l' and old_token == token", "local ours = s == 'l'"),
        (
            "if made ~= 1 and dereference(P, event, made - 1, retain, c) then",
            "if dereference(P, event, -1, retain, c) then",
        ),
        ("make_ready(P, room, box, 0, doubt, 0, false)", "make_ready(P, room, box, 0, 0, 0, false)"),
        ("drains_of(P, pool) - redis.call('LLEN', bell)", "drains_of(P, pool)"),
        ("redis.call('HEXISTS', P .. 'beats', drain) == 0", "false"),
        ("s == 'l' and known[room .. ' ' .. box .. ' ' .. token]", "s == 'l' and false"),
        ("if place <= handed then handed = handed - 1 end", ""),
    ],
)
def test_changed_code_is_noticed(loop: Loop, valkey: PrivateValkey, passage: str, changed: str) -> None:
    """Each of these changes to the Lua makes a walk fail."""
    with pytest.raises(AssertionError, match="the model"):
        walk(loop, valkey, replaced(LUA, passage, changed))


@pytest.mark.parametrize(
    ("passage", "changed"),
    [
        ("      if newness(P, waiting[k]) > its then\n        found = true\n        return\n      end\n", ""),
        ("if newest > its then found = true end", ""),
        ("if doubt > 0 and room ~= 'in' then died_in_doubt(P, item, room, names) end", ""),
        ("head.again.doubt[#head.again.doubt + 1] = what", ""),
        ("(string.gsub(record, '^{\"doubtful\":true,', '{'))", "record"),
        ("  dereference(P, event, -1, (terms(P, event)))\nend", "end"),
    ],
)
def test_changed_verb_is_noticed(loop: Loop, valkey: PrivateValkey, passage: str, changed: str) -> None:
    """Each of these changes to what people do makes a walk fail."""
    with pytest.raises(AssertionError, match="the model"):
        walk(loop, valkey, replaced(LUA, passage, changed), PEOPLE)


@pytest.mark.parametrize(
    ("passage", "changed"),
    [
        ("  if #others == 0 then return false end\n", "  if true then return false end\n"),
        ("if is_said(P, other[1], 'waits') and", "if"),
        ("number_of(P, other[1]) < number then", "true then"),
        ("    if untried then return nil end\n", ""),
        ("place <= math.max(doubt, handed)", "false"),
        ("  return dereference(P, event, -1, retain)\n", "  return false\n"),
        ("  if waited then stop_waiting(P, room, home) end\n", ""),
    ],
)
def test_changed_end_is_noticed(loop: Loop, valkey: PrivateValkey, passage: str, changed: str) -> None:
    """Each of these changes to how what waits ends makes a walk fail."""
    with pytest.raises(AssertionError, match="the model"):
        walk(loop, valkey, replaced(LUA, passage, changed), LESS)
