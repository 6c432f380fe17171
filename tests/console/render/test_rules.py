from typing import Any

import pytest
from rich.console import Console

from console.render import rules


def of(state: str, **more: Any) -> dict[str, Any]:
    usual = {"rule": "a " * 40 + state, "file": "10.yaml", "line": 3, "fired": 0, "observed": 0, "unreached": 0}
    return {**usual, "fired_in_31_days": 0, "last": None, "state": state, **more}


ALL = [
    of("fires", fired=412_000, last="2026-11-28T14:02:03.000Z"),
    of("fires", fired=1, unreached=2, last="2026-11-28T14:02:03.000Z"),
    of("quiet", last="2026-11-01T14:02:03.000Z"),
    of("observed", observed=7, last="2026-11-28T14:02:03.000Z"),
    of("never"),
    of("never_reached", unreached=3),
    of("off"),
]


@pytest.mark.parametrize("width", [80, 200])
def test_coverage(width: int) -> None:
    """Each rule has its count, when it was the last time and a remark; nothing is wider than the terminal."""
    console = Console(width=width, color_system=None)
    with console.capture() as found:
        console.print(rules.coverage({"rules": ALL}))
    lines = found.get().splitlines()
    assert max(map(len, lines)) <= width
    if width == 200:
        assert [line.split()[-1] for line in lines[1:]] == ["14:02", "too", "then", "sent", "fired", "events", "false"]
        assert lines[4].split()[41:43] == ["7", "2026-11-28"]


def test_summary() -> None:
    """It says how many rules never fired, and since when that is known."""
    about = {"book": "b1", "since": "2026-11-21", "counted_since": "2026-11-01", "rules": ALL}
    assert rules.summary(about) == "book b1, since 2026-11-21 (UTC); 2 of 7 rules never fired since 2026-11-01"
    assert rules.summary({**about, "counted_since": None}) == "Nothing has been counted yet."
