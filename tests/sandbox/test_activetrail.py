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
        ("GET", "/contacts?CustomerStates=ALL&SearchTerm=a", None, 501),
        ("GET", "/groups", None, 501),
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


def test_no_settings(sandbox: Running) -> None:
    """It has no settings."""
    with pytest.raises(ValueError, match="find_lag"):
        sandbox.world.activetrail.tell({"find_lag": 1})


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
