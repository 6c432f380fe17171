from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.server import Running
from tests.conftest import wait_until
from tests.sandbox.conftest import Send, send


def found(crm: Send, query: str) -> list[str]:
    return [contact["id"] for contact in crm("GET", f"/contacts?{query}").json()["data"]]


def test_token(sandbox: Running) -> None:
    """No token or a wrong one is 401."""
    url = f"{sandbox.base('crm')}/contacts"
    for header in ("", "Bearer wrong", f"Basic {sandbox.world.accounts.crm_token}"):
        answer = send(url, headers={"Authorization": header})
        assert (answer.status, answer.json()["error"]["code"]) == (401, "unauthorised")


def test_create_find_change(crm: Send) -> None:
    """A contact is made, found by any identity without regard to case, and changed only where told."""
    made = crm(
        "POST", "/contacts", sent={"email": "Eva@example.org", "phone": "+4930 123", "address": {"city": "Bonn"}}
    )
    assert (made.status, made.json()["id"]) == (201, "c1")
    for query in ("email=eva%40EXAMPLE.org", "phone=%2B4930123", "email=eva%40example.org&phone=4930123"):
        assert found(crm, query) == ["c1"]
    assert found(crm, "email=ada%40example.org") == []
    changed = crm("PATCH", "/contacts/c1", sent={"last_name": "Muster", "address": {"zip": "53111"}, "phone": None})
    assert changed.status == 200
    contact = crm("GET", "/contacts/c1").json()
    assert (contact["last_name"], contact["address"]) == ("Muster", {"city": "Bonn", "zip": "53111"})
    assert "phone" not in contact


def test_no_uniqueness(crm: Send) -> None:
    """Two callers that both found nobody both create: two contacts of one e-mail, as in real CRMs."""
    assert [found(crm, "email=eva%40example.org") for _ in range(2)] == [[], []]
    assert [crm("POST", "/contacts", sent={"email": "eva@example.org"}).status for _ in range(2)] == [201, 201]
    assert found(crm, "email=eva%40example.org") == ["c1", "c2"]


def test_notes(crm: Send, control: Send) -> None:
    """A note belongs to a contact; each post is one more."""
    crm("POST", "/contacts", sent={"phone": "+4930123"})
    for _ in range(2):
        assert crm("POST", "/contacts/c1/notes", sent={"text": "Please call back."}).status == 201
    assert len(crm("GET", "/contacts/c1/notes").json()["data"]) == 2
    assert len(control("GET", "/state/crm").json()["notes"]) == 2
    assert crm("POST", "/contacts/c9/notes", sent={"text": "x"}).status == 404


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "field"),
    [
        ("POST", "/contacts", {"first_name": "Eva"}, 422, "email"),
        ("POST", "/contacts", {"email": "eva"}, 422, "email"),
        ("POST", "/contacts", {"email": "eva@example.org", "id": "c7"}, 422, "id"),
        ("POST", "/contacts", {"email": "eva@example.org", "last_name": "x" * 256}, 422, "last_name"),
        ("POST", "/contacts", [], 400, None),
        ("PATCH", "/contacts/c9", {}, 404, None),
        ("POST", "/contacts/c1/notes", {"text": " "}, 422, "text"),
        ("GET", "/contacts?page=0", None, 400, "page"),
        ("PUT", "/contacts/c1", {}, 405, None),
        ("GET", "/nowhere", None, 404, None),
    ],
)
def test_refusals(crm: Send, method: str, path: str, sent: object, status: int, field: str | None) -> None:
    """What is wrong has its status and names the field."""
    crm("POST", "/contacts", sent={"email": "ada@example.org"})
    answer = crm(method, path, sent=sent)
    assert (answer.status, answer.json()["error"]["field"]) == (status, field)


@pytest.mark.parametrize(("media", "body", "status"), [("text/plain", "{}", 415), ("application/json", "{", 400)])
def test_body(crm: Send, media: str, body: str, status: int) -> None:
    """A body must be JSON and say so."""
    assert crm("POST", "/contacts", body=body, headers={"Content-Type": media}).status == status


