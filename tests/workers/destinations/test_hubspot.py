"""What is particular about HubSpot, against the sandbox's imitation of it."""

from typing import Any

import pytest

from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from workers.destinations import hubspot
from workers.destinations.classify import until_midnight
from workers.destinations.contacts import UpsertContact
from workers.destinations.hubspot import HubspotOptions

EVA = {"email": "eva@example.org"}
LEAD: dict[str, Any] = EVA | {"reference": "SD-1", "title": "Kurs", "text": "asked for a room", "amount": "120.50"}


@pytest.fixture
def desk(sandbox: Running) -> Desk:
    """HubSpot, as the book would have it."""
    return at(sandbox)


def at(sandbox: Running, **options: Any) -> Desk:
    told = {"base": sandbox.base("hubspot"), "access_token": sandbox.world.accounts.hubspot_access_token}
    unique = {"external_id_property": "seminardesk_id", "reference_property": "booking_reference"}
    return Desk("hubspot", told | unique | options)


def records(sandbox: Running, type: str) -> list[dict[str, Any]]:
    return list(sandbox.world.hubspot.objects[type].values())


def sent(sandbox: Running) -> list[tuple[str, str]]:
    return [(each.call.method, each.call.path) for each in sandbox.world.journal.entries("hubspot")]


@pytest.mark.parametrize("version", ["2026-03", "2026-09", "v3"])
def test_contact(sandbox: Running, version: str) -> None:
    """A contact is made, read by its address, and written where something differs, in each version of the API."""
    desk = at(sandbox, version=version)
    first = EVA | {"external_id": "1", "first_name": "Eva", "address": {"city": "Ulm", "postal_code": "89073"}}
    created = desk.deliver("upsert_contact", first)
    [contact] = records(sandbox, "contacts")
    assert created.result == {"id": contact["id"], "created": True}
    assert contact["properties"] == {
        "email": "eva@example.org",
        "firstname": "Eva",
        "city": "Ulm",
        "zip": "89073",
        "seminardesk_id": "1",
    }
    sandbox.world.journal.clear()
    assert desk.deliver("upsert_contact", first, id="d2").result["created"] is False
    assert [method for method, _ in sent(sandbox)] == ["GET"]
    change = {"external_id": "1", "new_email": "neu@example.org", "first_name": "", "custom": {"favourite_room": "3"}}
    desk.deliver("upsert_contact", change, id="d3")
    assert contact["properties"]["email"] == "neu@example.org"
    assert (contact["properties"]["firstname"], contact["properties"]["favourite_room"]) == ("", "3")


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 504}, {"reset": True}, {"status": 200, "body": "<html>"}]
)
def test_doubtful_contact(sandbox: Running, desk: Desk, fault: dict[str, Any]) -> None:
    """A contact whose creation was not answered is found again."""
    order(sandbox, vendor="hubspot", method="POST", after_effect=True, **fault)
    assert desk.fail("upsert_contact", EVA).failure == "ambiguous"
    assert desk.deliver("upsert_contact", EVA, doubtful=True).result["created"] is False
    assert len(records(sandbox, "contacts")) == 1
    assert desk.deliver("upsert_contact", EVA, id="d9").note == "nothing_to_write"


def test_conflict_names_the_contact(sandbox: Running, desk: Desk) -> None:
    """A create that is refused because the contact exists is an update of the one that the refusal names."""
    at(sandbox).deliver("upsert_contact", EVA | {"first_name": "Eva"})
    [contact] = records(sandbox, "contacts")
    order(sandbox, vendor="hubspot", method="GET", status=404)
    done = desk.deliver("upsert_contact", EVA | {"last_name": "Muster"})
    assert done.result == {"id": contact["id"], "created": False}
    assert contact["properties"]["lastname"] == "Muster"
    assert desk.met == [(["email:eva@example.org"], "contact", contact["id"])]
    body = '{"status": "error", "message": "Contact already exists.", "category": "CONFLICT"}'
    for fault in ({"status": 404}, {"method": "POST", "status": 409, "body": body, "content_type": "application/json"}):
        order(sandbox, vendor="hubspot", **fault)
    failed = at(sandbox).fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("transient", "exists_already")


