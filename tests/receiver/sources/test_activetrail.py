import json
from typing import Any

import pytest

from receiver import errors
from receiver.sources.activetrail import EVENTS, OTHER_NAMES, SOURCE, find_type
from receiver.sources.base import Batch, NoSourceOptions
from tests.receiver import fixtures


def unpack(body: bytes, event: str | None = "contact_changed", **request: bytes) -> Batch:
    return SOURCE.unpack(fixtures.verified(body, **request), NoSourceOptions(), event)


def data(name: str) -> Any:
    item = fixtures.unpacked(f"activetrail/{name}").items[0]
    assert item.type is not None
    return SOURCE.read(item.type, item.body)


def test_all_seven_events() -> None:
    """ActiveTrail's seven events have one address and one type each."""
    assert len(EVENTS) == 7
    assert len(set(EVENTS.values())) == 7
    assert set(OTHER_NAMES.values()) <= EVENTS.keys()


@pytest.mark.parametrize(
    ("event", "type"),
    [
        ("contact_changed", "contact.changed"),
        ("contact_change", "contact.changed"),
        ("ContactExternalChange", "contact.changed"),
        ("ContactManualChange", "contact.edited"),
        ("contact-unsubscribed", "contact.unsubscribed"),
        ("Unsubscribed", "contact.unsubscribed"),
        ("contact_added_to_group", "contact.group_added"),
        ("automation_step", "automation.step"),
    ],
)
def test_event_from_the_url(event: str, type: str) -> None:
    """What happened stands in the URL, in our spelling or one like the vendor's."""
    assert find_type(event) == type


@pytest.mark.parametrize(
    ("event", "code"), [(None, "missing_event"), ("", "missing_event"), ("deleted", "unknown_event")]
)
def test_no_event_in_the_url(event: str | None, code: str) -> None:
    """A URL that does not say what happened is refused, and the hint lists what it may say."""
    with pytest.raises(errors.NotFound, match=code) as caught:
        find_type(event)
    assert "group_removed" in caught.value.hint


def test_spellings() -> None:
    """Fields are found in any case: `FirstName`, `ContactId` and `first_name`, `id` are the same."""
    pascal = data("contact_changed.pascal.json")
    assert pascal == {
        "id": 12,
        "email": "Eva@example.org",
        "first_name": "Eva",
        "last_name": "Muster",
        "sms": None,
        "ext1": "Frau",
        "status": "subscribed",
    }
    snake = data("contact_changed.snake.json")
    assert {name: snake[name] for name in ("id", "first_name", "last_name", "ext1", "status")} == {
        name: pascal[name] for name in ("id", "first_name", "last_name", "ext1", "status")
    }
    assert snake["birthday"] == "1990-05-17"


def test_form() -> None:
    """A form is read as JSON is; its plus signs and umlauts survive, an empty field is null."""
    form = data("contact_changed.plus.form")
    assert form["email"] == "eva+neu@example.org"
    assert form["last_name"] == "Müller"
    assert form["birthday"] is None
    assert form["id"] == 12
    assert form["num1"] == 3.0


def test_form_in_latin_1() -> None:
    """A form of an older program says its charset."""
    kind = b"application/x-www-form-urlencoded; charset=ISO-8859-1"
    item = unpack(b"email=eva@example.org&last_name=M%FCller", content_type=kind).items[0]
    assert SOURCE.read("contact.changed", item.body)["last_name"] == "Müller"


def test_parameters_of_the_url() -> None:
    """Without a body the parameters of the URL are the contact; with one they are added, and the body wins."""
    alone = unpack(b"", query=b"email=eva%40example.org&first_name=Eva").items[0]
    assert SOURCE.read("contact.changed", alone.body) == {"email": "eva@example.org", "first_name": "Eva"}
    both = unpack(b'{"email": "eva@example.org"}', query=b"email=x%40example.org&account=7").items[0]
    assert SOURCE.read("contact.changed", both.body) == {"email": "eva@example.org", "account": "7"}


def test_array() -> None:
    """An array is several events."""
    items = fixtures.unpacked("activetrail/contact_changed.several.json").items
    assert [item.order_key for item in items] == ["email:eva@example.org", "email:jean@example.org"]
    assert [item.position for item in items] == [0, 1]


def test_nested() -> None:
    """A contact may stand under `contact`; what stands beside it is kept."""
    assert data("contact_changed.nested.json") == {
        "event_type": "contact_change",
        "id": 12,
        "email": "eva@example.org",
        "first_name": "Eva",
    }


