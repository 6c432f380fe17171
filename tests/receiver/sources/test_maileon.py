import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver import errors, verification
from receiver.request import RawRequest
from receiver.sources.base import Batch, NoSourceOptions, SourceItem
from receiver.sources.maileon import EVENTS, FIELDS, SOURCE
from receiver.verification import Query
from rules import event_types
from tests.receiver import fixtures


def unpack(query: bytes = b"", body: bytes = b"", event: str | None = "unsubscription") -> Batch:
    return SOURCE.unpack(fixtures.verified(body, query=query), NoSourceOptions(), event)


def read(item: SourceItem) -> dict[str, Any]:
    assert item.type is not None
    assert item.invalid is None
    return dict(SOURCE.read(item.type, item.body))


def data(name: str) -> dict[str, Any]:
    return read(fixtures.unpacked(f"maileon/{name}").items[0])


@pytest.mark.parametrize("event", EVENTS)
def test_events(event: str) -> None:
    """Each of the vendor's five events has an address and a type of its own."""
    assert unpack(b"email=eva%40example.org", event=event).items[0].type == EVENTS[event]


@pytest.mark.parametrize(("event", "code"), [(None, "missing_event"), ("open", "unknown_event")])
def test_no_such_event(event: str | None, code: str) -> None:
    """A URL without an event that we take is refused, and says which there are."""
    with pytest.raises(errors.NotFound, match=code) as caught:
        unpack(b"email=eva%40example.org", event=event)
    assert "contact_field_change" in caught.value.hint


def test_parameters_alone() -> None:
    """Without a body the parameters of the URL are the contact; an external id keeps its zeros."""
    assert data("doi.plain.query") == {
        "email": "eva+neu@example.org",
        "external_id": "007",
        "happened_at": "2026-11-28T10:00:00.000Z",
        "mailing_id": 88,
        "first_name": "Eva",
        "last_name": "Müller",
    }


def test_plus_that_is_not_encoded() -> None:
    """A `+` that Maileon did not encode is a blank on the wire, and a `+` again in the address."""
    assert data("unsubscription.unencoded_plus.query")["email"] == "eva+neu@example.org"


def test_body() -> None:
    """Where the webhook sends JSON it is read, in the same names; the way of unsubscribing is in lower case."""
    found = data("unsubscription.body.json")
    assert (found["email"], found["external_id"], found["method"]) == ("jean@example.org", "4713", "link")


def test_identities() -> None:
    """The address is the order key and the external id the second name; alone it is the first."""
    both = fixtures.unpacked("maileon/doi.plain.query").items[0]
    assert both.order_key == "email:eva+neu@example.org"
    assert both.names == ("maileon:external:007",)
    assert fixtures.unpacked("maileon/unsubscription.external_only.query").items[0].order_key == "maileon:external:4714"


def test_token_is_no_field() -> None:
    """The token in the URL is checked and is nowhere in what is kept."""
    check = Query("token", (b"geheim-token",))
    raw = RawRequest(b"", (), b"email=eva%40example.org&token=geheim-token")
    request = verification.verify(raw, [check], 0)
    (item,) = SOURCE.unpack(request, NoSourceOptions(), "doi").items
    assert b"token" not in item.body
    assert "token" not in repr(item)


def test_moment_names_the_message() -> None:
    """What happened to one contact in one moment is one message; without a moment there is no id."""
    first, again = (unpack(b"email=eva%40example.org&timestamp=1795860000000").items[0] for _ in range(2))
    assert (first.sender_id, first.identity) == (again.sender_id, again.identity)
    other = unpack(b"email=jean%40example.org&timestamp=1795860000000").items[0]
    assert other.identity != first.identity
    assert "@" not in (first.sender_id or "")
    assert unpack(b"email=eva%40example.org").items[0].sender_id is None


def test_answer() -> None:
    """Maileon is answered 200."""
    status, body = SOURCE.answer(Batch([]), ["abc", None])
    assert (status, json.loads(body)) == (200, {"events": [{"id": "abc"}]})


TEXT = st.text(max_size=20)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(fields=st.dictionaries(st.sampled_from([*FIELDS, "token", "email"]) | TEXT, TEXT, max_size=8))
def test_any_parameters(fields: dict[str, str]) -> None:
    """Whatever the parameters hold, a contact is read, or is invalid with a field, or the request is refused."""
    try:
        items = unpack(urlencode(fields, errors="replace").encode(), event="contact_field_change").items
    except errors.NotParseable:
        return
    for item in items:
        if item.invalid is None:
            assert json.loads(json.dumps(read(item))) == read(item)
            assert item.order_key in item.identities or not item.identities


def test_fields_are_fields_of_the_models() -> None:
    """Every name that we know a field by leads to a field of a model."""
    known = {name for type in SOURCE.kind.types for name in event_types.TYPES[type].model_fields}
    assert set(FIELDS.values()) <= known
