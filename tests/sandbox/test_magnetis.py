import pytest

from sandbox.server import Running
from tests.sandbox.conftest import SandboxAnswer, send


def ask(sandbox: Running, path: str, key: str = "sandbox-magnetis-key", method: str = "GET") -> SandboxAnswer:
    return send(f"{sandbox.base('magnetis')}{path}", method, headers={"x-api-key": key})


def test_key(sandbox: Running) -> None:
    """Without a key it is 401; the sandbox key reads as well."""
    assert ask(sandbox, "/calls", "wrong").status == 401
    assert ask(sandbox, "/calls", "sandbox-magnetis-sample-key").json()["data"] == []


def test_pages(sandbox: Running) -> None:
    """Pages of 250 at the most; `links.next` is null on the last."""
    rows = [{"id": f"call-{n}", "start_at": "2026-11-28 10:00:00"} for n in range(300)]
    sandbox.world.magnetis.tell({"calls": rows})
    first, last = (ask(sandbox, f"/calls?page={page}").json() for page in (1, 2))
    assert (len(first["data"]), len(last["data"])) == (250, 50)
    assert first["links"]["next"].endswith("?page=2")
    assert last["links"]["next"] is None
    assert first["meta"]["total"] == 300
    assert ask(sandbox, "/calls?limit=251").status == 422


def test_window(sandbox: Running) -> None:
    """`from` and `to` are UTC without separators."""
    rows = [{"id": f"call-{day}", "start_at": f"2026-11-{day} 10:00:00"} for day in (26, 27, 28)]
    sandbox.world.magnetis.tell({"calls": rows})
    found = ask(sandbox, "/calls?from=20261127000000&to=20261128000000").json()["data"]
    assert [row["id"] for row in found] == ["call-27"]
    assert ask(sandbox, "/calls?from=yesterday").status == 422


def test_daily(sandbox: Running) -> None:
    """A key that has used its day is refused."""
    sandbox.world.magnetis.tell({"daily": 2})
    assert [ask(sandbox, "/leads").status for _ in range(3)] == [200, 200, 429]
    sandbox.world.magnetis.tell({"daily": 5000})


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/conversions"), ("POST", "/calls"), ("GET", "/calls?sort=asc"), ("GET", "/numbers/1")]
)
def test_not_modelled(sandbox: Running, method: str, path: str) -> None:
    """What it does not model is 501 or 405, never an answer that looks right."""
    assert ask(sandbox, path, method=method).status in (405, 501)


def test_unknown_setting(sandbox: Running) -> None:
    """A setting that it does not have is an error."""
    with pytest.raises(ValueError, match="find_lag"):
        sandbox.world.magnetis.tell({"find_lag": 1})
