import json
from typing import Any

import pytest

from receiver import errors
from receiver.sources.base import Batch, NoSourceOptions
from receiver.sources.seminardesk import SOURCE
from tests.receiver import fixtures


def unpack(body: Any) -> Batch:
    return SOURCE.unpack(fixtures.verified(json.dumps(body).encode()), NoSourceOptions(), None)


def data(name: str) -> Any:
    item = fixtures.unpacked(f"seminardesk/{name}").items[0]
    assert item.type is not None
    return SOURCE.read(item.type, item.body)


def test_booking() -> None:
    """Status in lower case, our names, total and lines from guests and items, unknown fields kept."""
    booking = data("booking.create.confirmed.json")
    assert booking["status"] == "confirmed"
    assert booking["booker"] == {"id": 4711, "name": "Dr. Ada Beispiel"}
    assert booking["guests"][0]["seminar_date"]["id"] == 709
    assert booking["guests"][0]["seminar"]["id"] == 88
    assert booking["total"] == 400.0
    assert booking["lines"] == [
        {"text": "Yoga am See", "quantity": 1.0, "unit_price": 240.0, "tax_rate": 0.19},
        {"text": "Einzelzimmer", "quantity": 2.0, "unit_price": 80.0, "tax_rate": 0.07},
    ]
    assert booking["reference_numbers"] == ["B-2026-17"]
    assert booking["external_references"][0]["external_id"] == "CRM-4711"
    assert booking["notes"] == []


def test_free_booking() -> None:
    """A booking that costs nothing has a total of zero."""
    assert data("booking.create.free.json")["total"] == 0.0


def test_canceled_guests_pay_nothing() -> None:
    """Total and lines leave canceled guests out."""
    booking = data("booking.create.guests.json")
    assert booking["total"] == 360.0
    assert [line["unit_price"] for line in booking["lines"]] == [240.0, 120.0]


def test_deleted() -> None:
    """A deletion with its id as text has the id as number and nothing else: absent fields stay absent."""
    assert data("booking.delete.string_id.json") == {"id": 9001}


def test_times() -> None:
    """Times come as number or as text, and both are the same instant; a status of one word is its name."""
    number, text = data("eventDate.create.plain.json"), data("eventDate.create.string_times.json")
    assert number["begin_date"] == text["begin_date"] == "2026-12-04T18:00:00.000Z"
    assert text["status"] == {"name": "wait_list"}
    assert number["seminar_id"] == "37eb4c5704f8461b83dcf0723ab983e8"


def test_localized() -> None:
    """Texts are found by language; a language without a text is left out."""
    seminar = data("event.create.plain.json")
    assert seminar["title"] == {"de": "Yoga am See", "en": "Yoga by the lake"}
    assert seminar["booking_page_url"] == {"de": "https://haus.example.org/buchen/yoga"}
    assert seminar["teaser"] is None
    assert seminar["allow_voucher"] is True


def test_names_that_people_gave() -> None:
    """The names of additional fields stay as the house wrote them."""
    assert data("profile.create.person.json")["additional_fields"]["Ernährung"] == "vegetarisch"


def test_order_key_is_the_profile() -> None:
    """Bookings, invoices and profile events of one person share an order key."""
    keys = {
        fixtures.unpacked(f"seminardesk/{name}").items[0].order_key
        for name in ("booking.create.confirmed.json", "invoice.post.posted.json", "profile.create.person.json")
    }
    assert keys == {"seminardesk:profile:4711"}


