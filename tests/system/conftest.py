"""A house for each test, with a Valkey of its own that keeps its data on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Valkey
from tests.system.house import House
from tests.system.house import house as open_house


@pytest.fixture
def house(valkey: Valkey, tmp_path: Path) -> Iterator[House]:
    """The house; no process of ours may outlive it."""
    with open_house(valkey, tmp_path) as one:
        yield one
