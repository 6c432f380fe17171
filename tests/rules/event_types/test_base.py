import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import ValidationError

from rules import addresses
from rules.event_types.base import (
    EventData,
    Instant,
    Key,
    Localized,
    MayHaveEmail,
    Money,
    NumericId,
    RequiredEmail,
    Texts,
    Word,
    YesNo,
    from_epoch,
    lower,
    rfc3339,
)


class Thing(MayHaveEmail):
    """Every kind of field once."""

    at: Instant | None = None
    price: Money | None = None
    number: NumericId | None = None
    key: Key | None = None
    word: Word | None = None
    state: Annotated[Literal["open", "wait_list"], lower] | None = None
    agreed: YesNo = None
    title: Localized | None = None
    several: Texts | None = None
    post_code: str | None = None


def data(**fields: Any) -> dict[str, Any]:
    return Thing.model_validate(fields).data()


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        ("at", 1602144000000, "2020-10-08T08:00:00.000Z"),
        ("at", "1602144000000", "2020-10-08T08:00:00.000Z"),
        ("at", "2020-10-08T10:00:00+02:00", "2020-10-08T08:00:00.000Z"),
        ("at", "2020-10-08T08:00:00", "2020-10-08T08:00:00.000Z"),
        ("at", "2020-10-08T08:00:00.1239Z", "2020-10-08T08:00:00.123Z"),
        ("price", 240.0, 240.0),
        ("price", 0.1 + 0.2, 0.3),
        ("price", "19.995", 20.0),
        ("price", -400, -400.0),
        ("number", 709, 709),
        ("number", "709", 709),
        ("key", "709", 709),
        ("key", "37eb4c57", "37eb4c57"),
        ("key", "0" * 30, "0" * 30),
        ("email", " Eva@Example.ORG ", "Eva@example.org"),
        ("email", "Eva Muster <eva@bücher.example>", "eva@xn--bcher-kva.example"),
        ("email", "", None),
        ("email", " ", None),
        ("word", " WAIT_LIST ", "wait_list"),
        ("state", "WAIT_LIST", "wait_list"),
        ("agreed", "Ja", True),
        ("agreed", "nein", False),
        ("agreed", 1, True),
        ("agreed", "", None),
        ("title", [{"language": "DE", "value": "Yoga"}, {"language": "EN"}], {"de": "Yoga"}),
        ("title", "Yoga", {"und": "Yoga"}),
        ("several", "B-1", ["B-1"]),
        ("several", ["B-1", "B-2"], ["B-1", "B-2"]),
        ("several", " ", []),
        ("post_code", 10115, "10115"),
    ],
)
def test_read(field: str, given: Any, expected: Any) -> None:
    """What platforms write is read into one shape, and is plain JSON."""
    found = data(**{field: given})
    assert found == {field: expected}
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("at", "gestern"),
        ("at", 10**30),
        ("price", "NaN"),
        ("price", 1e40),
        ("price", "teuer"),
        ("number", True),
        ("number", -1),
        ("number", 2**70),
        ("number", "9999999999999999999"),
        ("number", "7a"),
        ("key", True),
        ("key", 1.5),
        ("key", ""),
        ("key", "x" * 256),
        ("email", {"private": "eva@example.org"}),
        ("state", "closed"),
        ("agreed", "vielleicht"),
        ("title", [{"value": "Yoga"}]),
        ("title", [1]),
    ],
)
def test_refused(field: str, given: Any) -> None:
    """What does not fit is an error at the field, without the value."""
    with pytest.raises(ValidationError) as caught:
        data(**{field: given})
    assert str(caught.value.errors()[0]["loc"][0]) == field
    assert "input_value" not in str(caught.value)


class NamedPerson(MayHaveEmail):
    """Somebody whom only the address names."""

    def is_nobody(self) -> bool:
        return True


class Needed(EventData):
    """Somebody whose address must be there."""

    email: RequiredEmail


NO_ADDRESSES = [
    ("eva", "email_no_at"),
    ("eva@", "email_bad_domain"),
    ("a@b@example.org", "email_several"),
    ("eva muster@example.org", "email_bad_local"),
    ("e" * 250 + "@example.org", "email_bad_local"),
    ("eva@" + "example." * 40 + "org", "email_too_long"),
    ("eva@exam\x00ple.org", "email_control_character"),
]


@pytest.mark.parametrize(("text", "code"), NO_ADDRESSES)
def test_no_address_beside_other_names(text: str, code: str) -> None:
    """What is no address is left out and named where other fields say whom it is about."""
    assert data(email=text, word="x") == {"word": "x", "left_out": {"email": code}}


@pytest.mark.parametrize("model", [NamedPerson, Needed])
@pytest.mark.parametrize(("text", "code"), NO_ADDRESSES)
def test_no_address_and_no_other_name(model: type[EventData], text: str, code: str) -> None:
    """What is no address is an error at the field where nothing else says whom it is about; it never has the value."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"email": text})
    [error] = caught.value.errors()
    assert error["loc"] == ("email",)
    assert error["msg"].removeprefix("Value error, ") == addresses.SENTENCES[code]
    assert text not in str(caught.value)


def test_required_email_is_there() -> None:
    """An empty text is no address either."""
    for given in ({}, {"email": ""}, {"email": None}):
        with pytest.raises(ValidationError):
            Needed.model_validate(given)
    assert Needed.model_validate({"email": "Eva@Example.org."}).data() == {"email": "Eva@example.org"}


def test_absent_and_null() -> None:
    """A field that was not sent is absent, one that was sent as null is null."""
    assert data(word=None) == {"word": None}
    assert data() == {}


def test_spellings() -> None:
    """A field is found in the platforms' spelling and in ours; errors and data name it in ours."""
    assert data(postCode="1") == data(post_code="1") == {"post_code": "1"}
    with pytest.raises(ValidationError) as caught:
        data(postCode=[])
    assert caught.value.errors()[0]["loc"] == ("post_code",)


def test_unknown_fields() -> None:
    """Fields that we do not know are kept."""
    assert data(fresh={"a": [1]}) == {"fresh": {"a": [1]}}


def test_money_in_the_model() -> None:
    """Inside, money is decimal."""
    assert Thing.model_validate({"price": 0.1}).price == Decimal("0.1")


def test_rfc3339() -> None:
    """Instants are written in UTC with milliseconds, from a datetime and from epoch time."""
    assert rfc3339(datetime(2026, 11, 21, 10, 0, 0, 999_999, UTC)) == "2026-11-21T10:00:00.999Z"
    assert from_epoch(1602144000007) == "2020-10-08T08:00:00.007Z"
    assert from_epoch(0) == "1970-01-01T00:00:00.000Z"
    for never in (-1, 10**15):
        with pytest.raises(ValueError, match="9999"):
            from_epoch(never)
