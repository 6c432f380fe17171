import resource
from collections.abc import Iterator

import pytest

from receiver import connection_limits

ANY = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """The limits of the process, soft and hard; the last one counts."""
    known = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: known[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: known.append(wanted))
    connection_limits.most_connections.cache_clear()
    yield known
    connection_limits.most_connections.cache_clear()


@pytest.mark.parametrize(
    ("before", "after", "most"),
    [
        ((1024, 4096), (4096, 4096), 4096 - 128),
        ((1024, 1024), (1024, 1024), 1024 - 128),
        ((1024, 1_000_000), (65_536, 1_000_000), 65_536 - 128),
        ((1024, ANY), (65_536, ANY), 65_536 - 128),
        ((100_000, 200_000), (100_000, 200_000), 100_000 - 128),
        ((ANY, ANY), (ANY, ANY), 65_536 - 128),
    ],
)
def test_raise_limit(limits: list[tuple[int, int]], before: tuple[int, int], after: tuple[int, int], most: int) -> None:
    """The process allows itself as many descriptors as its user may have, keeps some back, and lowers no limit."""
    limits.append(before)
    connection_limits.most_connections()  # what was true before the limit was raised is not remembered
    connection_limits.raise_limit()
    assert limits[-1] == after
    assert connection_limits.most_connections() == most