def test_order_key_of_the_programme() -> None:
    """What was made, changed and deleted of one thing shares an order key; another thing has another."""

    def keys(noun: str, ids: list[str | int]) -> list[str | None]:
        told = [{"action": f"{noun}.delete", "payload": {"id": each}} for each in ids]
        return [item.order_key for item in unpack({"id": "1", "notifications": told}).items]

    made, changed, gone = (
        fixtures.unpacked(f"seminardesk/event.{name}.json").items[0].order_key
        for name in ("create.plain", "update.plain", "delete.string_id")
    )
    assert made == changed == gone == "seminardesk:seminar:37eb4c5704f8461b83dcf0723ab983e8"
    assert keys("event", ["7", "8"]) == ["seminardesk:seminar:7", "seminardesk:seminar:8"]
    assert keys("eventDate", [7]) == ["seminardesk:seminar_date:7"]
    assert keys("labelGroup", [7]) == ["seminardesk:label_group:7"]
    assert keys("facilitator", [7]) == keys("profile", [7]) == ["seminardesk:profile:7"]
    assert keys("booking", [7]) == ["seminardesk:booking:7"]


def test_our_names_for_the_vendors() -> None:
    """Where the vendor says event we say seminar: in every guest of a booking and in every line of an invoice."""
    guests = [{"id": n, "event": {"id": n + 10}, "eventDate": {"id": n + 20}} for n in (1, 2)]
    booking = {"id": 1, "status": "confirmed", "booker": {"id": 9}, "guests": guests}
    items = [{"id": n, "eventDateName": f"Yoga {n}"} for n in (1, 2)]
    told = [
        {"action": "booking.create", "payload": booking},
        {"action": "invoice.post", "payload": {"id": 5, "items": items}},
        {"action": "event.create", "payload": {"id": "7", "title": "Yoga", "infoBoardLoding": "Haus B"}},
    ]
    batch = unpack({"id": "1", "notifications": told})
    assert [item.invalid for item in batch.items] == [None, None, None]
    read = [SOURCE.read(item.type or "", item.body) for item in batch.items]
    assert [(each["seminar"]["id"], each["seminar_date"]["id"]) for each in read[0]["guests"]] == [(11, 21), (12, 22)]
    assert [each["seminar_date_name"] for each in read[1]["items"]] == ["Yoga 1", "Yoga 2"]
    assert read[2]["info_board_lodging"] == {"und": "Haus B"}


def test_identities() -> None:
    """Everybody in it can be found again: booker and guests, addresses and telephone numbers."""
    guests = fixtures.unpacked("seminardesk/booking.create.guests.json").items[0].identities
    assert guests == ("seminardesk:profile:4713", "seminardesk:profile:4715")
    person = fixtures.unpacked("seminardesk/profile.create.person.json").items[0]
    assert person.identities == ("seminardesk:profile:4711", "email:ada@example.org")
    assert person.phones == ("+49 (0)30 12345678",)


def test_names() -> None:
    """A profile is known by its id and its primary address; another or a billing address names nobody."""

    def names(**payload: Any) -> tuple[str | None, tuple[str, ...]]:
        whole = json.loads(fixtures.unpacked("seminardesk/profile.create.person.json").items[0].body)
        whole["payload"] |= payload
        (item,) = unpack({"id": "1", "notifications": [whole]}).items
        return item.order_key, item.names

    others = {"alternativeEmail": "other@example.org", "billingAddress": {"email": "bills@example.org"}}
    assert names(**others) == ("seminardesk:profile:4711", ("email:ada@example.org",))
    assert names(**others, email=None) == ("seminardesk:profile:4711", ())
    booking = fixtures.unpacked("seminardesk/booking.create.guests.json").items[0]
    assert (booking.order_key, booking.names) == ("seminardesk:profile:4713", ())


def test_no_address() -> None:
    """A profile whose address cannot be read is a profile all the same, and says what was left out."""
    item = fixtures.unpacked("seminardesk/profile.create.email_left_out.json").items[0]
    assert item.invalid is None
    assert item.identities == ("seminardesk:profile:4711",)
    data = SOURCE.read("profile.created", item.body)
    assert "email" not in data
    assert data["left_out"] == {"email": "email_no_at"}


def test_envelope() -> None:
    """Message id, position and time come from the envelope."""
    items = fixtures.unpacked("seminardesk/batch.programme.json").items
    assert [item.position for item in items] == [0, 1, 2, 3]
    assert len({item.sender_id for item in items}) == 1
    assert {item.time for item in items} == {"2026-11-18T11:08:20.000Z"}
    assert [item.subject for item in items] == [
        "labelGroup/2",
        "facilitator/4714",
        "event/37eb4c5704f8461b83dcf0723ab983e8",
        "eventDate/709",
    ]


