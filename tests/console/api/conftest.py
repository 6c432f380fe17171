"""What the tests of the private port need: a running console, and the command line that asks it."""

import pytest

from tests.conftest import PrivateValkey
from tests.console.api.console_process import begin
from tests.console.api.stuck_things import StuckConsole
from tests.console.conftest import Start


@pytest.fixture
def console(start: Start, valkey: PrivateValkey) -> str:
    """A running console on a store of its own; its address."""
    return begin(start, valkey.url)


@pytest.fixture
def relais(start: Start, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> StuckConsole:
    """The command line against a console on a store of its own."""
    return StuckConsole(begin(start, valkey.url), monkeypatch)
