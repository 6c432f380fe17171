import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from receiver import errors, intake, verification
from receiver.request import RawRequest
from receiver.sources.base import Batch, SourceItem
from receiver.sources.magnetis import EVENTS, FIELDS, SOURCE, MagnetisOptions, find_type
from rules import event_types
from rules.rulebook import Source, Verify
from tests.receiver import fixtures

CALL: dict[str, Any] = {"id": "call-1", "caller_number": "+33199001234"}


def unpack(body: Any, event: str | None = "call:completed", **options: Any) -> Batch:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SOURCE.unpack(fixtures.verified(raw), MagnetisOptions.model_validate(options), event)


def read(item: SourceItem) -> dict[str, Any]:
    assert item.type is not None
    assert item.invalid is None
    return dict(SOURCE.read(item.type, item.body))


@pytest.mark.parametrize("event", [*EVENTS, "call:missed", "Call.Completed", "lead-created"])
def test_events(event: str) -> None:
    """The five events are known in the vendor's spelling and in any other."""
    assert find_type(event) in event_types.TYPES


@pytest.mark.parametrize(
    ("event", "code"), [(None, "missing_event"), ("", "missing_event"), ("call:transferred", "unknown_event")]
)
def test_no_such_event(event: str | None, code: str) -> None:
    """A URL without an event that we take is refused, and says which there are."""
    with pytest.raises(errors.NotFound, match=code) as caught:
        unpack(CALL, event)
    assert "call_ringing" in caught.value.hint


def test_documented_body() -> None:
    """The call stands under `data`; its account, numbers, times and campaign are read."""
    item = fixtures.unpacked("magnetis/call_completed.plain.json").items[0]
    assert read(item) == {
        "id": "call-5b8f2a10-0000-4000-8000-000000000001",
        "account": {"id": "acc-5b8f2a10-0000-4000-8000-0000000000aa", "name": "Maison Exemple"},
        "caller": "+33 1 99 00 12 34",
        "callee": "+33199005678",
        "tracked_number": "+33199009999",
        "started_at": "2026-11-28T10:00:00.000Z",
        "duration": 184.0,
        "channel": "Google Ads",
        "utm_source": "google",
        "utm_medium": "cpc",
        "gclid": "invented-click",
    }
    assert item.subject == "call/call-5b8f2a10-0000-4000-8000-000000000001"
    assert item.phones == ("+33 1 99 00 12 34",)


def test_older_format() -> None:
    """The form of the older format is a call, too."""
    found = read(fixtures.unpacked("magnetis/call_completed.old_format.form").items[0])
    assert (found["id"], found["tracked_number"], found["channel"]) == (990001, "0033199009999", "Google Ads")
    assert found["started_at"] == "2019-09-01T10:00:00.000Z"


@pytest.mark.parametrize("name", ["several", "list"])
def test_batches(name: str) -> None:
    """An array of objects, or a list under `data`, is several calls."""
    items = fixtures.unpacked(f"magnetis/call_completed.{name}.json").items
    assert [item.position for item in items] == [0, 1]
    assert len({item.sender_id for item in items}) == 2


def test_element_that_is_no_object() -> None:
    """An element of a list that is no object is quarantined, and the others are read."""
    first, second = unpack({"data": [5, CALL]}).items
    assert str(first.invalid) == "must be an object, as every element of data"
    assert read(second)["id"] == "call-1"


def ids(batch: Batch, **book: Any) -> list[str]:
    source = Source("tel", "magnetis", MagnetisOptions(), Verify(none="invented for a test"), **book)
    return [intake.build_event(item, source, intake.format_now()).id for item in batch.items]


def test_one_event_for_a_call_that_ended() -> None:
    """A call that is told again with more fields, or once as missed and once as completed, is one event."""
    once = ids(unpack({"data": CALL}))
    assert once == ids(unpack({"data": {**CALL, "duration": 12}}))
    assert once == ids(unpack({"data": CALL}, "call:missed"))
    assert once != ids(unpack({"data": CALL}, "call:ringing"))
    assert once != ids(unpack({"data": {**CALL, "id": "call-2"}}))


def test_caller_as_order_key() -> None:
    """A call without an id is ordered by its caller, where the country of his number is known."""
    item = unpack({"caller": "01 99 00 12 34"}).items[0]
    source = Source("tel", "magnetis", MagnetisOptions(), Verify(none="invented for a test"), country="FR")
    assert intake.build_event(item, source, intake.format_now()).order_key == "phone:+33199001234"