def test_delete(crm: Send) -> None:
    """A contact that a person deleted is 404 afterwards, and its id is never given again."""
    crm("POST", "/contacts", sent={"email": "eva@example.org"})
    assert crm("DELETE", "/contacts/c1").status == 204
    assert crm("GET", "/contacts/c1").status == 404
    assert crm("POST", "/contacts", sent={"email": "eva@example.org"}).json()["id"] == "c2"


def test_find_lag(crm: Send, control: Send) -> None:
    """While the search lags a new contact is there by id and not found; later it is."""
    control("POST", "/faults", sent={"vendor": "crm", "find_lag": 0.2})
    crm("POST", "/contacts", sent={"email": "eva@example.org"})
    assert crm("GET", "/contacts/c1").status == 200
    assert found(crm, "email=eva%40example.org") == []
    wait_until(lambda: found(crm, "email=eva%40example.org") == ["c1"], "the search has caught up")


def test_idempotency_key(crm: Send, control: Send) -> None:
    """The same key gets the first answer again; another request under it is 422; told so, the header is ignored."""
    eva = {"email": "eva@example.org"}
    first = crm("POST", "/contacts", sent=eva, headers={"Idempotency-Key": "d1"})
    again = crm("POST", "/contacts", sent=eva, headers={"Idempotency-Key": "d1"})
    assert again.json() == first.json()
    assert {name.lower() for name in again.headers} >= {"idempotent-replayed"}
    assert crm("POST", "/contacts", sent={"phone": "1"}, headers={"Idempotency-Key": "d1"}).status == 422
    assert len(control("GET", "/state/crm").json()["contacts"]) == 1
    control("POST", "/faults", sent={"vendor": "crm", "idempotency": False})
    crm("POST", "/contacts", sent=eva, headers={"Idempotency-Key": "d1"})
    assert len(control("GET", "/state/crm").json()["contacts"]) == 2


def test_creates_at_once(crm: Send, control: Send) -> None:
    """Creates that run at the same time are all stored, under ids of their own."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: crm("POST", "/contacts", sent={"external_id": str(n)}), range(40)))
    assert len({answer.json()["id"] for answer in answers}) == 40
    assert len(control("GET", "/state/crm").json()["contacts"]) == 40


def test_search_that_is_not_exact(crm: Send, control: Send) -> None:
    """A search may find more than was asked for and show less than the contact has."""
    for email in ("eva@example.org", "eva@example.com", "ole@example.org"):
        crm("POST", "/contacts", sent={"email": email, "external_id": "1"})
    assert control("POST", "/faults", sent={"vendor": "crm", "fuzzy": True}).status == 201
    assert found(crm, "email=eva%40example.org") == ["c1", "c2"]
    control("POST", "/faults", sent={"vendor": "crm", "fuzzy": False, "hidden": ["email"], "null": ["external_id"]})
    (hit,) = crm("GET", "/contacts?email=eva%40example.org").json()["data"]
    assert ("email" in hit, hit["external_id"]) == (False, None)
    assert crm("GET", "/contacts/c1").json()["email"] == "eva@example.org"


@pytest.mark.parametrize(("unique", "named"), [("plain", None), ("id", "c1")])
def test_second_contact_is_refused(crm: Send, control: Send, unique: str, named: str | None) -> None:
    """Told so, a second contact with one e-mail is 409, with or without the id of the first."""
    control("POST", "/faults", sent={"vendor": "crm", "unique": unique})
    assert crm("POST", "/contacts", sent={"email": "eva@example.org"}).status == 201
    refusal = crm("POST", "/contacts", sent={"email": "EVA@example.org"})
    assert (refusal.status, refusal.json()["error"].get("id")) == (409, named)
    assert crm("POST", "/contacts", sent={"email": "ole@example.org"}).status == 201


@pytest.mark.parametrize("settings", [{"unique": "yes"}, {"hidden": "email"}, {"null": [1]}, {"fuzz": True}])
def test_setting_that_is_none(control: Send, settings: dict[str, object]) -> None:
    """What is no setting is refused."""
    assert control("POST", "/faults", sent={"vendor": "crm", **settings}).status == 400
