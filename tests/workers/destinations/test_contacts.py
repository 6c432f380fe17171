import pytest
from pydantic import ValidationError

from workers.destinations.contacts import (
    ADD_NOTE,
    SET_CONSENT,
    UPSERT_CONTACT,
    AddNote,
    SetConsent,
    UpsertContact,
    flatten,
)


def test_upsert_writes_the_email() -> None:
    """An upsert writes the contact of the e-mail, and only without one that of the external id."""
    both = UpsertContact(email="Eva@example.org", external_id="7")
    assert UPSERT_CONTACT.writes(both) == "email:eva@example.org"
    assert UPSERT_CONTACT.writes(UpsertContact(external_id="7")) == "id:7"


def test_note_and_upsert_of_one_person_write_one_object() -> None:
    """A note never overtakes the contact it belongs to: both write the same object."""
    note = AddNote(email="eva@example.org", phone="+4930123", text="x")
    assert ADD_NOTE.writes(note) == UPSERT_CONTACT.writes(UpsertContact(email="eva@example.org"))
    assert ADD_NOTE.writes(AddNote(phone="+4930123")) == "phone:+4930123"


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
    assert ADD_NOTE.writes(AddNote(phone=given)) == f"phone:{key}"
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
    assert SET_CONSENT.writes(given) == SET_CONSENT.writes(withdrawn)
    assert SET_CONSENT.once_by(given) != SET_CONSENT.once_by(withdrawn)
    assert SET_CONSENT.once_by(given) == SET_CONSENT.once_by(given.model_copy())
    assert SET_CONSENT.keep_always


def test_flat() -> None:
    """What is null is not written, and a new e-mail replaces the old one."""
    upsert = UpsertContact.model_validate(
        {"email": "a@example.org", "new_email": "b@example.org", "phone": None, "address": {"city": "", "street": None}}
    )
    assert flatten(upsert) == {"email": "b@example.org", "address.city": ""}
