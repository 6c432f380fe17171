"""`relais pull`, over HTTP: a real console on a real store."""

import time

from console.api import pulls
from mailroom.pulls import PullBoard
from tests.conftest import PrivateValkey
from tests.console.api.stuck_things import Stuck, StuckConsole, stuck

BOOK = """
sources:
  tel:
    kind: magnetis
    verify: {none: a source for tests}
    pull: {api_key: "${KEY}"}
  quiet:
    kind: magnetis
    verify: {none: a source for tests}
"""
DAY = 86_400_000


async def keep_book(it: Stuck) -> None:
    await it.mailroom.keep_book("v1", {"a.yaml": BOOK})


def test_back_fill(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A back-fill is asked for, is shown with what is left of the quota, and is stopped."""
    assert relais("pull") == "Nothing has been fetched from any source yet.\n"
    stuck(valkey.url, keep_book)
    asked = relais.json("pull", "tel", "--since", "2026-11-01", "--until", "2026-11-02")
    fill = asked["pulls"][0]["fill"]
    assert (fill["since"], fill["until"], fill["done"]) == ("2026-11-01T00:00:00.000Z", "2026-11-02T00:00:00.000Z", 0.0)
    assert fill["by"]

    async def get_on(it: Stuck) -> None:
        board = PullBoard(it.mailroom)
        now = int(time.time() * 1000)
        quota = {"used": 12, "limit": 5000, "reserve": 500, "ends": now + DAY}
        marks = {"calls": now}
        await board.say("tel", {"marks": marks, "at": now, "next": now, "quota": quota, "fetched": 9, "new": 4})
        now_at = (await board.fills())["tel"]
        marks = {"calls": now_at["since"] + DAY // 2}
        await board.say_fill("tel", {**now_at, "marks": marks, "began": now - 60_000, "new": 3, "fetched": 5})

    stuck(valkey.url, get_on)
    (tel,) = relais.json("pull")["pulls"]
    assert (tel["quota"]["left"], tel["fill"]["done"]) == (4988, 0.5)
    assert tel["fill"]["ends_about"] > tel["at"]
    shown = relais("pull")
    assert "4988 of 5000" in shown
    assert "back-fill 50%: 3 new of 5, ends about" in shown
    assert relais("pull", "tel", "--stop") == "tel: stopped.\n"
    assert relais("pull", "tel", "--stop") == "tel: no back-fill goes on.\n"


def test_refused(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """What cannot be fetched from, or a time that cannot be, is refused with the reason."""
    assert "no_book" in relais("pull", "tel", "--since", "2026-11-01", status=1)
    stuck(valkey.url, keep_book)
    assert "unknown_source" in relais("pull", "none", "--since", "2026-11-01", status=1)
    assert "not_pulled" in relais("pull", "quiet", "--since", "2026-11-01", status=1)
    assert "bad_time" in relais("pull", "tel", "--since", "2999-01-01", status=1)
    assert "name the source" in relais("pull", "--since", "2026-11-01", status=2)
    assert "--until needs --since" in relais("pull", "tel", "--until", "2026-11-01", status=2)


def test_end_of_a_back_fill() -> None:
    """Its end is told from how far it has come; what has ended is done, whatever its marks say."""
    now = int(time.time() * 1000)
    fill = {"since": now - DAY, "until": now, "asked": now, "by": "", "marks": {"calls": now - DAY // 2}}
    told = pulls.as_json("tel", {"marks": {"calls": now, "leads": now}}, {**fill, "began": now - 1000})["fill"]
    assert told["done"] == 0.25
    assert told["ends_about"] > told["began"]
    ended = pulls.as_json("tel", {}, {**fill, "began": now, "ended": now})["fill"]
    assert (ended["done"], ended["ends_about"]) == (1.0, None)
