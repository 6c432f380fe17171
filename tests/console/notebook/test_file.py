"""The notebook's file: what is noted, what is counted once, what age takes, and what is left of a forgotten person."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.notebook import EventFilter, Notebook, NotebookUnusable, search
from console.notebook.file import bound_of
from mailroom import Fate
from mailroom.ledger import DeliveryFate
from mailroom.operator import NONE
from mailroom.sentences import Reason
from rules.event_types.base import from_epoch, to_epoch

NOW = to_epoch("2026-11-29T12:00:00Z")
DAY = 86_400_000


def fate(name: str, ago: int = 60_000, *, state: str = "delivered", who: str = "h-eva", tries: int = 1) -> Fate:
    """Return a story of an event with one delivery, received some ms ago."""
    attempt = {"at": from_epoch(NOW - ago + 40), "n": 1, "outcome": "done", "code": "", "status": 200, "ms": 30}
    failed = {**attempt, "outcome": "transient", "code": "timeout", "status": 0, "ms": 9_000}
    attempts = [failed] * (tries - 1) + [attempt if state == "delivered" else failed]
    why = "timeout" if state == "dead" else ""
    one = DeliveryFate(f"{name}.0", "crm", "add_note", "notes", state, why, attempts=attempts)  # type: ignore[arg-type]
    received = from_epoch(NOW - ago)
    return Fate(name, "shop", "order.paid", received, who=[who], state=state, book="b1", deliveries=[one])  # type: ignore[arg-type]


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    found = Notebook(tmp_path / "notebook.sqlite")
    yield found
    found.close()


def pages(notebook: Notebook, chosen: EventFilter, limit: int) -> list[list[str]]:
    """Return the ids of all pages."""
    found, cursor, more = [], "", True
    while more:
        rows, cursor = search.page(notebook, chosen, limit, cursor)
        found.append([row["id"] for row in rows])
        more = bool(cursor)
    return found


def test_pages(notebook: Notebook) -> None:
    """Pages come newest first, each event once, also when others come meanwhile."""
    notebook.write([fate(f"e{n}", n * 1000) for n in range(5)], NOW)
    first, cursor = search.page(notebook, EventFilter(), 2)
    notebook.write([fate("late", 0), fate("e0", 0)], NOW)
    second, _ = search.page(notebook, EventFilter(), 9, cursor)
    assert [row["id"] for row in (*first, *second)] == ["e0", "e1", "e2", "e3", "e4"]
    assert pages(notebook, EventFilter(), 4) == [["late", "e0", "e1", "e2"], ["e3", "e4"]]


FILTERS = {
    "source=shop": 3,
    "source=other": 0,
    "type=order.*": 3,
    "type=order.paid": 3,
    "type=order": 0,
    "state=dead": 1,
    "book=b1": 3,
    "destination=crm": 3,
    "rule=notes&code=timeout": 1,
    "rule=other": 0,
    "who=h-max": 1,
}


@pytest.mark.parametrize("query", FILTERS)
def test_filters(notebook: Notebook, query: str) -> None:
    """Each filter finds what it names, and the count is that of the page."""
    some = [fate("a"), fate("b", state="dead"), fate("c", who="h-max")]
    notebook.write(some, NOW)
    chosen = EventFilter(**dict(part.split("=") for part in query.split("&")))  # type: ignore[arg-type]
    assert search.count(notebook, chosen) == len(search.page(notebook, chosen, 9)[0]) == FILTERS[query]
    if not chosen.who:
        assert sum(chosen.fits(each) for each in some) == FILTERS[query]


def test_span(notebook: Notebook) -> None:
    """since is within the span, until is not."""
    notebook.write([fate("a", 3000), fate("b", 2000), fate("c", 1000)], NOW)
    assert pages(notebook, EventFilter(since=NOW - 2000, until=NOW - 1000), 9) == [["b"]]


def test_causes(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead deliveries are grouped by destination, code and rule."""
    notebook.write([fate("a", 5000, state="dead"), fate("b", 1000, state="dead"), fate("c")], NOW)
    [cause] = search.group_dead(notebook, {}, NOW)
    assert (cause["destination"], cause["code"], cause["rule"], cause["count"]) == ("crm", "timeout", "notes", 2)
    assert cause["oldest"] < cause["newest"]
    assert cause["sample"] == "b.0"
    assert [one["rule"] for one in search.group_dead(notebook, {"code": "timeout"}, NOW)] == ["notes"]
    assert [one["id"] for one in search.list_dead(notebook, {"rule": "notes"}, NOW)] == ["a.0", "b.0"]
    for chosen in ({"event": "b"}, {"id": "b.0"}, {"event": "b", "source": "shop", "type": "order.paid"}):
        assert [one["id"] for one in search.list_dead(notebook, chosen, NOW)] == ["b.0"]
    assert search.list_dead(notebook, {"rule": NONE}, NOW) == []
    for many in (0, 9):
        monkeypatch.setattr(search, "MANY", many)
        first, total = search.first_dead(notebook, {"rule": "notes", "code": "timeout"}, NOW, 1)
        assert ([one["id"] for one in first], total) == (["a.0"], 2)
    assert search.group_dead(notebook, {"destination": "other"}, NOW) == []
    assert search.group_dead(notebook, {"source": "other"}, NOW) == []
    assert search.group_dead(notebook, {"source": "shop"}, NOW, NOW - 3000)[0]["count"] == 1
    assert search.group_dead(notebook, {"event": "a"}, NOW)[0]["sample"] == "a.0"
    assert search.group_dead(notebook, {}, NOW + 30 * DAY) == [], "they are given up by then"
    assert search.list_dead(notebook, {}, NOW + 30 * DAY) == []


