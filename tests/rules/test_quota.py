from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from rules.quota import Quota

_quota: TypeAdapter[Quota] = TypeAdapter(Quota)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


@pytest.mark.parametrize(
    ("said", "now", "begins", "ends"),
    [
        ("5000/day", "2026-11-28T23:59:59+00:00", "2026-11-28T00:00:00+00:00", "2026-11-29T00:00:00+00:00"),
        (
            {"limit": "5000/day", "zone": "Europe/Paris"},
            "2026-11-28T23:30:00+00:00",
            "2026-11-28T23:00:00+00:00",
            "2026-11-29T23:00:00+00:00",
        ),
        (  # the day on which summer ends has 25 hours
            {"limit": "5000/day", "zone": "Europe/Paris"},
            "2026-10-25T12:00:00+00:00",
            "2026-10-24T22:00:00+00:00",
            "2026-10-25T23:00:00+00:00",
        ),
        ("9/month", "2026-12-31T23:00:00+00:00", "2026-12-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ("9/month", "2026-02-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"),
    ],
)
def test_pages(said: Any, now: str, begins: str, ends: str) -> None:
    """A day begins at midnight of its zone, however many hours it has; a month on its first day."""
    assert tuple(map(moment, _quota.validate_python(said).page(ms(now)))) == (begins, ends)


@pytest.mark.parametrize(
    "said", ["5000", "5000/hour", "0/day", {"limit": "5/day", "reserve": 5}, {"limit": "5/day", "zone": "Paris"}]
)
def test_refused(said: Any) -> None:
    """A quota without a page, of nothing, or whose reserve leaves nothing is none."""
    with pytest.raises(ValidationError):
        _quota.validate_python(said)