def test_further_addresses(sandbox: Running, desk: Desk) -> None:
    """A further address is a name of its contact, and does not become the primary one unless it is to replace it."""
    desk.deliver("upsert_contact", EVA)
    [contact] = records(sandbox, "contacts")
    contact["properties"]["hs_additional_emails"] = "b@example.org;c@example.org"
    other = {"email": "C@example.org", "first_name": "Eva"}
    assert at(sandbox).deliver("upsert_contact", other).result == {"id": contact["id"], "created": False}
    assert contact["properties"]["email"] == "eva@example.org"
    assert at(sandbox).deliver("upsert_contact", EVA | {"new_email": "b@example.org"}).result["created"] is False
    assert contact["properties"]["email"] == "b@example.org"


def test_merged_contact(sandbox: Running, desk: Desk) -> None:
    """What is remembered of a contact that was merged leads to the one that it is now."""
    desk.deliver("upsert_contact", EVA)
    desk.deliver("upsert_contact", {"email": "b@example.org"}, id="d2")
    gone, kept = (each["id"] for each in records(sandbox, "contacts"))
    sandbox.world.hubspot.merge(gone, kept)
    assert desk.deliver("upsert_contact", EVA | {"first_name": "Eva"}, id="d3").result["id"] == kept


def test_address_of_another(sandbox: Running, desk: Desk) -> None:
    """Two people are not made one: the address of another contact is not written, and a person looks."""
    desk.deliver("upsert_contact", EVA | {"external_id": "1"})
    desk.deliver("upsert_contact", {"email": "b@example.org"}, id="d2")
    failed = at(sandbox).fail("upsert_contact", {"external_id": "1", "email": "b@example.org"})
    assert (failed.failure, failed.code) == ("transient", "two_objects")
    body = '{"status": "error", "message": "Contact already exists. Existing ID: 1", "category": "CONFLICT"}'
    order(sandbox, vendor="hubspot", method="PATCH", status=409, body=body, content_type="application/json")
    assert desk.fail("upsert_contact", EVA | {"first_name": "x"}, id="d3").code == "two_objects"


def test_limits(sandbox: Running, desk: Desk) -> None:
    """A used up day is left alone until it ends, without a header; a burst as usual; a refused property is named."""
    sandbox.world.tell("hubspot", {"daily": 0})
    failed = desk.fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("limited", "limited")
    assert 1.0 <= failed.wait <= 3600.0
    assert failed.wait == pytest.approx(until_midnight("UTC"), abs=60.0)
    sandbox.world.tell("hubspot", {"daily": 99, "rate": {"requests": 1, "per": 60}})
    desk.deliver("contact", EVA)
    assert desk.fail("contact", EVA).wait == 0.0
    sandbox.world.tell("hubspot", {"rate": None})
    failed = desk.fail("upsert_contact", EVA | {"custom": {"colour": "red"}})
    assert (failed.code, failed.hint) == ("invalid", "HubSpot refuses colour PROPERTY_DOESNT_EXIST")


def test_note_and_task(sandbox: Running, desk: Desk) -> None:
    """Notes and tasks are tied to a contact, a bare one for a caller; a lost answer is a person's to settle."""
    desk.deliver("add_note", {"phone": "+4930123456", "text": "a < b\nc"})
    [note], [contact] = records(sandbox, "notes"), records(sandbox, "contacts")
    assert note["properties"]["hs_note_body"] == "a &lt; b<br>c"
    assert note["associations"] == [{"type": "contacts", "id": contact["id"]}]
    assert contact["properties"] == {"phone": "+4930123456"}
    task = {"phone": "+4930123456", "subject": "Call back", "due": "2026-12-01"}
    at(sandbox).deliver("add_task", task)
    [made] = records(sandbox, "tasks")
    assert made["associations"] == note["associations"]
    assert made["properties"]["hs_timestamp"] == "2026-12-01T12:00:00.000Z"
    for action, arguments in (("add_note", {"phone": "+4930123456", "text": "x"}), ("add_task", task)):
        order(sandbox, vendor="hubspot", method="POST", path="*s", status=500, after_effect=True)
        assert desk.fail(action, arguments, id="d3").failure == "ambiguous"
        assert desk.fail(action, arguments, id="d3", doubtful=True).code == "unresolved"
    assert (len(records(sandbox, "notes")), len(records(sandbox, "contacts"))) == (2, 1)