@pytest.mark.parametrize(
    ("action", "type"),
    [
        ("invoice.post", "invoice.posted"),
        ("invoice.posted", "invoice.posted"),
        ("INVOICE.CANCEL", "invoice.canceled"),
        ("invoice.canceled", "invoice.canceled"),
        ("booking.statusChanged", "booking.status_changed"),
        ("eventDate.delete", "seminar_date.deleted"),
        ("EventDate.Delete", "seminar_date.deleted"),
        ("labelgroup.delete", "label_group.deleted"),
        ("profile.merge", "profile.merged"),
    ],
)
def test_spellings_of_actions(action: str, type: str) -> None:
    """Actions are read in any case, and the vendor's two spellings of one are the same."""
    batch = unpack({"id": "1", "notifications": [{"action": action, "payload": {"id": "12"}}]})
    assert batch.items[0].type == type
    assert batch.items[0].invalid is None or type == "booking.status_changed"


def test_invoice_without_envelope() -> None:
    """The vendor's document shows invoices without an envelope, so they are read so too."""
    item = fixtures.unpacked("seminardesk/invoice.post.without_envelope.json").items[0]
    assert (item.type, item.sender_id) == ("invoice.posted", None)


@pytest.mark.parametrize("stamp", [None, "soon", -1e30, 10**40, True, [], {"a": 1}])
def test_odd_timestamps(stamp: Any) -> None:
    """A timestamp that is none costs the time, not the event."""
    told = {
        "id": 7,
        "properties": {"timestamp": stamp},
        "notifications": [{"action": "profile.delete", "payload": {"id": 1}}],
    }
    item = unpack(told).items[0]
    assert item.sender_id == "7"
    assert item.invalid is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"id": "1", "notifications": []}, "no_notifications"),
        ({"id": "1"}, "no_notifications"),
        ({"id": "1", "notifications": None}, "no_notifications"),
        ({"id": "1", "notifications": {"action": "booking.delete"}}, "no_notifications"),
        ({}, "no_notifications"),
        ([], "not_an_object"),
        ("text", "not_an_object"),
    ],
)
def test_no_notifications(body: Any, code: str) -> None:
    """What holds no notifications is refused with 400."""
    with pytest.raises(errors.NotParseable) as caught:
        unpack(body)
    assert caught.value.code == code


@pytest.mark.parametrize("notification", [None, 1, "text", [], {}, {"action": None}, {"action": 5}, {"payload": {}}])
def test_odd_notifications(notification: Any) -> None:
    """What is no notification is not taken, and the others of the batch are."""
    batch = unpack({"id": "1", "notifications": [notification, {"action": "profile.delete", "payload": {"id": 1}}]})
    assert [item.type for item in batch.items] == [None, "profile.deleted"]


def test_answer() -> None:
    """The answer has one status per notification, in their order, an unknown action 400 inside of 200."""
    batch = fixtures.unpacked("seminardesk/batch.unknown_action.json")
    status, body = SOURCE.answer(batch, ["a", None, "b"])
    answer = json.loads(body)
    assert status == 200
    assert [(each["status"], each["action"]) for each in answer["notifications"]] == [
        (200, "booking.delete"),
        (400, "all.delete"),
        (200, "profile.delete"),
    ]
    assert answer["notifications"][0]["id"] == 9001
    assert answer["requestId"] == batch.items[0].sender_id
    assert answer["attempt"] == 1
    assert answer["events"] == [{"id": "a"}, {"id": "b"}]


def test_answer_names_ids_as_the_vendor_does() -> None:
    """Seminars and their dates are answered as `eventId` and `eventDateId`."""
    batch = fixtures.unpacked("seminardesk/batch.deletions.json")
    told = json.loads(SOURCE.answer(batch, ["a", "b", "c", "d"])[1])["notifications"]
    assert told[0]["eventId"] == "37eb4c5704f8461b83dcf0723ab983e8"
    assert told[1]["eventDateId"] == 709
    assert told[2]["facilitatorId"] == 4714
    assert told[3]["labelGroupId"] == 2


