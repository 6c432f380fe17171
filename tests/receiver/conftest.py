import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PrivateValkey
from tests.receiver.port import Port


@pytest.fixture
def port(tmp_path: Path, valkey: PrivateValkey) -> Iterator[Port]:
    """A running receiver with the book of `tests.receiver.book`."""
    with Port(tmp_path, valkey.url, max_body=65_536, body_seconds=1) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    """One receiver for tables of requests that do not care what is in the store."""
    with tempfile.TemporaryDirectory(prefix="rl", dir="/tmp") as folder:
        server = PrivateValkey(Path(folder))
        server.start()
        try:
            with Port(tmp_path_factory.mktemp("receiver"), server.url, max_body=65_536, body_seconds=1) as running:
                yield running
        finally:
            server.stop(kill=True)
