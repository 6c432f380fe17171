import pytest

from sandbox.server import Running
from tests.sandbox.conftest import SandboxAnswer, send

HOOK = {"name": "a", "url": "https://relais.example.org/in/at/contact_changed", "event_type": "contact_change"}


def ask(sandbox: Running, method: str, path: str, sent: object = None, key: str = "") -> SandboxAnswer:
    headers = {"Authorization": key or sandbox.world.accounts.activetrail_api_key}
    return send(f"{sandbox.base('activetrail')}{path}", method, headers=headers, sent=sent)


def test_webhooks(sandbox: Running) -> None:
    """A webhook is made, listed, changed and removed; a change and a removal are answered without a body."""
    made = ask(sandbox, "POST", "/webhooks", HOOK)
    assert made.status == 200
    path = f"/webhooks/{made.json()['id']}"
    assert ask(sandbox, "GET", "/webhooks").json() == [ask(sandbox, "GET", path).json()]
    assert ask(sandbox, "PUT", path, {**HOOK, "is_active": False}).text == ""
    assert ask(sandbox, "GET", path).json()["is_active"] is False
    assert (ask(sandbox, "DELETE", path).text, ask(sandbox, "GET", "/webhooks").json()) == ("", [])


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "/contacts", None, 400),
        ("GET", "/contacts?CustomerStates=ALL&Limit=101", None, 400),
        ("GET", "/contacts?CustomerStates=ALL&Sort=a", None, 501),
        ("GET", "/contacts/7", None, 404),
        ("PUT", "/contacts/7", {}, 404),
        ("POST", "/contacts", {"first_name": "Eva"}, 400),
        ("POST", "/contacts", {"email": "eva@example.org", "double_optin": {}}, 501),
        ("POST", "/contacts", {"email": "eva@example.org", "status": "Gone"}, 400),
        ("POST", "/groups", {"name": ""}, 400),
        ("GET", "/groups/501", None, 501),
        ("POST", "/groups/7/members", {"email": "eva@example.org"}, 404),
        ("POST", "/groups/501/members", {}, 400),
        ("DELETE", "/groups/501/members/7", None, 404),
        ("POST", "/webhooks", {**HOOK, "retries": 3}, 501),
        ("POST", "/webhooks", {**HOOK, "name": ""}, 400),
        ("DELETE", "/webhooks/7", None, 404),
    ],
)
def test_refused(sandbox: Running, method: str, path: str, sent: object, status: int) -> None:
    """What is wrong is refused, and what it does not model is 501."""
    assert ask(sandbox, method, path, sent).status == status


def test_key(sandbox: Running) -> None:
    """Another key is 401."""
    assert ask(sandbox, "GET", "/webhooks", key="wrong").status == 401


def test_unknown_setting(sandbox: Running) -> None:
    """A setting that it does not have is an error."""
    with pytest.raises(ValueError, match="fuzzy"):
        sandbox.world.activetrail.tell({"fuzzy": True})


def test_contact(sandbox: Running) -> None:
    """A contact is made and changed by its address, changed by its number without a body, and found by a piece."""
    made = ask(sandbox, "POST", "/contacts", {"email": "eva@example.org"}).json()
    again = ask(sandbox, "POST", "/contacts", {"email": "EVA@example.org", "status": 2}).json()
    assert (again["id"], again["status"]) == (made["id"], "Unsubscribed")
    assert ask(sandbox, "PUT", f"/contacts/{made['id']}", {"city": "Ulm"}).text == ""
    (found,) = ask(sandbox, "GET", "/contacts?CustomerStates=ALL&SearchTerm=eva%40").json()
    assert found == ask(sandbox, "GET", f"/contacts/{made['id']}").json()
    assert found["city"] == "Ulm"
    assert ask(sandbox, "GET", "/contacts?CustomerStates=ACTIVE").json() == []
    other = ask(sandbox, "POST", "/contacts", {"email": "adam@example.org"}).json()
    assert ask(sandbox, "PUT", f"/contacts/{other['id']}", {"email": "eva@example.org"}).status == 409


def test_groups(sandbox: Running) -> None:
    """A group is made and found, and takes a member, who may be new, and gives it back."""
    made = ask(sandbox, "POST", "/groups", {"name": "VIP"}).json()
    assert ask(sandbox, "GET", "/groups?SearchTerm=vi").json() == [made]
    path = f"/groups/{made['id']}/members"
    member = ask(sandbox, "POST", path, {"email": "eva@example.org"}).json()
    assert ask(sandbox, "POST", path, {"email": "eva@example.org"}).json() == member
    assert sandbox.world.activetrail.holds()["groups"][1]["members"] == [member["id"]]
    assert [ask(sandbox, "DELETE", f"{path}/{member['id']}").status for _ in range(2)] == [200, 404]


def test_contacts(sandbox: Running) -> None:
    """Contacts that were put there are listed by state and day, page by page, without what only the sandbox knows."""
    made = [
        {"id": n, "email": f"a{n}@example.org", "state": "ACTIVE", "changed": f"2026-11-{n:02}T10:00:00"}
        for n in range(1, 8)
    ]
    sandbox.world.activetrail.tell({"contacts": [*made, {**made[0], "id": 9, "state": "CUSTOMER_REQUEST"}]})
    path = "/contacts?CustomerStates=ACTIVE&FromDate=2026-11-02&ToDate=2026-11-06&Limit=3&Page="
    pages = [ask(sandbox, "GET", f"{path}{page}").json() for page in (1, 2)]
    assert [[one["id"] for one in page] for page in pages] == [[2, 3, 4], [5, 6]]
    assert pages[0][0] == {"id": 2, "email": "a2@example.org"}
    assert [one["id"] for one in ask(sandbox, "GET", "/contacts?CustomerStates=CUSTOMER_REQUEST").json()] == [9]
    assert ask(sandbox, "GET", "/contacts?CustomerStates=ALL", key="wrong").status == 401
