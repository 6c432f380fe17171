from typing import Any

import pytest

from sandbox.server import Running
from tests.sandbox.conftest import SandboxAnswer, Send, send

EVA = {"email": "eva@example.org", "firstname": "Eva"}


def ask(sandbox: Running, method: str, path: str, sent: object = None, **headers: str) -> SandboxAnswer:
    told = {"Authorization": f"Bearer {sandbox.world.accounts.hubspot_access_token}"} | headers
    return send(f"{sandbox.base('hubspot')}/crm{path}", method, headers=told, sent=sent)


def made(sandbox: Running, type: str = "contacts", associations: Any = (), **properties: Any) -> str:
    body = {"properties": properties or EVA, "associations": list(associations)}
    answer = ask(sandbox, "POST", f"/objects/2026-03/{type}", body)
    assert answer.status == 201, answer.text
    return str(answer.json()["id"])


def tie(id: str, type: int) -> dict[str, Any]:
    return {"to": {"id": id}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type}]}


def test_contact(sandbox: Running) -> None:
    """A contact is read by id, address and unique property, in both versions, with the properties asked for."""
    id = made(sandbox, email="Eva@example.org", firstname="Eva", seminardesk_id="1")
    for path in (f"/{id}", "/eva@EXAMPLE.org?idProperty=email", "/1?idProperty=seminardesk_id"):
        for version in ("objects/2026-03", "objects/2026-09", "v3/objects"):
            assert ask(sandbox, "GET", f"/{version}/contacts{path}").json()["id"] == id
    answer = ask(sandbox, "GET", f"/v3/objects/contacts/{id}?properties=firstname,city")
    assert answer.json()["properties"] == {"firstname": "Eva", "city": None}
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    assert ask(sandbox, "GET", "/v3/objects/contacts/x?idProperty=firstname").status == 400
    assert ask(sandbox, "GET", "/v3/objects/contacts/999").status == 404


def test_addresses_are_unique(sandbox: Running) -> None:
    """A second contact with one address is 409, further addresses included, and the text names the first."""
    first = made(sandbox, email="a@example.org", hs_additional_emails="b@example.org;c@example.org")
    second = made(sandbox, email="d@example.org")
    for method, path in (("POST", "/v3/objects/contacts"), ("PATCH", f"/v3/objects/contacts/{second}")):
        refused = ask(sandbox, method, path, {"properties": {"email": "C@example.org"}})
        assert (refused.status, refused.json()["category"]) == (409, "CONFLICT")
        assert refused.json()["message"] == f"Contact already exists. Existing ID: {first}"


def test_merged(sandbox: Running) -> None:
    """A contact that was merged is read as the one that it is now."""
    gone, kept = made(sandbox, email="a@example.org"), made(sandbox, email="b@example.org")
    sandbox.world.hubspot.merge(gone, kept)
    assert ask(sandbox, "GET", f"/v3/objects/contacts/{gone}").json()["id"] == kept
    assert ask(sandbox, "GET", "/v3/objects/contacts/a@example.org?idProperty=email").json()["id"] == kept


def test_notes_tasks_deals(sandbox: Running) -> None:
    """What is tied to a contact names the association by its id; a note needs its time."""
    contact, company = made(sandbox), made(sandbox, "companies", name="Muster GmbH")
    made(sandbox, "notes", [tie(contact, 202)], hs_timestamp="2026-11-29T10:00:00.000Z", hs_note_body="x")
    deal = made(sandbox, "0-3", [tie(contact, 3)], dealname="Kurs", booking_reference="SD-1")
    for body in (
        {"properties": {"hs_note_body": "x"}},
        {"properties": {"hs_timestamp": "1"}, "associations": [tie(contact, 3)]},
    ):
        assert ask(sandbox, "POST", "/v3/objects/notes", body).status == 400
    assert sandbox.world.hubspot.objects["deals"][deal]["associations"] == [{"type": "contacts", "id": contact}]
    for _ in range(2):
        path = f"/objects/2026-03/contacts/{contact}/associations/default/companies/{company}"
        assert ask(sandbox, "PUT", path).status == 200
    assert sandbox.world.hubspot.objects["contacts"][contact]["associations"] == [{"type": "companies", "id": company}]
    assert len(ask(sandbox, "GET", "/pipelines/2026-03/deals").json()["results"][0]["stages"]) == 3


