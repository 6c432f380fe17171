import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver import errors
from receiver.sources.base import Batch, NoSourceOptions
from receiver.sources.seminardesk import ACTIONS, SOURCE, SeminarDeskPull, SeminarDeskSourceOptions
from rules.compiler import loader
from tests.receiver import book, fixtures
from tests.receiver.sources.seminardesk_payloads import PAYLOADS

PAGE = Path(__file__).parents[3] / "docs" / "sources" / "seminardesk.md"

#: Whole payloads take a while to make, and a busy machine longer.
GENEROUS = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])


def unpack(body: Any, tenant: str | None = None) -> Batch:
    options = SeminarDeskSourceOptions(tenant=tenant)
    return SOURCE.unpack(fixtures.verified(json.dumps(body).encode()), options, None)


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
        ("Booking.Created", "booking.created"),
        ("booking.status_changed", "booking.status_changed"),
        ("invoice.CANCELLED", "invoice.canceled"),
    ],
)
def test_spellings_of_actions(action: str, type: str) -> None:
    """Actions are read in any case, and the vendor's two spellings of one are the same."""
    batch = unpack({"id": "1", "notifications": [{"action": action, "payload": {"id": "12"}}]})
    assert batch.items[0].type == type
    assert batch.items[0].invalid is None


def test_page() -> None:
    """What the page tells ops to write is a book, and its table has all types and the vendor's action for each."""
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    checked = loader.check_texts({"book.yaml": "".join(blocks)}, book.CATALOGUE)
    assert checked.book is not None, checked.problems
    options = checked.book.sources["sd"].options
    assert isinstance(options, SeminarDeskSourceOptions)
    assert options.tenant == "nord"
    assert options.pull is not None
    assert options.pull == SeminarDeskPull(api_key=options.pull.api_key, base=options.pull.base), "all else is as it is"
    rows = re.findall(r"^\| (`\w+\.\w+`.*?) \| (`.*?) \|$", page, re.MULTILINE)
    actions, types = ([_spell_out(row[column]) for row in rows] for column in (0, 1))
    assert [[ACTIONS[each.lower()] for each in row] for row in actions] == types
    assert {each for row in types for each in row} == set(ACTIONS.values())


def _spell_out(cell: str) -> list[str]:
    """Return all words of a cell, `.update` after `event.create` as `event.update`."""
    first, *others = re.findall(r"`(.+?)`", cell)
    return [first, *(each if each[0] != "." else first.partition(".")[0] + each for each in others)]


def test_every_action() -> None:
    """Each action of the vendor's lists is a type of ours, and there is a recorded body of each."""
    assert {action.lower() for action in PAYLOADS} <= ACTIONS.keys()
    assert {ACTIONS[action.lower()] for action in PAYLOADS} == set(ACTIONS.values())
    recorded = {name.removeprefix("seminardesk/") for name in fixtures.NAMES if name.startswith("seminardesk/")}
    missing = [
        action for action in PAYLOADS if not any(name.lower().startswith(f"{action.lower()}.") for name in recorded)
    ]
    # The names of these two files say `invoice.post` and `invoice.cancel`; what is in them is `posted` and `canceled`.
    assert missing == ["invoice.posted", "invoice.canceled"]


@pytest.mark.parametrize("action", PAYLOADS)
def test_what_the_specification_allows(action: str) -> None:
    """A payload that is valid by the vendor's specification is an event, and nothing of it is left out."""

    @settings(GENEROUS, max_examples=50)
    @given(PAYLOADS[action])
    def take(payload: Any) -> None:
        [item] = unpack({"id": "1", "attempt": 1, "notifications": [{"action": action, "payload": payload}]}).items
        assert (item.invalid, item.unread) == (None, ())
        assert item.type is not None
        data = SOURCE.read(item.type, item.body)
        assert json.loads(json.dumps(data)) == data
        assert str(data["id"]) == str(payload["id"])

    take()


@settings(GENEROUS, max_examples=30)
@given(
    st.lists(
        st.sampled_from(sorted(PAYLOADS)).flatmap(lambda each: st.tuples(st.just(each), PAYLOADS[each])), max_size=4
    )
)
def test_mixed_batches(told: list[tuple[str, Any]]) -> None:
    """Any actions stand in one batch: each is the event that it would be alone, in their order."""
    notifications = [{"action": action, "payload": payload} for action, payload in told]
    if not told:
        return
    items = unpack({"id": "1", "notifications": notifications}).items
    assert [item.position for item in items] == list(range(len(told)))
    for item, notification in zip(items, notifications, strict=True):
        [alone] = unpack({"id": "1", "notifications": [notification]}).items
        assert (item.type, item.identity, item.body, item.order_key) == (
            alone.type,
            alone.identity,
            alone.body,
            alone.order_key,
        )


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


