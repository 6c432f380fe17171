import json
from typing import Any

import pytest

from receiver import errors
from receiver.sources.base import NoSourceOptions
from receiver.sources.cmxorganize import SOURCE, TYPE
from rules.event_types.newsletter import Signup
from tests.receiver import fixtures

EVA = {
    "email": "eva@example.org",
    "salutation": "Frau",
    "title": "Dr.",
    "profession": "Ärztin",
    "last_name": "Muster",
    "first_name": "Eva",
    "purchase_id": "cmx0123456789abc",
    "single_user_tracking": True,
}


def data(name: str) -> Any:
    return SOURCE.read(TYPE, fixtures.unpacked(f"cmxorganize/{name}").items[0].body)


def test_eight_fields() -> None:
    """All eight fields are read by their German labels."""
    assert data("signup.german.json") == EVA
    assert EVA.keys() == Signup.model_fields.keys()


def test_form() -> None:
    """A form with German labels says the same as JSON."""
    assert data("signup.german.form") == EVA


def test_our_names() -> None:
    """Our own names are read too; a purchase id is text even if it comes as number."""
    ours = data("signup.ours.json")
    assert ours["purchase_id"] == "815"
    assert ours["email"] == "ada@example.org"


def test_consent_is_told_apart() -> None:
    """Tracking refused is false, tracking not mentioned is absent."""
    assert data("signup.without_tracking.json")["single_user_tracking"] is False
    assert "single_user_tracking" not in data("signup.few_fields.json")


def test_order_key() -> None:
    """The person's e-mail, in one spelling, is the order key."""
    item = fixtures.unpacked("cmxorganize/signup.few_fields.json").items[0]
    assert item.order_key == "email:kim@example.org"


def test_invalid() -> None:
    """Nobody is signed up by guessing: a sign-up without an e-mail does not fit."""
    [item] = fixtures.unpacked("cmxorganize/signup.invalid_no_email.json").items
    assert str(item.invalid) == "email: is missing"


def test_unreadable_consent() -> None:
    """A second consent that is neither yes nor no is not given, and is named; the sign-up goes on."""
    [item] = fixtures.unpacked("cmxorganize/signup.unread_tracking.json").items
    assert (item.invalid, item.unread) == (None, ("single_user_tracking",))
    assert "single_user_tracking" not in SOURCE.read(TYPE, item.body)


def test_f45_decomposed_umlaut() -> None:
    """F45: a label whose umlaut is written as a letter and two dots is the same label."""
    body = json.dumps({"E-Mail": "eva@example.org", "Namenspra\u0308fix": "Dr."}).encode()
    [item] = SOURCE.unpack(fixtures.verified(body), NoSourceOptions(), None).items
    assert SOURCE.read(TYPE, item.body) == {"email": "eva@example.org", "title": "Dr."}


def test_event_in_the_url() -> None:
    """The URL may say `newsletter`; it may not say something else."""
    body = (fixtures.FOLDER / "cmxorganize/signup.german.json").read_bytes()
    assert SOURCE.unpack(fixtures.verified(body), NoSourceOptions(), "newsletter").items[0].type == TYPE
    with pytest.raises(errors.NotFound, match="unknown_event"):
        SOURCE.unpack(fixtures.verified(body), NoSourceOptions(), "booking")