def test_identities() -> None:
    """The strongest identity is the order key: e-mail, else the platform's number, else the telephone."""
    full = fixtures.unpacked("activetrail/contact_changed.snake.json").items[0]
    assert full.identities == ("email:eva@example.org", "activetrail:contact:12")
    assert full.phones == ("+491701234567",)
    assert fixtures.unpacked("activetrail/unsubscribed.phone_only.json").items[0].order_key == "activetrail:contact:14"


def test_names() -> None:
    """A contact is known by its address and its id at the platform, never by a telephone."""

    def names(body: dict[str, Any]) -> tuple[str | None, tuple[str, ...]]:
        (item,) = unpack(json.dumps(body).encode()).items
        return item.order_key, item.names

    known = {"email": "Eva@example.org", "id": 12, "sms": "+4930123456", "phone1": "+4930123457"}
    assert names(known) == ("email:eva@example.org", ("activetrail:contact:12",))
    assert names({"id": 12, "sms": "+4930123456"}) == ("activetrail:contact:12", ())
    assert names({"email": "eva@example.org"}) == ("email:eva@example.org", ())


def test_invalid_names_the_field() -> None:
    """The reason of a quarantine is a field and a sentence, never a value."""
    nobody = fixtures.unpacked("activetrail/contact_changed.invalid_nobody.json").items[0]
    assert str(nobody.invalid) == "names nobody: one of email, id, external_id, sms is needed"
    email = fixtures.unpacked("activetrail/contact_changed.invalid_email.json").items[0]
    assert str(email.invalid) == "email: the e-mail address has no @"


def test_no_address_beside_an_id() -> None:
    """What is no address does not keep a contact with an id from its rules; they are told what was left out."""
    body = b'{"id": 12, "email": "eva", "sms": "+49 170 1234567"}'
    item = unpack(body).items[0]
    assert item.invalid is None
    assert (item.identities, item.order_key) == (("activetrail:contact:12",), "activetrail:contact:12")
    assert SOURCE.read("contact.changed", item.body) == {
        "id": 12,
        "sms": "+49 170 1234567",
        "left_out": {"email": "email_no_at"},
    }


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"eva+kurs@example.org", "eva+kurs@example.org"),
        (b"eva%2Bkurs@example.org", "eva+kurs@example.org"),
        (b"+Eva+kurs@Example.org+", "Eva+kurs@example.org"),
        (b"Eva+Muster+<eva+kurs@example.org>", "eva+kurs@example.org"),
        (b"Eva+Muster+%3Ceva%40example.org%3E", "eva@example.org"),
    ],
)
def test_plus_that_nobody_encoded(sent: bytes, kept: str) -> None:
    """In a form and in a query a blank before the @ of an address is a `+`; other fields keep their blanks."""
    form = unpack(b"EMail=" + sent + b"&last_name=von+Muster", content_type=b"application/x-www-form-urlencoded")
    query = unpack(b"", query=b"email=" + sent + b"&last_name=von+Muster")
    for item in (form.items[0], query.items[0]):
        read = SOURCE.read("contact.changed", item.body)
        assert (read["email"], read["last_name"]) == (kept, "von Muster")
        assert item.order_key == f"email:{kept.lower()}"


def test_blank_in_json_is_no_plus() -> None:
    """JSON says what it means: a blank before the @ makes it no address."""
    item = unpack(b'{"email": "eva kurs@example.org"}').items[0]
    assert str(item.invalid).startswith("email: the part before @")


def test_answer() -> None:
    """The answer is 202 with the events' ids."""
    assert SOURCE.answer(Batch([]), ["a", "b"]) == (202, b'{"events":[{"id":"a"},{"id":"b"}]}')


def test_group_ids() -> None:
    """A group's id is a number whether the platform sends number or text."""
    assert data("group_added.plain.json")["group_id"] == data("group_removed.plain.json")["group_id"] == 77
    assert json.loads(fixtures.unpacked("activetrail/group_removed.plain.json").items[0].body)["group_id"] == "77"


def read_one(body: bytes, event: str = "unsubscribed", **request: bytes) -> tuple[Any, tuple[str, ...]]:
    [item] = unpack(body, event, **request).items
    assert item.invalid is None
    assert item.type is not None
    return SOURCE.read(item.type, item.body), item.unread


