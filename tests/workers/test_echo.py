"""What a write of ours and the event that tells of it share: names of fields, and values."""

from typing import Any

import pytest

from workers import echo
from workers.destinations.contacts import SetConsent, UpsertContact
from workers.destinations.maileon import Unsubscribe


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("FIRSTNAME", "first_name"),
        ("firstName", "first_name"),
        ("zip_code", "postalCode"),
        ("Mobile", "phone"),
        ("group_name", "group"),
    ],
)
def test_names(one: str, other: str) -> None:
    """A field has one name, however systems spell it."""
    assert echo.squash(one) == echo.squash(other)


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("lastname", "  Adler  ", "Adler", True),
        ("lastname", "Mu\u0308ller", "M\u00fcller", True),
        ("lastname", "adler", "Adler", False),
        ("email", "Eva@Example.ORG", "eva@example.org", True),
        ("phone", "030 / 12 34 56", "+4930123456", True),
        ("newsletter", True, "true", True),
        ("points", 5.0, "5", True),
        ("points", 5, 6, False),
    ],
)
def test_values(name: str, one: Any, other: Any, same: bool) -> None:
    """A value is the same as both write it; another spelling of a name is a change of a person."""
    assert (echo.normalize(name, one, "DE") == echo.normalize(name, other, "DE")) == same


def test_written() -> None:
    """What is written: nested, by our name and theirs; not what is left alone, is never sent, or stands beside it."""
    upsert = UpsertContact.model_validate(
        {
            "email": "eva@example.org",
            "new_email": "eva@example.com",
            "first_name": "Eva",
            "last_name": None,
            "address": {"city": "Wien", "postal_code": "1010"},
            "custom": {"Points": 5},
        }
    )
    theirs = {"first_name": "attributes.VORNAME", "address.city": ""}
    assert echo.list_written(upsert, theirs) == {
        "email": "eva@example.com",
        "firstname": "Eva",
        "vorname": "Eva",
        "zip": "1010",
        "points": 5,
    }
    consent = SetConsent(email="eva@example.org", newsletter=False)
    assert echo.list_written(consent, {}) == {"email": "eva@example.org", "newsletter": False}
    assert echo.list_written(Unsubscribe(email="eva@example.org", reason="no_demand"), {}) == {
        "email": "eva@example.org"
    }


def test_carried() -> None:
    """What an event carries: all values of a name, null as the empty text, no lists."""
    data = {"email": "eva@example.org", "a": {"city": "Wien"}, "b": {"City": "Graz"}, "last_name": None, "tags": ["x"]}
    assert echo.list_carried(data) == {"email": ["eva@example.org"], "city": ["Wien", "Graz"], "lastname": [""]}
    deep: Any = {"x": 1}
    for _ in range(1_000):
        deep = {"inner": deep}
    assert echo.list_carried(deep) == {}


def test_content() -> None:
    """The same content is the same whenever it is told, and in any order."""
    one = {"email": "eva@example.org", "labels": [{"b": 1, "a": 2}], "happened_at": "2026-01-01T10:00:00.000Z"}
    other = {"labels": [{"a": 2, "b": 1}], "email": "eva@example.org", "changedAt": 5}
    assert echo.tell_content(one) == echo.tell_content(other)
    assert echo.tell_content(one) != echo.tell_content({**one, "birthday": "1990-05-17"})