#: What is done: an event is noted anew (days since it was received, rule and state of each delivery), or another thing.
STEP = st.tuples(
    st.sampled_from(("a", "b", "c", "expire", "clear")),
    st.integers(0, 35),
    st.lists(st.tuples(st.sampled_from("rs"), st.sampled_from(("dead", "dead", "delivered", "waiting"))), max_size=3),
)


@settings(max_examples=50)
@given(st.lists(STEP, max_size=12), st.booleans())
def test_causes_counted(steps: list[tuple[str, int, list[tuple[str, str]]]], timed: bool) -> None:
    """The causes counted as dead letters come and go are those that reading all of them finds."""
    notebook = Notebook(None)
    for name, days, deliveries in steps:
        if name == "expire":
            notebook.expire(NOW)
        elif name == "clear":
            notebook.clear()
        else:
            died = fate(name, days * DAY)
            since = from_epoch(NOW - days * DAY // 2) if timed else ""
            died.deliveries = [
                DeliveryFate(f"{name}.{n}", "crm", "add_note", rule, state, "invalid", since)  # type: ignore[arg-type]
                for n, (rule, state) in enumerate(deliveries)
            ]
            notebook.write([died], NOW)
        for now in (NOW, NOW + 20 * DAY):
            read = search.group_dead(notebook, {}, now, since=1)
            assert search.group_dead(notebook, {}, now) == read
    notebook.close()


def test_reasons(notebook: Notebook) -> None:
    """Why something is dead is told with what is known beyond its code, from which pages make it in their language."""
    died = fate("a", state="dead")
    died.deliveries[0].why = "invalid: it refuses the field phone"
    notebook.write([died], NOW)
    [row], _ = search.page(notebook, EventFilter(), 9)
    assert row["deliveries"][0]["args"] == {"why": "it refuses the field phone"}
    [cause], [letter] = search.group_dead(notebook, {}, NOW), search.list_dead(notebook, {}, NOW)
    for why in (cause["why"], letter["why"]):
        assert isinstance(why, Reason)
        assert (why, why.args) == (died.deliveries[0].why, row["deliveries"][0]["args"])
    notebook.write([fate("b", state="waiting")], NOW)
    [waiting] = search.page(notebook, EventFilter(state="waiting"), 9)[0][0]["deliveries"]
    assert (waiting["code"], "why" in waiting, "args" in waiting) == ("timeout", False, False)


def test_dead_event(notebook: Notebook) -> None:
    """An event that could not be routed is a dead letter of the inbox, and no delivery of its own."""
    died = Fate("a", "shop", "order.paid", from_epoch(NOW), state="dead", why="it is damaged", code="event_damaged")
    died.since = from_epoch(NOW + 5)
    notebook.write([died], NOW)
    [cause] = search.group_dead(notebook, {}, NOW)
    assert (cause["destination"], cause["code"], cause["sample"]) == ("in", "event_damaged", "a")
    assert [(one["id"], one["destination"]) for one in search.list_dead(notebook, {"rule": NONE}, NOW)] == [("a", "in")]
    assert search.page(notebook, EventFilter(), 9)[0][0]["deliveries"] == []
    died.state = "waiting"
    notebook.write([died], NOW)
    assert search.group_dead(notebook, {}, NOW) == []


def test_series(notebook: Notebook) -> None:
    """What came and was attempted is counted once, however often its story is read."""
    waiting = fate("a", state="waiting", tries=2)
    notebook.write([waiting], NOW)
    notebook.write([waiting], NOW)
    waiting.deliveries[0].attempts.append(fate("a").deliveries[0].attempts[0])
    notebook.write([waiting], NOW)
    found = search.stats(notebook, NOW // 1000 - 3600, NOW // 1000, 60)
    assert sum(found["sources"]["shop"]) == 1
    crm = found["destinations"]["crm"]
    assert {word: sum(steps) for word, steps in crm["attempts"].items()} == {"done": 1, "transient": 2}
    assert crm["ms"] == {"p50": 10_000, "p95": 10_000, "p99": 10_000}
    assert crm["from_receipt_ms"]["p50"] == 50
    assert len(found["steps"]) == len(found["sources"]["shop"]) == 60


def test_expire(notebook: Notebook) -> None:
    """After 31 days an event goes with all that hangs on it; in a full notebook the oldest go before."""
    notebook.write([fate("old", 32 * DAY, who="h-old"), fate("young", DAY), fate("new", 0)], NOW)
    while notebook.expire(NOW, 1):
        pass
    assert pages(notebook, EventFilter(), 9) == [["new", "young"]]
    assert notebook.read("SELECT * FROM who WHERE hash = 'h-old'") == []
    assert len(notebook.read("SELECT * FROM delivery")) == 2
    notebook._most = 1
    while notebook.expire(NOW, 1):
        pass
    assert pages(notebook, EventFilter(), 9) == [["new"]]


def test_open(notebook: Notebook) -> None:
    """What is not settled is looked at again; what is settled is not."""
    notebook.write([fate("a", state="delivering"), fate("b")], NOW)
    assert notebook.list_open(NOW + 1, 9) == ["a"]
    assert notebook.list_open(NOW, 9) == []
    assert notebook.list_new(["a", "b", "c"]) == ["a", "c"]
    notebook.look_again(["a", "b"], NOW + 5)
    assert notebook.list_open(NOW + 6, 9) == ["a"]
    assert notebook.list_open(NOW + 5, 9) == []


def test_forget(tmp_path: Path) -> None:
    """A forgotten hash stands nowhere in the file, and the events stay."""
    path = tmp_path / "notebook.sqlite"
    notebook = Notebook(path)
    notebook.write([fate(f"e{n}", who="h-forgotten-eva") for n in range(50)], NOW)
    assert notebook.forget(["h-forgotten-eva", "h-unknown"], 1 << 62) == 50
    found = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    notebook.close()
    assert b"h-forgotten-eva" not in found
    assert Notebook(path).read("SELECT count(*) AS n FROM event")[0]["n"] == 50


def test_damaged(tmp_path: Path) -> None:
    """A damaged file, or one of another version, is written anew; one that cannot be written is said."""
    path = tmp_path / "notebook.sqlite"
    path.write_bytes(b"no database" * 1000)
    Notebook(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    notebook = Notebook(path)
    assert notebook.meta("cursor") == ""
    notebook.write([], NOW, cursor="1-0")
    notebook.close()
    again = Notebook(path)
    assert again.meta("cursor") == "1-0"
    again.clear()
    assert again.meta("cursor") == ""
    again.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(NotebookUnusable, match="RELAIS_NOTEBOOK"):
        Notebook(tmp_path / "file" / "notebook.sqlite")


def test_bounds() -> None:
    """A duration counts to the smallest bound that holds it; beyond the last one, to that."""
    assert [bound_of(ms) for ms in (0, 5, 6, 10**12)] == [5, 5, 10, 86_400_000]


def test_histograms(notebook: Notebook) -> None:
    """What was measured lately is counted once, by its bounds, and kept for ever, however often its event is noted."""
    kept = {"first": NOW - 60_000 + 3, "late": NOW - 60_000 - 9, "slow": NOW}
    notebook.write([fate("first", tries=2)], NOW, kept)
    notebook.write([fate("first", tries=2), fate("late")], NOW, kept)
    notebook.write([fate("slow", 200_000_000), fate("unknown")], NOW, kept)
    notebook.write([fate("old", 9_000_000)], NOW)
    assert search.histograms(notebook) == {
        "kept": {"shop": {"5": 2, "more": 1, "sum": 200_000_003}},
        "took": {"crm": {"50": 3, "10000": 1, "sum": 9_090}},
        "delivered": {"shop|crm": {"50": 3, "sum": 120}},
    }
    notebook.expire(NOW + 40 * 86_400_000)
    assert search.histograms(notebook)["took"] == {"crm": {"50": 3, "10000": 1, "sum": 9_090}}