def test_f10_unreadable_optional_field() -> None:
    """F10: an optional field that does not fit is left out and named; an opt-out needs only somebody."""
    found, unread = read_one(b'{"email": "eva@example.org", "birthday": "17/05/1990"}')
    assert (found, unread) == ({"email": "eva@example.org"}, ("birthday",))
    odd = {"id": {"a": 1}, "email": "eva@example.org", "num1": "viel", "is_deleted": "?", "date1": [1], "ext1": {}}
    found, unread = read_one(json.dumps(odd).encode())
    assert (found, sorted(unread)) == ({"email": "eva@example.org"}, ["date1", "ext1", "id", "is_deleted", "num1"])
    found, unread = read_one(b'{"id": 7, "email": ["eva@example.org"], "sms": 5}')
    assert (found, unread) == ({"id": 7, "sms": "5"}, ("email",))
    found, unread = read_one(b'{"id": 7, "email": "eva"}')
    assert (found["id"], unread) == (7, ("email",))


def test_f10_nobody() -> None:
    """F10: without anybody whom it is about it stays unfit, and the reason is why there is nobody."""
    [item] = unpack(b'{"email": {"a": 1}, "birthday": "17/05/1990"}', "unsubscribed").items
    assert item.invalid is not None
    assert item.invalid.field == "email"
    [item] = unpack(b'{"birthday": "17/05/1990"}', "unsubscribed").items
    assert "names nobody" in str(item.invalid)


@pytest.mark.parametrize(
    "given",
    [
        "0001-01-01T00:00:00",
        "0001-01-01",
        "0001-01-01T00:00:00Z",
        "01/01/0001 00:00:00",
        "1/1/0001 12:00:00 AM",
        "01.01.0001 00:00:00",
        "/Date(-62135596800000)/",
        "/Date(-62135596800000+0100)/",
        -62135596800000,
        "0000-00-00",
        "0000-00-00 00:00:00",
        "1753-01-01T00:00:00",
        "1900-01-01T00:00:00",
        "1899-12-30",
        "",
        "  ",
        None,
    ],
)
def test_f53_no_date(given: Any) -> None:
    """F53: what programs write for no date is null, for days and instants, and nothing was left out."""
    found, unread = read_one(json.dumps({"id": 7, "birthday": given, "date1": given}).encode())
    assert (found, unread) == ({"id": 7, "birthday": None, "date1": None}, ())


def test_f53_dates() -> None:
    """F53: other dates stay what they are."""
    found, unread = read_one(b'{"id": 7, "birthday": "1901-02-03T00:00:00", "date1": "1970-01-01T00:00:00"}')
    assert (found["birthday"], found["date1"], unread) == ("1901-02-03", "1970-01-01T00:00:00.000Z", ())


def test_f21_plus_in_the_url() -> None:
    """F21: the `+` of an address in the URL, or in a form, is put back; so it is inside `contact[…]`."""
    assert read_one(b"", query=b"email=eva+x@example.org")[0] == {"email": "eva+x@example.org"}
    form = b"application/x-www-form-urlencoded"
    assert read_one(b"email=eva+x@example.org", content_type=form)[0] == {"email": "eva+x@example.org"}
    assert read_one(b"contact[Email]=eva+x@example.org", content_type=form)[0] == {"email": "eva+x@example.org"}


def test_f41_semicolon() -> None:
    """F41: `;` parts the fields of a form, and of a URL; where it does not, no address has it in it."""
    form = b"application/x-www-form-urlencoded"
    expected = {"email": "eva@example.org", "first_name": "Eva"}
    assert read_one(b"email=eva@example.org;first_name=Eva", content_type=form)[0] == expected
    assert read_one(b"", query=b"email=eva@example.org;first_name=Eva")[0] == expected
    [item] = unpack(b"email=eva@example.org;first_name=Eva&x=1", "unsubscribed", content_type=form).items
    assert item.invalid is not None


def test_f48_element_that_is_no_object() -> None:
    """F48: one element of an array that is no contact does not cost the others."""
    items = unpack(b'[{"id": 1}, "x", {"id": 2}]', "unsubscribed").items
    assert [item.invalid is None for item in items] == [True, False, True]
    assert "must be an object" in str(items[1].invalid)


def test_d14s_half_a_character() -> None:
    """D14s: a name whose emoji was cut in half is taken, with U+FFFD, and it is said so."""
    found, unread = read_one(rb'{"id":12,"email":"eva@example.org","first_name":"Eva \ud83d"}')
    assert (found["first_name"], unread) == ("Eva \ufffd", ("(characters)",))
