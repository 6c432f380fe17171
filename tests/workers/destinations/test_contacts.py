from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from rules.catalogue import Name
from workers.destinations.contacts import (
    ADD_NOTE,
    SET_CONSENT,
    UPSERT_CONTACT,
    AddNote,
    SetConsent,
    UpsertContact,
    flatten,
)
from workers.destinations.invoices import InvoiceLine
from workers.destinations.maileon import Unsubscribe

EMAIL = Name("email", "eva@example.org")
PHONE = Name("phone", "+4930123456")
WEAK_PHONE = Name("phone", "+4930123456", weak=True)


def test_names_of_an_upsert() -> None:
    """An upsert touches whatever it is found by, what it is renamed to, and weakly its telephone; each name once."""

    def names(**arguments: str) -> tuple[Name, ...]:
        return UPSERT_CONTACT.touches(UpsertContact(**arguments))

    renamed = names(external_id="7", email="Eva@example.org", new_email="eve@example.org", phone="+4930123456")
    assert renamed == (Name("external_id", "7"), EMAIL, Name("email", "eve@example.org"), WEAK_PHONE)
    assert names(external_id="7") == (Name("external_id", "7"),)
    assert names(email="eva@example.org", new_email="EVA@example.org") == (EMAIL,)
    assert names(email="eva@example.org", phone="") == names(email="eva@example.org", phone=" ") == (EMAIL,)


def test_one_contact_is_one_effect() -> None:
    """Upserts of one e-mail are one effect, and those of one external id where there is no e-mail."""
    assert UPSERT_CONTACT.once_by is not None
    assert UPSERT_CONTACT.once_by(UpsertContact(email="Eva@example.org", external_id="7")) == "email:eva@example.org"
    assert UPSERT_CONTACT.once_by(UpsertContact(external_id="7")) == "external_id:7"


def test_names_of_a_note() -> None:
    """A note touches its person; the caller's number keeps notes in order only where nothing else names the caller."""
    note = AddNote(email="eva@example.org", phone="+4930123456", text="x")
    assert ADD_NOTE.touches(note) == (EMAIL, WEAK_PHONE)
    assert ADD_NOTE.touches(AddNote(email="eva@example.org")) == (EMAIL,)
    assert ADD_NOTE.touches(AddNote(phone="+4930123456")) == (PHONE, WEAK_PHONE)


def test_kinds_never_meet() -> None:
    """The same text as an address and as an external id are two names, and a weak name is told by a sign."""
    assert EMAIL.key != Name("external_id", "eva@example.org").key
    assert (str(EMAIL), str(WEAK_PHONE), WEAK_PHONE.key) == (
        "email:eva@example.org",
        "~phone:+4930123456",
        PHONE.key,
    )


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("+49 (0)30 123456", "+4930123456"),
        ("tel:+49-30-123456", "+4930123456"),
        ("+49 30 123456 ext. 3", "+4930123456;ext=3"),
        ("030 123456", "030 123456"),
        ("in the evening", "in the evening"),
    ],
)
def test_one_number_is_one_argument(given: str, key: str) -> None:
    """However a number is written, it is one object and one value; without its country it stays as it was given."""
    assert ADD_NOTE.touches(AddNote(phone=given)) == (Name("phone", key), Name("phone", key, weak=True))
    assert flatten(UpsertContact(email="eva@example.org", phone=given)) == {"email": "eva@example.org", "phone": key}


def test_number_that_is_cleared() -> None:
    """An empty number clears the one that is there; a note needs somebody."""
    assert flatten(UpsertContact(email="eva@example.org", phone="")) == {"email": "eva@example.org", "phone": ""}
    assert AddNote.model_validate({"phone": 30123456}).phone == "30123456"
    with pytest.raises(ValidationError):
        AddNote(phone="")


def test_consents_of_other_values_are_other_effects() -> None:
    """Giving and withdrawing are two effects on one object; saying the same twice is one."""
    assert SET_CONSENT.once_by is not None
    given, withdrawn = (SetConsent(email="eva@example.org", newsletter=value) for value in (True, False))
    assert SET_CONSENT.touches(given) == SET_CONSENT.touches(withdrawn) == (EMAIL,)
    assert SET_CONSENT.once_by(given) != SET_CONSENT.once_by(withdrawn)
    assert SET_CONSENT.once_by(given) == SET_CONSENT.once_by(given.model_copy())
    assert SET_CONSENT.keep_always


@pytest.mark.parametrize(
    ("consents", "leaves"),
    [
        ({"newsletter": False}, True),
        ({"newsletter": True, "tracking": False}, True),
        ({"newsletter": True, "tracking": True}, False),
        ({}, False),
    ],
)
def test_who_agrees_does_not_leave(consents: dict[str, bool], leaves: bool) -> None:
    """Only a consent that is withdrawn ends what waits."""
    assert SET_CONSENT.leaves(SetConsent(email="eva@example.org", **consents)) is leaves


def test_flat() -> None:
    """What is null is not written, and a new e-mail replaces the old one."""
    upsert = UpsertContact.model_validate(
        {"email": "a@example.org", "new_email": "b@example.org", "phone": None, "address": {"city": "", "street": None}}
    )
    assert flatten(upsert) == {"email": "b@example.org", "address.city": ""}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        (5.0, "5"),
        (5.5, "5.5"),
        (1e-7, "0.0000001"),
        (True, "true"),
        (False, "false"),
        (10**15, "1" + "0" * 15),
    ],
)
def test_d5t_numbers_are_text(value: Any, text: str) -> None:
    """D5t: a number, true or false where text is wanted is the same text at every action."""
    contact = UpsertContact(email="eva@example.org", first_name=value, address={"postal_code": value})
    assert (contact.first_name, contact.address and contact.address.postal_code) == (text, text)
    assert AddNote(email="eva@example.org", text=value).text == text
    assert InvoiceLine(text=value, unit_price=Decimal(1)).text == text
    assert Unsubscribe(email="eva@example.org", reason=value).reason == text


@pytest.mark.parametrize("value", [{}, [], ["Eva"]])
def test_no_text(value: Any) -> None:
    """Lists and groups are no text."""
    with pytest.raises(ValidationError):
        UpsertContact(email="eva@example.org", first_name=value)
