import io
import sys

import pytest

from console.render import tables


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 s"),
        (999, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (3_599_999, "59 min"),
        (3_600_000, "1 h"),
        (86_399_999, "23 h"),
        (86_400_000, "1 d"),
        (20 * 86_400_000, "20 d"),
    ],
)
def test_duration(ms: float, text: str) -> None:
    """A time span is told in its largest whole unit."""
    assert tables.duration(ms) == text


def test_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe a table is as wide as it needs to be; stderr is asked for itself."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", terminal := io.StringIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert tables.out().width == tables.PIPE == 200
    assert tables.out(stderr=True).stderr is True
    assert tables.out().stderr is False
