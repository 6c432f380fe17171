"""What is particular about Pipedrive, against the sandbox's imitation of it."""

from typing import Any

import pytest

from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from workers.destinations import pipedrive
from workers.destinations.contacts import UpsertContact
from workers.destinations.pipedrive import PipedriveOptions

KEY, REFERENCE = "a" * 40, "b" * 40
EVA = {"email": "eva@example.org"}
LEAD: dict[str, Any] = EVA | {"reference": "call-1", "title": "Call", "text": "Asked for\na <room>"}


@pytest.fixture
def desk(sandbox: Running) -> Desk:
    """Pipedrive, as the book would have it."""
    return at(sandbox)


def at(sandbox: Running, **options: Any) -> Desk:
    told = {"base": sandbox.base("pipedrive"), "api_token": sandbox.world.accounts.pipedrive_api_token}
    return Desk("pipedrive", told | {"external_id_field": KEY, "reference_field": REFERENCE} | options)


def records(sandbox: Running, kind: str) -> list[dict[str, Any]]:
    return list(sandbox.world.pipedrive.holds()[kind])


def test_person(sandbox: Running, desk: Desk) -> None:
    """A person is made with its parts, found by either name without a search, and written where something differs."""
    first = EVA | {"external_id": "sd:1", "first_name": "Eva", "last_name": "Muster", "phone": "+4930123456"}
    created = desk.deliver("upsert_contact", first)
    [person] = records(sandbox, "persons")
    assert created.result == {"id": str(person["id"]), "created": True}
    assert (person["name"], person["custom_fields"]) == ("Eva Muster", {KEY: "sd:1"})
    change = {"external_id": "sd:1", "email": "eva@example.org", "new_email": "neu@example.org", "last_name": "Neu"}
    assert desk.deliver("upsert_contact", change, id="d2").result["created"] is False
    [person] = records(sandbox, "persons")
    assert (person["name"], [each["value"] for each in person["emails"]]) == ("Eva Neu", ["neu@example.org"])
    calls = [each.call for each in sandbox.world.journal.entries("pipedrive")]
    assert not any("token" in name for call in calls for name in call.query)


def test_search_finds_parts(sandbox: Running) -> None:
    """Of what a search finds in custom fields the person decides whether it is the external id."""
    other = "c" * 40
    at(sandbox).deliver("upsert_contact", {"email": "x@example.org", "custom": {other: "sd:1"}})
    done = at(sandbox).deliver("upsert_contact", {"email": "y@example.org", "external_id": "sd:1"})
    assert done.result["created"]
    found = at(sandbox).deliver("contact", {"external_id": "sd:1"})
    assert (found.result["id"], found.result["email"]) == (done.result["id"], "y@example.org")
    assert at(sandbox).deliver("contact", {"email": "z@example.org"}).result == {"found": False}


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 504}, {"reset": True}, {"status": 200, "body": "<html>"}]
)
def test_doubtful_person(sandbox: Running, desk: Desk, fault: dict[str, Any]) -> None:
    """A person whose creation was not answered is found again."""
    order(sandbox, vendor="pipedrive", method="POST", after_effect=True, **fault)
    assert desk.fail("upsert_contact", EVA).failure == "ambiguous"
    assert desk.deliver("upsert_contact", EVA, doubtful=True).result["created"] is False
    assert len(records(sandbox, "persons")) == 1
    assert desk.deliver("upsert_contact", EVA, id="d9").note == "nothing_to_write"


def test_success_false(sandbox: Running, desk: Desk) -> None:
    """A success that says it is none is none."""
    body = '{"success": false, "error": "x"}'
    order(sandbox, vendor="pipedrive", method="POST", status=200, body=body, content_type="application/json")
    failed = desk.fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("ambiguous", "error_in_body")


def test_limits(sandbox: Running, desk: Desk) -> None:
    """A burst waits for its reset, a used up day for its end, and whoever was locked out for minutes."""
    sandbox.world.tell("pipedrive", {"rate": {"requests": 1, "per": 60}})
    desk.deliver("contact", EVA)
    failed = desk.fail("contact", EVA)
    assert (failed.failure, failed.wait) == ("limited", 2.0)
    sandbox.world.tell("pipedrive", {"rate": None, "tokens": 3})
    failed = desk.fail("contact", EVA)
    assert (failed.failure, failed.code) == ("limited", "limited")
    assert 2.0 < failed.wait <= 3600.0 or failed.wait == 2.0  # the last seconds of a day
    order(sandbox, vendor="pipedrive", status=403, body="<html>Sorry</html>", content_type="text/html")
    failed = desk.fail("contact", EVA)
    assert (failed.failure, failed.code, failed.wait) == ("limited", "locked_out", 300.0)
    order(sandbox, vendor="pipedrive", status=403)
    assert desk.fail("contact", EVA).failure == "credential"


