"""`relais sources`, over HTTP: a real console on a real store."""

import getpass

from tests.conftest import PrivateValkey
from tests.console.api.stuck_things import Stuck, StuckConsole, event, stuck
from tests.console.api.test_aside import enforce


def put_three(url: str) -> None:
    """Put a book in force, and three events of two persons."""

    async def do(it: Stuck) -> None:
        await enforce(it)
        await it.mailroom.put([event("a", 1), event("b", 2), event("c", 3, who="ada")])

    stuck(url, do)


def test_hold(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A source is held until a time, looked at without a value of a person, and released."""
    put_three(valkey.url)
    assert "is not held" in relais("sources", "held", "shop", status=1)
    assert relais("sources", "hold", "shop", "--until", "2h", "--reason", "nonsense").startswith("shop is held until 2")
    assert "was held already" in relais("sources", "hold", "shop", "--reason", "nonsense")
    assert "unknown_source" in relais("sources", "hold", "none", status=1)
    shown = relais("sources", "held", "shop", "--each")
    assert f"shop is held by {getpass.getuser()} since" in shown
    assert "nonsense; 3 events wait" in shown
    assert "behind a" in shown
    assert "example.org" not in shown
    assert relais.json("sources", "held", "shop")["types"] == {"order.paid": 3}
    assert "shop is held by" in relais.json("events", "show", "a")["why"]
    assert relais("sources", "release", "shop") == "shop is held no longer.\n"
    assert relais("sources", "release", "shop") == "shop was not held.\n"
    assert relais.json("sources", "release", "shop") == {"changed": False}


def test_some(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Some are released or given up after a count; what would overtake is said and waits, unless the older go, too."""
    put_three(valkey.url)
    relais("sources", "hold", "shop")
    said = relais("sources", "release", "shop", "--event", "b", status=1)
    assert "1 held events of the same persons came before some of these" in said
    assert "Held events: 1 would be routed. Nothing was done" in said
    assert relais.json("sources", "held", "shop")["total"] == 3
    done = relais.json("sources", "release", "shop", "--event", "b", "--with-older", "--yes")
    assert done["words"] == {"done": 2}
    assert [one["id"] for one in relais.json("sources", "held", "shop")["items"]] == ["c"]
    relais("sources", "discard", "shop", "--all", status=2)
    relais("sources", "discard", "shop", "--reason", "sent twice", status=2)
    done = relais.json("sources", "discard", "shop", "--type", "order.paid", "--reason", "sent twice", "--yes")
    assert done["words"] == {"done": 1}
    story = relais.json("events", "show", "c")
    assert (story["state"], [(one["what"], one["why"]) for one in story["decisions"]]) == (
        "skipped",
        [("dropped", "sent twice")],
    )
