import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    with open_shared(tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="module", params=[False, True], ids=["own", "plain"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    """The same over our own HTTP protocol and over uvicorn's plain one (RELAIS_PLAIN_HTTP)."""
    with open_shared(tmp_path_factory, plain_http=request.param) as running:
        yield running


@contextlib.contextmanager
def open_shared(tmp_path_factory: pytest.TempPathFactory, **settings: Any) -> Iterator[Port]:
    """Run a receiver with a store of its own."""
    with tempfile.TemporaryDirectory(prefix="rl", dir="/tmp") as folder:
        server = PrivateValkey(Path(folder))
        server.start()
        try:
            place = tmp_path_factory.mktemp("receiver")
            with Port(place, server.url, max_body=65_536, body_seconds=1, **settings) as running:
                yield running
        finally:
            server.stop(kill=True)