def test_consent(sandbox: Running, desk: Desk) -> None:
    """A consent is the marketing status, withdrawn from all who have the address; what stays is no success."""
    for n in range(2):
        at(sandbox).deliver("upsert_contact", {"email": f"e{n}@example.org"})
    first, second = sandbox.world.pipedrive.persons.values()
    second["emails"] = first["emails"]
    desk.deliver("set_consent", {"email": "e0@example.org", "newsletter": False})
    assert {first["marketing_status"], second["marketing_status"]} == {"unsubscribed"}
    second["emails"] = []
    failed = desk.fail("set_consent", {"email": "e0@example.org", "newsletter": True}, id="d2")
    assert (failed.failure, failed.code) == ("transient", "not_in_force")
    assert desk.deliver("set_consent", EVA | {"newsletter": True}).note == "no_such_contact"


def test_note_and_task(sandbox: Running, desk: Desk) -> None:
    """Notes and tasks are added to a person, a bare one for a caller; a lost answer is a person's to settle."""
    desk.deliver("add_note", {"phone": "+4930123456", "text": "a < b\nc"})
    [note], [person] = records(sandbox, "notes"), records(sandbox, "persons")
    assert (note["content"], note["person_id"], person["name"]) == ("a &lt; b<br>c", person["id"], "+4930123456")
    task = {"phone": "+4930123456", "subject": "Call back", "due": "2026-12-01"}
    desk.deliver("add_task", task, id="d2")
    [activity] = records(sandbox, "activities")
    assert (activity["person_id"], activity["due_date"], activity["type"]) == (person["id"], "2026-12-01", "task")
    for action, arguments in (("add_note", {"phone": "+4930123456", "text": "x"}), ("add_task", task)):
        order(sandbox, vendor="pipedrive", method="POST", status=500, after_effect=True)
        assert desk.fail(action, arguments, id="d3").failure == "ambiguous"
        assert desk.fail(action, arguments, id="d3", doubtful=True).code == "unresolved"
    assert len(records(sandbox, "notes")) == 2


def test_lead(sandbox: Running, desk: Desk) -> None:
    """A lead is made once for its reference, with its text as one note, whatever is lost on the way."""
    order(sandbox, vendor="pipedrive", method="POST", path="/api/v1/leads", status=504, after_effect=True)
    assert desk.fail("create_lead", LEAD | {"amount": 120}).failure == "ambiguous"
    order(sandbox, vendor="pipedrive", method="POST", path="/api/v1/notes", status=500, after_effect=True)
    assert at(sandbox).fail("create_lead", LEAD, doubtful=True).failure == "ambiguous"
    done = at(sandbox).deliver("create_lead", LEAD, doubtful=True)
    [lead], [note] = records(sandbox, "leads"), records(sandbox, "notes")
    assert (done.note, done.result["id"], note["lead_id"]) == ("already_there", lead["id"], lead["id"])
    assert (lead["value"], lead["origin_id"]) == ({"amount": 120.0, "currency": "EUR"}, "call-1")


def test_deal(sandbox: Running, desk: Desk) -> None:
    """A deal that was made of a lead is moved by the lead's reference, and no second lead is made beside it."""
    move = {"reference": "call-1", "stage": "angebot"}
    assert desk.deliver("move_deal", move).note == "no_such_lead"
    desk.deliver("create_lead", LEAD)
    assert desk.fail("move_deal", move).code == "still_a_lead"
    deal = sandbox.world.pipedrive.convert(records(sandbox, "leads")[0]["id"])
    assert desk.deliver("move_deal", move).result["id"] == str(deal["id"])
    assert (deal["stage_id"], desk.deliver("move_deal", move).note) == (2, "already_so")
    assert desk.deliver("create_lead", LEAD, id="d2").note == "already_there"
    assert at(sandbox).deliver("create_lead", LEAD, id="d3").note == "already_there"
    assert desk.fail("move_deal", move | {"stage": "Nirgends"}).code == "unknown_stage"
    stages = sandbox.world.pipedrive.stages
    stages["4"] = {"id": 4, "name": "Angebot", "pipeline_id": 2}
    assert desk.deliver("move_deal", move).note == "already_so"
    deal["pipeline_id"] = 3
    assert desk.fail("move_deal", move).code == "several_stages"