def test_lead() -> None:
    """A lead is ordered by its address, and known by its id and number as well."""
    item = fixtures.unpacked("magnetis/lead_created.plain.json").items[0]
    assert item.order_key == "email:jean@example.org"
    assert item.names == ("magnetis:lead:lea-5b8f2a10-0000-4000-8000-000000000001",)
    assert item.phones == ("01 99 00 12 40",)


def test_map() -> None:
    """The book says where a field stands that is not found by its name; what came stays, read again it is the same."""
    said = {"caller": "item.contact.lines[0]", "channel": "item.visit.medium", "email": "item.nowhere"}
    body = {"id": "call-1", "contact": {"lines": ["+33199001234"]}, "visit": {"medium": "print"}, "caller": {}}
    (item,) = unpack({"data": body}, map=said).items
    found = read(item)
    assert (found["caller"], found["channel"]) == ("+33199001234", "print")
    assert found["visit"] == {"medium": "print"}
    (again,) = unpack(item.body, map=said).items
    assert (again.body, read(again)) == (item.body, found)


def test_zone() -> None:
    """Times without a zone are of the zone of the book, in winter as in summer; one with a zone keeps it."""
    for told, want in [
        ("2026-11-28 10:00:00", "2026-11-28T09:00:00.000Z"),
        ("2026-07-01 10:00:00", "2026-07-01T08:00:00.000Z"),
        ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00.000Z"),
    ]:
        (item,) = unpack({"data": {**CALL, "start_at": told}}, zone="Europe/Paris").items
        assert read(item)["started_at"] == want
        (again,) = unpack(item.body, zone="Europe/Paris").items
        assert read(again)["started_at"] == want


@pytest.mark.parametrize("place", ["body.event", "header.X-Event"])
def test_event_from_another_place(place: str) -> None:
    """The event's name may stand in the body or a header; where it does not, the URL tells it."""
    body = json.dumps({"event": "call:missed", "data": CALL}).encode()
    request = verification.trusted(RawRequest(body, ((b"x-event", b"call:missed"),)))
    options = MagnetisOptions(event=place)
    assert [item.type for item in SOURCE.unpack(request, options, "call_ringing").items] == ["call.missed"]
    assert [
        item.type for item in SOURCE.unpack(fixtures.verified(json.dumps(CALL).encode()), options, "call_ringing").items
    ] == ["call.ringing"]


def test_unknown_event_in_the_body() -> None:
    """An event that we do not take is answered 2xx where it stands in the request: the URL is right."""
    body = json.dumps({"event": "call:transferred", "data": CALL}).encode()
    (item,) = SOURCE.unpack(fixtures.verified(body), MagnetisOptions(event="body.event"), None).items
    assert item.type is None
    assert SOURCE.answer(Batch([item]), [None]) == (202, b'{"events":[]}')


@pytest.mark.parametrize(
    "said",
    [
        {"event": "query.event"},
        {"event": "body."},
        {"map": {"telefon": "item.caller"}},
        {"map": {"caller": "body.caller"}},
        {"zone": "Europe/Paname"},
        {"zone": "../etc"},
    ],
)
def test_options_that_cannot_be(said: dict[str, Any]) -> None:
    """Options that could never be found are refused when the book is checked."""
    with pytest.raises(ValidationError):
        MagnetisOptions.model_validate(said)


def test_names_are_fields() -> None:
    """Every name that we know a field by leads to a field of the model."""
    for topic, table in FIELDS.items():
        models = [model for type, model in event_types.TYPES.items() if type in SOURCE.kind.types and topic in type]
        assert set(table.values()) <= set(models[0].model_fields), topic


TEXT = st.text(max_size=20)
VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT)
ANY = st.recursive(VALUE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
NAMES = sorted({name for table in FIELDS.values() for name in table} | {"id", "caller", "email", "account", "data"})
BODY = st.dictionaries(st.sampled_from(NAMES) | TEXT, ANY, max_size=8)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(body=BODY, event=st.sampled_from(sorted(EVENTS)), wrapped=st.booleans(), mapped=st.booleans())
def test_any_body(body: dict[str, Any], event: str, wrapped: bool, mapped: bool) -> None:
    """Whatever the fields hold, an item is read or is invalid with a field, and read again it says the same."""
    said: dict[str, Any] = (
        {"map": {"caller": "item.email", "id": "item.data.id"}, "zone": "Europe/Paris"} if mapped else {}
    )
    for item in unpack({"data": body} if wrapped else body, event, **said).items:
        if item.invalid is not None:
            continue
        data = read(item)
        assert json.loads(json.dumps(data)) == data
        (again,) = unpack(item.body, event, **said).items
        assert (again.sender_id, again.order_key) == (item.sender_id, item.order_key)
