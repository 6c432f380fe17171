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
        ("GET", "/contacts", None, 501),
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