def test_a_retry_with_fewer_items() -> None:
    """An item is known by what the platform calls it, not by its place: a second attempt may send fewer."""
    items = [{"action": "profile.update", "payload": {"id": n, "objectType": "PERSON"}} for n in (1, 2)]
    first = unpack({"id": "req-1", "attempt": 1, "notifications": items}).items
    again = unpack({"id": "req-1", "attempt": 2, "notifications": items[1:]}).items
    assert (again[0].sender_id, again[0].identity, again[0].body) == (
        first[1].sender_id,
        first[1].identity,
        first[1].body,
    )
    assert first[0].identity != first[1].identity
    created = unpack({"id": "req-1", "notifications": [{**items[0], "action": "profile.create"}]}).items
    assert created[0].identity != first[0].identity


def one(action: str, payload: Any) -> Any:
    [item] = unpack({"notifications": [{"action": action, "payload": payload}]}).items
    return item


def recorded(name: str) -> Any:
    return json.loads((fixtures.FOLDER / "seminardesk" / name).read_text())["notifications"][0]["payload"]


def test_f01_labels_by_language() -> None:
    """F01: a label may be described in several languages."""
    label = {"id": 1, "name": "yoga", "description": [{"language": "DE", "value": "Ruhe"}], "pictureUrl": []}
    payload = {**recorded("event.create.plain.json"), "labels": [label]}
    item = one("event.create", payload)
    assert (item.invalid, item.unread) == (None, ())
    found = SOURCE.read(item.type, item.body)["labels"]
    assert found == [{"id": 1, "name": "yoga", "description": {"de": "Ruhe"}, "picture_url": {}}]


def test_f04_status_of_null() -> None:
    """F04: a booking whose status is null is pending, as the platform has it."""
    item = one("booking.create", {**recorded("booking.create.free.json"), "status": None})
    assert item.invalid is None
    assert SOURCE.read(item.type, item.body)["status"] == "pending"


def test_unread_in_depth() -> None:
    """The innermost optional field is left out; what it stands in, where that cannot be without it."""
    payload = recorded("booking.create.free.json")
    payload |= {"numberOfInvoices": "viele", "openBalance": "", "payments": [{"date": "0001-01-01", "id": 1}, 5]}
    payload["guests"][0]["guest"]["age"] = "alt"
    payload["guests"][0]["specialRequests"] = [{"name": "vegan"}]
    item = one("booking.create", payload)
    assert item.invalid is None
    assert sorted(item.unread) == ["guests.guest.age", "guests.special_requests", "number_of_invoices", "payments"]
    found = SOURCE.read(item.type, item.body)
    assert found["open_balance"] is None
    assert "payments" not in found
    assert found["total"] == 0.0


def test_unread_price() -> None:
    """Where a sum hangs on a field, nothing is left out: a booking stays unfit, of a deleted one all guests go."""
    payload = recorded("booking.create.guests.json")
    payload["guests"][0]["items"][0]["actualPrice"] = "teuer"
    item = one("booking.create", payload)
    assert item.invalid is not None
    assert item.invalid.field == "guests[0].items[0].actual_price"
    gone = one("booking.delete", payload)
    assert (gone.invalid, gone.unread) == (None, ("guests",))
    assert "total" not in SOURCE.read(gone.type, gone.body)


def test_d14s_half_a_character() -> None:
    """D14s: half a character, NUL or a tab in a text does not refuse the batch."""
    body = b'{"notifications": [{"action": "profile.delete", "payload": {"id": 4711, "name": "E\\u0000va\\ud83d\tX"}}]}'
    [item] = SOURCE.unpack(fixtures.verified(body), NoSourceOptions(), None).items
    assert item.unread == ("(characters)",)
    assert SOURCE.read("profile.deleted", item.body)["name"] == "Eva\ufffd\tX"
