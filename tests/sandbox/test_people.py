import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox import people

RECORDED = Path(__file__).parents[2] / "console" / "demo" / "fixtures" / "seminardesk"


def bookings() -> Iterator[Mapping[str, Any]]:
    """Yield every booking in the recorded webhook bodies."""
    for file in sorted(RECORDED.glob("booking.*.json")):
        for notification in json.loads(file.read_text())["notifications"]:
            if "booker" in notification["payload"]:
                yield notification["payload"]


@pytest.mark.parametrize("booking", list(bookings()), ids=lambda booking: str(booking["id"]))
def test_bookers_are_known(booking: Mapping[str, Any]) -> None:
    """Whoever books in a recorded body is the person that the look-up by id answers, and the booking is hers."""
    person = people.person(booking["booker"]["id"])
    assert person is not None
    assert person["name"] == booking["booker"]["name"]
    seeded = people.booking(booking["id"])
    assert seeded is not None
    assert seeded["booker"] == booking["booker"]


def test_everybody_is_invented() -> None:
    """All addresses lie in a domain that nobody owns."""
    for number in (*people.PERSONS, 1, 123456):
        person = people.person(number)
        assert person is not None
        assert person["email"].endswith("@example.org")


@pytest.mark.parametrize("make", [people.person, people.booking, people.invoice])
def test_nobody(make: Any) -> None:
    """From 900000 on there is nothing."""
    assert make(people.UNKNOWN_FROM - 1) is not None
    assert make(people.UNKNOWN_FROM) is None
    assert make(0) is None
