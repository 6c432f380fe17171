"""Whatever is called, in whatever order: the mailroom is what its model says, and nothing is lost."""

from typing import Any, cast

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import PrivateValkey
from tests.mailroom.state_machine import Machine, profile
from tests.mailroom.store import LUA, Loop, Store


def run(server: PrivateValkey, chosen: settings, *, lua: str = LUA, crashes: bool = False) -> None:
    """Run the state machine against a server; raises what it found."""
    loop = Loop()
    store = Store(server, lua)
    room = loop(store.open())
    try:
        run_state_machine_as_test(cast("Any", lambda: Machine(loop, store, room, crashes=crashes)), settings=chosen)
    finally:
        loop(room.close())
        loop(store.close())
        loop.close()


def test_any_calls(site_valkey: PrivateValkey) -> None:
    """Any calls, each made once or twice, leave the mailroom as the model says."""
    run(site_valkey, profile(40, 40))


def test_killed_at_any_time(valkey: PrivateValkey) -> None:
    """A store that is killed between any two calls loses nothing that it acknowledged."""
    run(valkey, profile(4, 30), crashes=True)