def test_attempts() -> None:
    """The counter of attempts is part of the answer, never of the event."""
    item = {"action": "profile.update", "payload": {"id": 1, "name": "Eva"}}
    batches = [unpack({"id": "req-1", "attempt": n, "notifications": [item]}) for n in (1, 2)]
    first, again = (batch.items[0] for batch in batches)
    assert (again.sender_id, again.identity, again.body) == (first.sender_id, first.identity, first.body)
    assert [json.loads(SOURCE.answer(batch, ["a"])[1])["attempt"] for batch in batches] == [1, 2]


def test_tenants() -> None:
    """Profile 12 of two SeminarDesks is two people, once they are named; two sources of one are one."""
    told = [
        {"action": "profile.delete", "payload": {"id": 12}},
        {"action": "booking.create", "payload": {"id": 9, "booker": {"id": 12}}},
        {"action": "booking.create", "payload": {"id": 9}},
        {"action": "invoice.post", "payload": {"id": 5, "recipient": {"id": 12}}},
        {"action": "invoice.post", "payload": {"id": 5}},
        {"action": "event.delete", "payload": {"id": "37eb"}},
    ]

    def keys(tenant: str | None) -> list[str | None]:
        return [item.order_key for item in unpack({"id": "1", "notifications": told}, tenant).items]

    assert keys("nord") == [
        "seminardesk:nord:profile:12",
        "seminardesk:nord:profile:12",
        "seminardesk:nord:booking:9",
        "seminardesk:nord:profile:12",
        "seminardesk:nord:invoice:5",
        "seminardesk:nord:seminar:37eb",
    ]
    assert keys("nord") == keys("nord")
    assert not set(keys("nord")) & set(keys("sued"))
    assert keys(None)[0] == "seminardesk:profile:12"


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


@pytest.mark.parametrize("odd", [[], {}, True])
def test_a_text_of_one_language_that_does_not_fit(odd: Any) -> None:
    """An optional text by language is left out and named when one of its texts is none; the event is kept."""
    description = [{"language": "DE", "value": "Ruhe"}, {"language": "EN", "value": odd}]
    item = one("event.create", {**recorded("event.create.plain.json"), "description": description})
    assert (item.invalid, item.unread) == (None, ("description",))
    assert "title" in SOURCE.read(item.type, item.body)


def test_f04_status_of_null() -> None:
    """F04: a booking whose status is null is pending, as the platform has it."""
    item = one("booking.create", {**recorded("booking.create.free.json"), "status": None})
    assert item.invalid is None
    assert SOURCE.read(item.type, item.body)["status"] == "pending"


def test_booking_of_little() -> None:
    """The specification demands nothing of a booking: one with an id alone is pending, and has no sum."""
    item = one("booking.create", {"id": 9})
    assert (item.invalid, item.unread, item.order_key) == (None, (), "seminardesk:booking:9")
    assert SOURCE.read(item.type, item.body) == {"id": 9, "status": "pending"}


@pytest.mark.parametrize(
    ("field", "value"), [("booker", 5), ("guests", []), ("guests", "Eva"), ("status", "maybe"), ("id", None)]
)
def test_booking_of_much_else(field: str, value: Any) -> None:
    """What a booking hangs on may be absent, but not of another kind: that is never left out in silence."""
    item = one("booking.create", {**recorded("booking.create.free.json"), field: value})
    assert item.invalid is not None
    assert item.invalid.field == field


def test_labels_of_bookings() -> None:
    """Bookings have the labels of the Private API, with a name for the house and one for its guests."""
    label = data("booking.create.next.json")["labels"][0]
    assert (label["internal_name"], label["external_name"]) == ("Frühbucher intern", "Frühbucher")
    assert label["label_group"] == {"id": 4, "name": "Buchungen"}
    assert "name" not in label