def test_search(sandbox: Running, control: Send) -> None:
    """A search joins groups by or, lags where it is told to, and says nothing of limits."""
    id = made(sandbox, phone="+4930123456")
    groups = [
        {"filters": [{"propertyName": name, "operator": "EQ", "value": "+4930123456"}]}
        for name in ("phone", "mobilephone")
    ]
    answer = ask(sandbox, "POST", "/v3/objects/contacts/search", {"filterGroups": groups, "properties": ["phone"]})
    assert [each["id"] for each in answer.json()["results"]] == [id]
    assert not any("ratelimit" in name.lower() for name in answer.headers)
    control("POST", "/faults", sent={"vendor": "hubspot", "find_lag": 60})
    assert ask(sandbox, "POST", "/v3/objects/contacts/search", {"filterGroups": groups}).json()["total"] == 0


@pytest.mark.parametrize(
    ("path", "properties", "status"),
    [
        ("contacts", {"email": "nobody"}, 400),
        ("contacts", {"colour": "red"}, 400),
        ("products", {"name": "x"}, 501),
    ],
)
def test_refused(sandbox: Running, path: str, properties: dict[str, str], status: int) -> None:
    """What is wrong is told with its property; what is not modelled is 501."""
    answer = ask(sandbox, "POST", f"/v3/objects/{path}", {"properties": properties})
    assert answer.status == status
    if status == 400:
        assert answer.json()["errors"][0]["context"]["propertyName"] == list(properties)


def test_limits(sandbox: Running, control: Send) -> None:
    """Answers tell what is left of the day; when it is used up the 429 names the policy and has no header."""
    assert ask(sandbox, "GET", "/pipelines/2026-03/deals", Authorization="Bearer no").status == 401
    control("POST", "/faults", sent={"vendor": "hubspot", "daily": 1})
    answers = [ask(sandbox, "GET", "/pipelines/2026-03/deals") for _ in range(2)]
    assert answers[0].headers["x-hubspot-ratelimit-daily-remaining"] == "0"
    assert (answers[1].status, answers[1].json()["policyName"]) == (429, "DAILY")
    assert not any("rate" in name.lower() or "retry" in name.lower() for name in answers[1].headers)
    control("POST", "/faults", sent={"vendor": "hubspot", "daily": 9, "rate": {"requests": 1, "per": 60}})
    limited = [ask(sandbox, "GET", "/pipelines/2026-03/deals") for _ in range(2)][1]
    assert limited.json()["policyName"] == "TEN_SECONDLY_ROLLING"


def test_gdpr_delete(sandbox: Running) -> None:
    """A contact goes for good with its notes, by id or address; an address that nobody has is blocked (their page)."""
    eva, ada = made(sandbox, email="eva@example.org"), made(sandbox, email="ada@example.org")
    made(sandbox, "notes", [tie(eva, 202)], hs_timestamp="2026-11-21T10:00:00Z", hs_note_body="x")
    purge = "/v3/objects/contacts/gdpr-delete"
    assert ask(sandbox, "POST", purge, {"objectId": eva}).status == 204
    assert sandbox.world.vendors["hubspot"].holds()["notes"] == []
    assert ask(sandbox, "POST", purge, {"objectId": "ada@example.org", "idProperty": "email"}).status == 204
    assert ask(sandbox, "GET", f"/v3/objects/contacts/{ada}").status == 404
    assert ask(sandbox, "POST", purge, {"objectId": "kim@example.org", "idProperty": "email"}).status == 204
    body = {"properties": {"email": "kim@example.org"}}
    assert ask(sandbox, "POST", "/v3/objects/contacts", body).status == 400
