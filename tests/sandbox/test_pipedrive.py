from typing import Any

import pytest

from sandbox.server import Running
from tests.sandbox.conftest import SandboxAnswer, Send, send

KEY = "a" * 40
EVA: dict[str, Any] = {"name": "Eva Muster", "emails": [{"value": "Eva@example.org", "primary": True}]}


def ask(sandbox: Running, method: str, path: str, sent: object = None, **headers: str) -> SandboxAnswer:
    told = {"x-api-token": sandbox.world.accounts.pipedrive_api_token} | headers
    return send(f"{sandbox.base('pipedrive')}/api{path}", method, headers=told, sent=sent)


def made(sandbox: Running, path: str = "/v2/persons", **more: object) -> Any:
    answer = ask(sandbox, "POST", path, (EVA if path == "/v2/persons" else {}) | more)
    assert answer.status == 201, answer.text
    return answer.json()["data"]["id"]


def found(sandbox: Running, path: str) -> list[Any]:
    return [hit["item"]["id"] for hit in ask(sandbox, "GET", path).json()["data"]["items"]]


def test_person(sandbox: Running) -> None:
    """A second person with one address is made; a change replaces lists and keeps other custom fields."""
    first = made(sandbox, custom_fields={KEY: "a:1", "b" * 40: "x"})
    second = made(sandbox)
    assert found(sandbox, "/v2/persons/search?term=eva@EXAMPLE.org&fields=email&exact_match=true") == [first, second]
    assert found(sandbox, "/v2/persons/search?term=a:1&fields=custom_fields&exact_match=true") == [first]
    assert ask(sandbox, "GET", "/v2/persons/search?term=a&fields=email").status == 400
    changed = ask(sandbox, "PATCH", f"/v2/persons/{first}", {"emails": [], "custom_fields": {KEY: None}}).json()["data"]
    assert (changed["emails"], changed["custom_fields"]) == ([], {KEY: None, "b" * 40: "x"})
    assert (changed["first_name"], changed["last_name"]) == ("Eva", "Muster")


def test_marketing_status(sandbox: Running, control: Send) -> None:
    """The status is changed once, then it stays without a word; without Campaigns there is none."""
    id = made(sandbox)
    for status in ("subscribed", "unsubscribed"):
        shown = ask(sandbox, "PATCH", f"/v2/persons/{id}", {"marketing_status": status}).json()["data"]
        assert shown["marketing_status"] == "subscribed"
    assert "marketing_status" not in ask(sandbox, "GET", f"/v2/persons/{id}").json()["data"]
    control("POST", "/faults", sent={"vendor": "pipedrive", "campaigns": False})
    assert ask(sandbox, "PATCH", f"/v2/persons/{id}", {"marketing_status": "archived"}).status == 400


def test_lead(sandbox: Running) -> None:
    """A lead needs a person; a note of it is one of HTML; converted, it is gone and its fields are those of a deal."""
    person = made(sandbox)
    assert ask(sandbox, "POST", "/v1/leads", {"title": "Call"}).status == 400
    lead = made(sandbox, "/v1/leads", title="Call", person_id=person, **{KEY: "call-1"})
    note = made(sandbox, "/v1/notes", content="a<script>x</script><br>b", lead_id=lead)
    assert ask(sandbox, "GET", f"/v1/notes?lead_id={lead}").json()["data"][0]["content"] == "a<br>b"
    assert ask(sandbox, "POST", "/v1/notes", {"content": "a", "lead_id": lead, "person_id": person}).status == 400
    assert ask(sandbox, "GET", f"/v1/leads?person_id={person}").json()["data"][0]["id"] == lead
    deal = sandbox.world.pipedrive.convert(lead)
    assert deal["id"] != note
    assert ask(sandbox, "GET", f"/v1/leads/{lead}").status == 404
    assert found(sandbox, "/v2/deals/search?term=call-1&fields=custom_fields&exact_match=true") == [deal["id"]]
    assert ask(sandbox, "PATCH", f"/v2/deals/{deal['id']}", {"stage_id": 2}).json()["data"]["stage_id"] == 2
    assert ask(sandbox, "PATCH", f"/v2/deals/{deal['id']}", {"stage_id": 99}).status == 400


def test_activity(sandbox: Running) -> None:
    """Whom an activity is about stands in its participants."""
    person = made(sandbox)
    assert ask(sandbox, "POST", "/v2/activities", {"subject": "x", "person_id": person}).status == 400
    id = made(sandbox, "/v2/activities", subject="x", participants=[{"person_id": person, "primary": True}])
    assert ask(sandbox, "GET", f"/v2/activities/{id}").json()["data"]["person_id"] == person


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/v2/persons", {}, 400),
        ("/v2/persons", {"name": "x", "job_title": "y"}, 403),
        ("/v2/persons", {"name": "x", "custom_fields": {"short": 1}}, 400),
        ("/v2/persons", {"name": "x", "colour": 1}, 501),
        ("/v1/leads", {"title": "x", "person_id": 1, "mood": 1}, 501),
        ("/v2/products", {"name": "x"}, 501),
    ],
)
def test_refused(sandbox: Running, path: str, sent: dict[str, Any], status: int) -> None:
    """What is wrong is told in the vendor's form, what is not modelled is 501, and nothing is kept."""
    answer = ask(sandbox, "POST", path, sent)
    assert (answer.status, answer.json()["success"]) == (status, False)
    assert sandbox.world.pipedrive.persons == {}


def test_limits(sandbox: Running, control: Send) -> None:
    """Every answer tells what is left; a used up day is 429 until it ends; a burst has a reset and no Retry-After."""
    assert ask(sandbox, "GET", "/v2/stages", **{"x-api-token": "no"}).status == 401
    control("POST", "/faults", sent={"vendor": "pipedrive", "tokens": 12})
    left = [ask(sandbox, "GET", "/v2/stages") for _ in range(2)]
    assert [(a.status, a.headers["x-daily-ratelimit-token-remaining"]) for a in left] == [(200, "2"), (429, "0")]
    control("POST", "/faults", sent={"vendor": "pipedrive", "tokens": 100, "rate": {"requests": 1, "per": 60}})
    limited = [ask(sandbox, "GET", "/v2/stages") for _ in range(2)][1]
    assert (limited.status, limited.headers["x-ratelimit-remaining"]) == (429, "0")
    assert "retry-after" not in {name.lower() for name in limited.headers}
