from typing import Any

import pytest
from pydantic import ValidationError

from receiver import unread_fields
from rules.event_types.base import EventData, Reference, RequiredEmail, Word


class Visitor(EventData):
    """Somebody who comes."""

    age: int | None = None
    friend: Reference | None = None


class Party(EventData):
    """Who comes to it."""

    host: RequiredEmail
    first_guest: Visitor
    guests: list[Visitor] | None = None
    places: list[Reference] | None = None
    mood: Word | None = None


RIGHT = {"host": "eva@example.org", "firstGuest": {"age": 5}}


def fit(**more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    fields = RIGHT | more
    with pytest.raises(ValidationError) as caught:
        Party.model_validate(fields)
    model, unread = unread_fields.fit(Party, fields, "camelCase", caught.value)
    return model.data(), unread


@pytest.mark.parametrize(
    ("more", "unread"),
    [
        ({"mood": {}}, ("mood",)),
        ({"firstGuest": {"age": "old"}}, ("first_guest.age",)),
        ({"guests": [{"age": 5}, {"age": "old", "friend": {"id": 1}}]}, ("guests.age",)),
        ({"guests": [{"friend": {"name": "Ada"}}]}, ("guests.friend",)),
        ({"guests": [{"age": "old"}, 5]}, ("guests",)),
        ({"places": [{"id": 1}, {"name": "x"}], "mood": []}, ("places", "mood")),
        ({"places": "", "mood": 5}, ()),
    ],
)
def test_left_out(more: dict[str, Any], unread: tuple[str, ...]) -> None:
    """The innermost optional field goes; a list goes whole where an element cannot be without what does not fit."""
    if unread:
        assert set(fit(**more)[1]) == set(unread)
    else:
        assert fit(**more) == ({"host": "eva@example.org", "first_guest": {"age": 5}, "places": None, "mood": "5"}, ())


@pytest.mark.parametrize("more", [{"host": 5, "mood": {}}, {"firstGuest": 5}, {"firstGuest": "", "mood": {}}])
def test_needed(more: dict[str, Any]) -> None:
    """What cannot be left out stays an error, which names that field and no optional one."""
    with pytest.raises(ValidationError) as caught:
        fit(**more)
    assert [each["loc"][0] for each in caught.value.errors()] == ["host" if "host" in more else "first_guest"]


def test_sent_values_stay() -> None:
    """The fields that came are not changed."""
    fields = RIGHT | {"guests": [{"age": "old"}]}
    with pytest.raises(ValidationError) as caught:
        Party.model_validate(fields)
    unread_fields.fit(Party, fields, "camelCase", caught.value)
    assert fields["guests"] == [{"age": "old"}]
