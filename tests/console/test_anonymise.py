import json
from typing import Any

import pytest

from console import anonymise
from console.anonymise import Anonymiser
from console.trigger import RecordedBody

ORDER: dict[str, Any] = {
    "event": "order.paid",
    "id": "ord_88271",
    "customer": {
        "id": 123_456,
        "email": "Paula@Firma.example",
        "first_name": "Paula",
        "last_name": "Kern",
        "phone": "+49 30 1234567",
        "birthday": "1980-04-12",
        "salutation": "Frau",
        "token": "a secret",
    },
    "note": "Bitte Paula Kern unter 030 1234567 anrufen",
    "lines": [{"text": "Kurs Yoga", "unit_price": 5.5}],
    "total": "19.99",
    "from": "203.0.113.7",
    "at": "2026-11-20T10:00:00Z",
    "agent": "Paula",
}


def change(people: Anonymiser, values: Any) -> Any:
    return people.change(RecordedBody.read(json.dumps(values).encode())).values


def test_formats_stay() -> None:
    """Values are replaced by their like; types, times, amounts and words of the platform stay."""
    people = Anonymiser(["Frau"])
    found = change(people, ORDER)
    assert {name: found[name] for name in ("event", "total", "at")} == {
        name: ORDER[name] for name in ("event", "total", "at")
    }
    assert found["lines"][0]["unit_price"] == 5.5
    assert found["customer"]["salutation"] == "Frau"
    assert found["customer"]["email"] == "eva.muster.1@example.org"
    assert (found["customer"]["first_name"], found["customer"]["last_name"]) == ("Eva", "Muster")
    assert found["customer"]["phone"].startswith("+49 30 ")
    assert len(found["customer"]["phone"]) == len(ORDER["customer"]["phone"])
    assert found["from"] == "192.0.2.1"
    assert found["id"].startswith("ord_") is False
    assert len(found["id"]) == len("ord_88271")
    assert found["customer"]["id"] != 123_456
    assert len(str(found["customer"]["id"])) == 6
    assert found["customer"]["birthday"].startswith("1980-04-")
    assert "secret" not in json.dumps(found)
    assert len(found["note"].split()) == len(ORDER["note"].split())
    assert not {"Paula", "Kern", "Yoga", "1234567"} & set(json.dumps(found).replace('"', " ").split())


def test_the_same_person_is_the_same_invention() -> None:
    """In all bodies of a recording, however an address or a number is written; another person is another one."""
    people = Anonymiser()
    first = change(people, ORDER)
    again = {"email": " paula@firma.example", "mobile": "030 1234567", "first_name": "Paula", "id": "ord_88271"}
    second = change(people, again)
    assert second["email"].strip() == first["customer"]["email"]
    assert second["first_name"] == first["customer"]["first_name"]
    assert second["id"] == first["id"]
    assert second["mobile"][-7:] == first["customer"]["phone"][-7:]
    third = change(people, {"email": "karl@firma.example", "first_name": "Karl", "phone": "030 7654321"})
    assert third["email"] != first["customer"]["email"]
    assert third["phone"][-7:] != first["customer"]["phone"][-7:]


def test_two_recordings_differ() -> None:
    """What became of an id cannot be found out by recording it once more."""
    one, other = (change(Anonymiser(), {"id": "0d9f2c3e-5a5b-4f4e-9d77-0c1d2e3f4a5b"}) for _ in range(2))
    assert one != other
    assert [len(part) for part in one["id"].split("-")] == [8, 4, 4, 4, 12]


def test_nothing_is_left() -> None:
    """A text that was kept and holds what was replaced elsewhere is found, and replaced then."""
    people = Anonymiser(["grüße.von.kern"])
    body = RecordedBody.read(json.dumps({"last_name": "Kern", "x": "grüße.von.kern", "y": "confirmed"}).encode())
    changed = people.change(body)
    assert people.find_left(changed) == ["x"]
    assert people.kept == {"x": {"grüße.von.kern"}, "y": {"confirmed"}}
    cleared = people.change_text(changed, ["x"])
    assert people.find_left(cleared) == []
    assert people.kept["x"] == set()
    assert cleared.values["y"] == "confirmed"


def test_forms_and_kept_fields() -> None:
    """A form is changed as JSON is, and a field that somebody names stays."""
    people = Anonymiser(keep=["course", "lines[].text"])
    body = people.change(RecordedBody.read(b"Vorname=Paula&E-Mailadresse=paula%40firma.example&course=Yoga+am+Meer"))
    assert dict(body.values) == {
        "Vorname": "Eva",
        "E-Mailadresse": "eva.muster.1@example.org",
        "course": "Yoga am Meer",
    }
    assert change(people, ORDER)["lines"][0]["text"] == "Kurs Yoga"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("customer.email", "email"),
        ("E-Mail", "email"),
        ("guests[].firstName", "first"),
        ("Nachname", "last"),
        ("telephone", "phone"),
        ("address.postal_code", "zip"),
        ("company_name", "full"),
        ("external_id", "id"),
        ("status", ""),
    ],
)
def test_kinds(path: str, kind: str) -> None:
    """The last name of a path says what its value is."""
    assert anonymise.find_kind(path) == kind