def test_labels(sandbox: Running, desk: Desk) -> None:
    """A label is put on and taken off by its name, beside those that are there."""
    assert desk.deliver("add_label", EVA | {"label": "Kunde"}).note == "no_such_contact"
    desk.deliver("upsert_contact", EVA)
    person = next(iter(sandbox.world.pipedrive.persons.values()))
    person["label_ids"] = [6]
    desk.deliver("add_label", EVA | {"label": "kunde"})
    assert person["label_ids"] == [6, 5]
    assert desk.deliver("add_label", EVA | {"label": "Kunde"}).note == "already_so"
    desk.deliver("remove_label", EVA | {"label": "Stammgast"})
    assert person["label_ids"] == [5]
    assert desk.fail("add_label", EVA | {"label": "VIP"}).code == "unknown_label"


def test_link(sandbox: Running, desk: Desk) -> None:
    """A person is tied to the one organisation with a name, or to a lead; nothing is made for it."""
    desk.deliver("upsert_contact", EVA)
    company = EVA | {"company": "Muster GmbH"}
    assert desk.deliver("link", company).note == "no_such_company"
    firm = sandbox.world.pipedrive._keep(sandbox.world.pipedrive.organizations, {"name": "Muster GmbH"})
    desk.deliver("link", company)
    assert records(sandbox, "persons")[0]["org_id"] == firm["id"]
    sandbox.world.pipedrive._keep(sandbox.world.pipedrive.organizations, {"name": "muster gmbh"})
    assert desk.fail("link", company).code == "several_objects"
    desk.deliver("create_lead", LEAD | {"email": "kim@example.org"}, id="d2")
    desk.deliver("link", EVA | {"lead": "call-1"}, id="d3")
    assert records(sandbox, "leads")[0]["person_id"] == records(sandbox, "persons")[0]["id"]


@pytest.mark.parametrize(
    ("action", "arguments", "option"),
    [
        ("upsert_contact", EVA | {"external_id": "sd:1"}, "external_id_field"),
        ("create_lead", LEAD, "reference_field"),
        ("move_deal", {"reference": "call-1", "stage": "Angebot"}, "reference_field"),
    ],
)
def test_not_set_up(sandbox: Running, action: str, arguments: dict[str, Any], option: str) -> None:
    """Where the book does not say where a name is written, nothing is sent that would lose it."""
    failed = at(sandbox, **{option: None}).fail(action, arguments)
    assert (failed.code, option in failed.hint) == ("not_set_up", True)
    assert list(sandbox.world.journal.entries("pipedrive")) == []


def test_change_person() -> None:
    """Other addresses, numbers and fields of a person stay; what is there is not written again."""
    options = PipedriveOptions.model_validate({"api_token": "t", "external_id_field": KEY})
    person = {
        "name": "Eva Muster",
        "first_name": "Eva",
        "last_name": "Muster",
        "emails": [{"value": "EVA@example.org", "primary": True}, {"value": "b@example.org", "primary": False}],
        "phones": [{"value": "+49 30 123456", "primary": True}],
        "custom_fields": {KEY: "sd:1", "c" * 40: "x"},
    }
    same = EVA | {"external_id": "sd:1", "first_name": "Eva", "phone": "+4930123456", "custom": {"c" * 40: "x"}}
    assert pipedrive.change_person(person, UpsertContact.model_validate(same), options) == {}
    given = {"external_id": "sd:1", "email": "c@example.org", "phone": "+49301", "custom": {"c" * 40: ""}}
    changes = pipedrive.change_person(person, UpsertContact.model_validate(given), options)
    assert [each["value"] for each in changes["emails"]] == ["EVA@example.org", "b@example.org", "c@example.org"]
    assert [each["primary"] for each in changes["phones"]] == [True, False]
    assert changes["custom_fields"] == {"c" * 40: None}
