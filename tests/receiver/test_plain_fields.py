from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import field_names, plain_fields
from receiver.plain_fields import PlainReader
from rules import event_types
from rules.event_types.base import EventData
from rules.event_types.booking import Booking
from rules.event_types.call import PhoneCall
from rules.event_types.contact import AutomationStep, Contact

CONTACT = {"id": 7, "email": "eva@example.org", "first_name": "Eva", "status": "Subscribed", "shoe_size": 38}
#: Types that are read so.
FLAT = sorted(
    {kind for kind in event_types.TYPES.values() if plain_fields._plain(kind)}, key=lambda kind: kind.__name__
)

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 2**63 - 1, 2**63]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        [
            "",
            " ",
            "7",
            "007",
            "ja",
            "nein",
            "Subscribed",
            "OPTED_OUT",
            " new",
            "ÄRGER",
            "İ",
            "1990-05-17",
            "2026-11-29T08:00:00Z",
        ]
    ),
    st.sampled_from(["eva@example.org", "Eva@Example.org", "eva@münchen.example", "eva", " eva@example.org "]),
    st.just([]),
    st.just({"firstName": 1}),
)


def read_by_model(kind: type[EventData], fields: dict[str, Any]) -> EventData:
    """Return the model as pydantic makes it. Raises ValidationError."""
    model: EventData = kind.__pydantic_validator__.validate_python(fields, by_alias=False, by_name=True)
    return model


@st.composite
def records(draw: st.DrawFn) -> tuple[type[EventData], dict[str, Any]]:
    """A flat model, and fields of it and of nobody."""
    kind = draw(st.sampled_from(FLAT))
    names = st.sampled_from([*kind.model_fields, "shoe_size", "shoeSize", "firstName", "data", "Größe", "x1"])
    fields = draw(st.dictionaries(names, values, max_size=6))
    if draw(st.booleans()):
        fields["email"] = "eva@example.org"
    return kind, fields


@given(records())
def test_same_as_the_model(record: tuple[type[EventData], dict[str, Any]]) -> None:
    """Whatever is read past the model is what the model makes of it, and so is the model made of that."""
    kind, fields = record
    before = dict(fields)
    data = PlainReader().read(kind, fields)
    assert fields == before
    if data is None:
        return
    model = read_by_model(kind, fields)
    assert plain_fields.make(kind, data) == model
    expected = field_names.ours(model.data())
    assert data == expected
    assert [(name, type(data[name])) for name in sorted(data)] == [
        (name, type(expected[name])) for name in sorted(data)
    ]


#: A vendor's names; two of them mean the same field.
NAMES = {"mail": "email", "emailaddress": "email", "vorname": "first_name"}


@given(st.lists(records(), min_size=1, max_size=3), st.booleans())
def test_names_of_a_vendor(some: list[tuple[type[EventData], dict[str, Any]]], mail: bool) -> None:
    """Fields under a vendor's names are read as they are under ours; so is a shape that came, and what has empty texts.

    Of an empty text the model may have to tell, where it would not of nothing.
    """
    reader = PlainReader(field_names.Names(NAMES))
    for kind, fields in (*some, *some):
        theirs = {("Mail" if mail and name == "email" else name): value for name, value in fields.items()}
        ours = field_names.looked_up(theirs, field_names.Names(NAMES))
        expected = PlainReader().read(kind, ours) if len(ours) == len(theirs) else None
        found = reader.read(kind, theirs)
        blank = any(isinstance(value, str) and not value.strip() for value in theirs.values())
        assert found == expected or (blank and found is None)


def test_shapes_of_strangers() -> None:
    """Whatever names come, no more is kept of them than there is room for, and all are read."""
    reader = PlainReader(field_names.Names({}))
    for n in range(400):
        assert reader.read(Contact, {**CONTACT, f"field_{n}": n}) is not None
    assert reader.read(Contact, {**CONTACT, "x" * 5_000: 1}) is not None
    assert len(reader._plans) <= 256
    assert max(sum(map(len, names)) for _, names, _ in reader._plans) < 5_000


def test_contacts_are_read_so() -> None:
    """A usual contact needs no model, for all types of contacts."""
    assert {Contact, AutomationStep} <= set(FLAT)
    assert PlainReader().read(Contact, CONTACT) == {**CONTACT, "status": "subscribed"}
    model = plain_fields.make(Contact, {**CONTACT, "status": "subscribed"})
    assert isinstance(model, Contact)
    assert (model.email, model.status, model.sms, model.model_extra) == (
        "eva@example.org",
        "subscribed",
        None,
        {"shoe_size": 38},
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"email": "Eva@Example.org"},
        {"email": None},
        {"id": "7"},
        {"id": True},
        {"id": -1},
        {"first_name": 7},
        {"status": " New"},
        {"birthday": "1990-05-17"},
        {"labels": []},
        {"firstName": "Eva"},
    ],
)
def test_unusual(odd: dict[str, Any]) -> None:
    """Where a value may be another one afterwards, nothing is read past the model."""
    assert PlainReader().read(Contact, {**CONTACT, **odd}) is None


def test_nobody() -> None:
    """Without an address the model decides whether it is anybody."""
    assert PlainReader().read(Contact, {"first_name": "Eva"}) is None


@pytest.mark.parametrize("kind", [Booking, PhoneCall])
def test_other_types(kind: type[EventData]) -> None:
    """A model that looks at several fields, derives some or needs one is never read past."""
    assert PlainReader().read(kind, {"id": 7}) is None
