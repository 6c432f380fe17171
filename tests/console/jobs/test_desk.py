"""What each verb chooses and does, over the private port, with a real store."""

import json
from typing import Any

import pytest

from console.client import ClientSettings, ConsoleClient
from console.errors import UserError
from tests.conftest import PrivateValkey, wait_until
from tests.console.api.conftest import relais
from tests.console.api.stuck_things import Stuck, StuckConsole, stuck

__all__ = ["relais"]


def client(console: StuckConsole) -> ConsoleClient:
    return ConsoleClient(ClientSettings(console_url=console.url))


def ended(asked: ConsoleClient, id: str) -> Any:
    wait_until(lambda: asked.get(f"/jobs/{id}")["state"] == "done", "the job has ended")
    return asked.get(f"/jobs/{id}")


def test_retry(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """What a dry run says is what the act does; a changed count is refused; the same intent twice is one job."""

    async def prepare(world: Stuck) -> None:
        await world.die("a", "b", who="eva")
        await world.put("c", who="eva")
        await world.end("done")  # overtakes them
        await world.die("d", "e", who="ada")

    stuck(valkey.url, prepare)
    asked = client(relais)
    dry = asked.post("/jobs", {"verb": "retry", "filter": {"destination": "crm"}, "dry": True})
    assert (dry["count"], dry["words"]) == (4, {"overtaken": 2, "done": 2})
    assert [one["word"] for one in dry["left_alone"]] == ["overtaken"] * 2
    assert sum(group["count"] for group in dry["groups"]) == 4
    order = {"verb": "retry", "filter": {"destination": "crm"}, "reason": "mended", "intent": "once"}
    with pytest.raises(UserError, match="count_changed"):
        asked.post("/jobs", {**order, "expect": 5})
    job = asked.post("/jobs", {**order, "expect": 4})
    assert asked.post("/jobs", {**order, "expect": 4})["id"] == job["id"]
    assert ended(asked, job["id"])["words"] == dry["words"]
    story = asked.get("/events/d")
    assert [(one["what"], one["by"] != "", one["why"]) for one in story["decisions"]] == [("revived", True, "mended")]
    assert job["id"] in relais("jobs", "list")
    assert "2 left alone: something newer was sent" in relais("jobs", "show", job["id"])
    assert "nothing to stop" in relais("jobs", "stop", job["id"], status=1)
    lines = json.loads(relais("audit", "list", "--json", "--verb", "retry"))
    assert [(line["what"], line["count"], line["reason"]) for line in lines] == [("dead: destination=crm", 4, "mended")]


def test_drop_and_undrop(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Without a terminal a job begins with --yes only; what it dropped can be had back."""
    stuck(valkey.url, lambda world: world.die("a", "b"))
    assert "Nothing was done: say --yes to do it." in relais("jobs", "start", "drop", status=1)
    assert "2 done" in relais("jobs", "start", "drop", "--yes", "--reason", "a slip")
    dropped = client(relais).get("/jobs")["jobs"][0]["id"]
    assert "2 are dead letters again" in relais("jobs", "undo", dropped)
    undoing = client(relais).get("/jobs")["jobs"][0]["id"]
    assert ended(client(relais), undoing)["words"] == {"done": 2}
    assert "not_undoable" in relais("jobs", "undo", undoing, status=1)
    assert "unknown_job" in relais("jobs", "undo", "job_none", status=1)
    assert "2 done" in relais("jobs", "start", "drop", "--yes", "--reason", "not needed")
    dry = client(relais).post("/jobs", {"verb": "undrop", "dry": True})
    assert (dry["count"], dry["words"]) == (2, {"done": 2})
    assert "No dead letters" in relais("dead", "drop", "--yes")
    assert "2 done" in relais("dead", "undrop", "--yes")
    assert json.loads(relais("jobs", "start", "drop", "--dry", "--json"))["words"] == {"done": 2}
    assert "2 done" in relais("dead", "drop", "--yes", "--at-once")
    assert "No dropped letters" in relais("dead", "undrop", "--yes")


def test_boxes(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Held boxes go on, and first items are skipped, by the box that was chosen."""

    async def prepare(world: Stuck) -> None:
        for name, who in (("a", "eva"), ("b", "ada")):
            await world.put(name, who=who)
            await world.end("hold", "unresolved")

    stuck(valkey.url, prepare)
    assert "2 would be done" in relais("jobs", "start", "release", "--dry")
    assert "1 done" in relais("jobs", "start", "release", "crm/box-eva", "--not-sent", "--yes")
    assert "1 done" in relais("jobs", "start", "skip", "--yes")
    assert stuck(valkey.url, lambda world: world.waiting()) == ["a.0"]


def test_cancel(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """What waits for a destination is given up, as the notebook finds it."""
    stuck(valkey.url, lambda world: world.put("a", "b", "c"))
    dry = {"verb": "cancel", "filter": {"destination": "crm"}, "dry": True}
    # The notebook looks at what is under way from time to time.
    wait_until(lambda: client(relais).post("/jobs", dry)["words"] == {"done": 3}, "the notebook knows of all three")
    assert "1 done" in relais("jobs", "start", "cancel", "b", "--yes")
    assert stuck(valkey.url, lambda world: world.waiting()) == ["a.0", "c.0"]
    assert "No things of this kind" in relais("jobs", "start", "cancel", "--yes")


def test_rate(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A job keeps its rate within 5 percent by the store's clock; one with --yes does as many as there are."""
    count, rate = 150, 50
    stuck(valkey.url, lambda world: world.die(*(f"e{n}" for n in range(count))))
    assert f"{count} done" in relais("jobs", "start", "drop", "--yes", "--rate", f"{rate}/s")

    async def times(world: Stuck) -> list[float]:
        store: Any = world.mailroom.store
        return [at for _, at in await store.zrange(world.mailroom.key("dropped"), 0, -1, withscores=True)]

    at = stuck(valkey.url, times)
    assert len(at) == count
    # Milliseconds that each item came after its time. A busy machine holds some up, and none comes early.
    late = [ms - at[0] - 1000 * n / rate for n, ms in enumerate(at)]
    batch = 1000 * (rate // 10) / rate
    assert min(late) >= -batch - 0.05 * (at[-1] - at[0])
    assert min(late[-count // 3 :]) <= 0.05 * (at[-1] - at[0])