def test_days() -> None:
    """Calendar days stay days, in whatever zone somebody lives; moments are moments."""
    invoice = data("invoice.post.company.json")
    assert (invoice["date"], invoice["due_date"], invoice["last_payment_at"]) == (
        "2026-11-20",
        "2026-12-04",
        "2026-11-24",
    )
    assert invoice["period_of_service"] == {"begin": "2026-12-04", "end": "2026-12-06"}
    assert invoice["items"][0]["period_of_service"] == {"begin": "2026-12-04", "end": "2026-12-06"}
    assert invoice["last_email_sent_at"] == "2026-11-20T11:06:00.000Z"
    booking = data("booking.create.next.json")
    assert booking["payments"][0]["date"] == "2026-11-20"
    assert booking["tasks"][0]["due_date"] == "2026-12-01"
    assert booking["guests"][0]["begin"] == "2026-12-04T16:00:00.000Z"
    date = data("eventDate.update.next.json")
    assert (date["attendance_start_until"], date["attendance_end_from"]) == ("2026-12-05", "2026-12-06")
    assert date["begin_date"] == "2026-12-04T18:00:00.000Z"


def test_billing_address() -> None:
    """The billing address of an invoice says for whom it is, and its e-mail is one of the recipient's."""
    item = fixtures.unpacked("seminardesk/invoice.post.company.json").items[0]
    assert SOURCE.read("invoice.posted", item.body)["billing_address"]["name_or_company"] == "Muster & Söhne GmbH"
    assert item.identities == ("seminardesk:profile:4720", "email:rechnung@firma.example.org")


def test_what_comes_next() -> None:
    """Fields that the vendor's next version announces are read like all others."""
    seminar, date = data("event.update.next.json"), data("eventDate.update.next.json")
    assert seminar["header_picture"]["alternative_text"] == {"de": "Der See am Morgen", "en": "The lake at dawn"}
    assert (seminar["teaser_picture"], seminar["availability"]) == (None, "until_after_first_date")
    assert (date["number"], date["additional_info"]["en"]) == ("Y-26-12", "Mats are provided")
    assert date["facilitators"][0]["additional_info"] == {"de": "aus Potsdam", "en": "from Potsdam"}
    booking = data("booking.create.next.json")
    assert booking["online_payment_status"] == "completed"
    assert booking["additional_field_values"][0]["field"] == {"id": 5, "name": "Anreise mit"}
    assert booking["guests"][0]["additional_field_values"][0]["value"] is True
    assert booking["guests"][0]["items"][1]["room_assignment"]["room_name"] == "Seeblick 4"


def test_both_spellings_of_a_name() -> None:
    """The vendor's list of fields has a slip of the pen; where both names come, in any order, the right one counts."""
    right, slip = {"infoBoardLodging": [{"language": "DE", "value": "Haus B"}]}, {"infoBoardLoding": None}
    for both in (right | slip, slip | right):
        item = one("event.create", {"id": "7", "title": [], **both})
        assert SOURCE.read(item.type, item.body)["info_board_lodging"] == {"de": "Haus B"}


def test_labels_described_everywhere() -> None:
    """Labels with texts by language do not keep any event, date, facilitator, profile or group of labels back."""
    described = {"de": "Für Körper und Ruhe", "en": "For body and calm"}
    for name in (
        "event.update.next.json",
        "eventDate.update.next.json",
        "facilitator.update.described.json",
        "labelGroup.update.described.json",
        "profile.update.described.json",
    ):
        assert data(name)["labels"][0]["description"] == described
    assert data("labelGroup.update.described.json")["description"]["en"] == "What it is about"


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


@pytest.mark.parametrize(
    ("tenants", "told"), [(("", ""), ["a", "b"]), (("nord", ""), ["b"]), (("nord", "nord"), []), (("",), [])]
)
def test_which_seminardesk(tenants: tuple[str, ...], told: list[str]) -> None:
    """Of several sources each that does not say which SeminarDesk it is of is a warning: profile 12 of two is two."""
    lines = ["sources:"]
    for name, tenant in zip("ab", tenants, strict=False):
        said = f", tenant: {tenant}" if tenant else ""
        lines.append(f"  {name}: {{kind: seminardesk, verify: {{none: a source for tests}}{said}}}")
    checked = loader.check_texts({"book.yaml": "\n".join(lines) + "\n"}, book.CATALOGUE)
    assert checked.book is not None
    found = [problem.text for problem in checked.warnings if problem.code == "not_told_apart"]
    assert [text.removesuffix(" is of")[-1] for text in found] == told