def test_lead(sandbox: Running, desk: Desk) -> None:
    """A lead is a deal that is made once for its reference, whatever is lost on the way, and is moved by it."""
    move = {"reference": "SD-1", "stage": "angebot"}
    assert desk.deliver("move_deal", move).note == "no_such_lead"
    order(sandbox, vendor="hubspot", method="POST", path="*/deals", status=504, after_effect=True)
    assert desk.fail("create_lead", LEAD).failure == "ambiguous"
    done = at(sandbox).deliver("create_lead", LEAD, doubtful=True)
    [deal], [contact] = records(sandbox, "deals"), records(sandbox, "contacts")
    assert (done.note, done.result["id"]) == ("already_there", deal["id"])
    assert (deal["properties"]["amount"], deal["properties"]["dealstage"]) == ("120.50", "appointmentscheduled")
    assert deal["associations"] == [{"type": "contacts", "id": contact["id"]}]
    desk.deliver("move_deal", move)
    assert deal["properties"]["dealstage"] == "qualifiedtobuy"
    assert desk.deliver("move_deal", move).note == "already_so"
    assert desk.fail("move_deal", move | {"stage": "Nirgends"}).code == "unknown_stage"


def test_lead_that_only_the_refusal_shows(sandbox: Running, desk: Desk) -> None:
    """A deal that a read does not show yet is the one that the refusal of a second one names."""
    at(sandbox).deliver("create_lead", LEAD)
    order(sandbox, vendor="hubspot", method="GET", path="*/deals/*", status=404)
    assert desk.deliver("create_lead", LEAD, id="d2").note == "already_there"
    assert len(records(sandbox, "deals")) == 1


def test_link(sandbox: Running, desk: Desk) -> None:
    """A contact is tied to the one company with a name, or to a deal; nothing is made for it."""
    company = EVA | {"company": "Muster GmbH"}
    assert desk.deliver("link", company).note == "no_such_contact"
    desk.deliver("upsert_contact", EVA)
    assert desk.deliver("link", company).note == "no_such_company"
    companies = sandbox.world.hubspot.objects["companies"]
    for n in ("901", "902"):
        companies[n] = {"id": n, "properties": {"name": "Muster GmbH"}, "associations": []}
        sandbox.world.hubspot._made[n] = 0.0
        if n == "901":
            desk.deliver("link", company)
    [contact] = records(sandbox, "contacts")
    assert contact["associations"] == [{"type": "companies", "id": "901"}]
    assert desk.fail("link", company).code == "several_objects"
    desk.deliver("create_lead", LEAD | {"email": "kim@example.org"}, id="d2")
    desk.deliver("link", EVA | {"lead": "SD-1"}, id="d3")
    assert {"type": "contacts", "id": contact["id"]} in records(sandbox, "deals")[0]["associations"]


def test_look_up(sandbox: Running, desk: Desk) -> None:
    """The look-up tells the contact as it is now."""
    assert desk.deliver("contact", EVA).result == {"found": False}
    desk.deliver("upsert_contact", EVA | {"external_id": "1", "first_name": "Eva", "phone": "+4930123456"})
    shown = {"email": "eva@example.org", "first_name": "Eva", "last_name": None, "phone": "+4930123456"}
    for n, names in enumerate((EVA, {"external_id": "1"}, {"phone": "+4930123456"})):
        found = at(sandbox).deliver("contact", names, id=f"d{n}").result
        assert {name: found[name] for name in shown} == shown
        assert (found["found"], found["external_id"]) == (True, "1")


@pytest.mark.parametrize(
    ("action", "arguments", "option"),
    [
        ("upsert_contact", EVA | {"external_id": "1"}, "external_id_property"),
        ("create_lead", LEAD, "reference_property"),
        ("move_deal", {"reference": "SD-1", "stage": "x"}, "reference_property"),
    ],
)
def test_not_set_up(sandbox: Running, action: str, arguments: dict[str, Any], option: str) -> None:
    """Where the book does not say where a name is written, nothing is sent that would lose it."""
    failed = at(sandbox, **{option: None}).fail(action, arguments)
    assert (failed.code, option in failed.hint) == ("not_set_up", True)
    assert sent(sandbox) == []


def test_change_properties() -> None:
    """Only what differs is written; null and an empty text are one."""
    options = HubspotOptions.model_validate({"access_token": "t"})
    given = UpsertContact.model_validate(EVA | {"first_name": "Eva", "last_name": "", "phone": "+49301"})
    contact = {"properties": {"email": "EVA@example.org", "firstname": "Eva", "lastname": None, "phone": None}}
    values = hubspot.write_properties(given, options)
    assert hubspot.change_properties(contact, values, renames=False) == {"phone": "+49301"}
