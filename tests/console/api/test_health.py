import json
from pathlib import Path

import pytest

from console.errors import UserError
from tests.conftest import PrivateValkey
from tests.console.api.console_process import asked, begin, ready
from tests.console.conftest import Start


def test_readyz(start: Start, valkey: PrivateValkey, book: Path) -> None:
    """Readiness says in words what is not there, and what an acknowledged event survives."""
    url = begin(start, valkey.url)
    found = ready(url)
    assert found["ready"] is False
    assert {check["name"]: check["ok"] for check in found["checks"]} == {
        "store": True,
        "kept": True,
        "noeviction": True,
        "persistence": True,
        "memory": True,
        "replicas": True,
        "disk": True,
        "spool": True,
        "drains": False,
        "book": True,
    }
    assert found["checks"][0]["says"] == "no drain is alive, so events wait"
    assert "acknowledged events survive a power cut" in json.dumps(found)


def test_readyz_without_a_store(start: Start, book: Path) -> None:
    """The console is there also when the store is away, and says so."""
    (book / "book.yaml").write_text("rules: [\n")
    url = begin(start, "redis://127.0.0.1:9")
    found = {check["name"]: check for check in ready(url)["checks"]}
    assert found["store"]["says"].startswith("the store does not answer")
    assert found["book"]["ok"] is False
    with pytest.raises(UserError, match=r"^store_away: "):
        asked(url, "/events")
