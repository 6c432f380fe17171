"""The ledger's lines, as they are written and read back as one story."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailroom import ledger
from rules.matching.truth import Why

HEAD = {
    "at": "2026-11-21T10:00:00.000Z",
    "source": "shop",
    "type": "order.placed",
    "received": "2026-11-21T09:59:59.000Z",
}
ROUTED: dict[str, Any] = {
    "t": "routed",
    **HEAD,
    "book": "b1",
    "fired": ["vip"],
    "missed": [["small", "data.total", "12 is not above 100"]],
    "made": [["e.0", "crm", "upsert_contact", "vip"]],
    "skipped": [],
}


def attempt(then: str, *, d: str = "e.0", n: int = 1, outcome: str = "done", code: str = "") -> dict[str, Any]:
    """Return the line of one attempt."""
    return {
        "t": "attempt",
        "d": d,
        "at": "",
        "n": n,
        "outcome": outcome,
        "code": code,
        "status": 200,
        "ms": 5,
        "then": then,
    }


def tell(*lines: dict[str, Any]) -> ledger.Fate:
    """Return the story of these lines."""
    return ledger.tell("e", [json.dumps(line) for line in lines])


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([], "waiting"),
        ([{**ROUTED, "fired": [], "made": []}], "unmatched"),
        ([ROUTED], "delivering"),
        ([ROUTED, attempt("wait", outcome="transient")], "delivering"),
        ([ROUTED, attempt("hold", outcome="ambiguous")], "delivering"),
        ([ROUTED, attempt("wait", outcome="transient"), attempt("done", n=2)], "delivered"),
        ([ROUTED, attempt("dead", outcome="permanent", code="refused")], "dead"),
        ([ROUTED, {"t": "once", "d": "e.0"}], "skipped"),
        ([ROUTED, {"t": "coalesced", "d": "e.0", "by": "f.0"}], "coalesced"),
        ([ROUTED, {"t": "stale", "d": "e.0", "by": "f.0"}], "stale"),
        ([{**ROUTED, "made": [], "skipped": [["crm", "subscribe", "vip", "no_consent", "absent"]]}], "skipped"),
        ([{**ROUTED, "made": [], "skipped": [["crm", "subscribe", "vip", "stale", "left since"]]}], "stale"),
        ([{**ROUTED, "skipped": [["crm", "subscribe", "vip", "stale", "left since"]]}, attempt("done")], "delivered"),
        ([{"t": "quarantined", **HEAD, "why": "data.email: missing"}], "quarantined"),
        ([{"t": "failed", **HEAD, "book": "b1", "code": "value_failed", "why": "then[0].note"}], "dead"),
        ([{"t": "failed", **HEAD, "book": "b1", "code": "x", "why": "y"}, ROUTED, attempt("done")], "delivered"),
    ],
)
def test_state(lines: list[dict[str, Any]], state: str) -> None:
    """The state follows from the lines, whatever went before."""
    assert tell(*lines).state == state


def test_waits() -> None:
    """A delivery that its rule holds back says until when and why, until it was attempted."""
    held = json.loads(ledger.waits("e.0", 1_800_000_000_000, "business hours"))
    (delivery,) = tell(ROUTED, held).deliveries
    assert (delivery.state, delivery.why) == ("waiting", "not before 2027-01-15T08:00:00.000Z: business hours")
    assert tell(ROUTED, held, attempt("done")).deliveries[0].why == ""


def test_settled() -> None:
    """An event is settled when nothing more happens by itself."""
    assert not tell(ROUTED).settled
    assert tell(ROUTED, attempt("done")).settled


def test_what_follows() -> None:
    """An event is under way as long as something that followed from a delivery is."""
    following = {"t": "next", "d": "e.0", "made": [["e.0.0", "crm", "note", "vip"]], "skipped": []}
    assert tell(ROUTED, attempt("done"), following).state == "delivering"
    assert tell(ROUTED, attempt("done"), following, attempt("done", d="e.0.0")).state == "delivered"
    assert tell(ROUTED, attempt("done"), following, attempt("dead", d="e.0.0", outcome="permanent")).state == "dead"


def test_rules() -> None:
    """Each rule is told with whether it matched, and where it did not; lines of former versions have no code for it."""
    assert tell(ROUTED).rules == [
        {"name": "vip", "matched": True},
        {"name": "small", "matched": False, "at": "data.total", "why": "12 is not above 100"},
    ]
    with_code = tell({**ROUTED, "codes": ["differs"]}).as_json()["rules"][1]
    assert (with_code["why"], with_code["code"]) == ("12 is not above 100", "missed.differs")


def test_attempts() -> None:
    """Every attempt is told; the last one says why a delivery stopped."""
    story = tell(ROUTED, attempt("wait", outcome="transient", code="timeout"), attempt("dead", n=2, code="refused"))
    (delivery,) = story.deliveries
    assert [a["n"] for a in delivery.attempts] == [1, 2]
    assert (delivery.state, delivery.why) == ("dead", "refused")


def test_line_of_nobody() -> None:
    """A line about a delivery that no line made is passed over."""
    assert tell(ROUTED, attempt("dead", d="other.0")).state == "delivering"


def test_as_json() -> None:
    """The story is plain JSON."""
    told = tell(ROUTED, attempt("done")).as_json()
    assert json.loads(json.dumps(told)) == told
    assert (told["source"], told["type"], told["book"]) == ("shop", "order.placed", "b1")


# -- the lines, as they are written


def test_texts_that_look_like_lines() -> None:
    """Whatever the names of rules are, a line says of each what became of it."""
    odd = 'a,"missed":[],"b":["'
    missed = ledger.write_missed([(odd, odd, Why.of("differs", odd))]).line
    line = json.loads(ledger.routed(**{**EVENT, "type": odd}, book=odd, fired=[odd], missed=missed, made=()))
    assert (line["type"], line["book"], line["fired"]) == (odd, odd, [odd])
    assert (line["missed"], line["codes"], line["made"]) == ([[odd, odd, odd]], ["differs"], [])


def test_missed_by_name() -> None:
    """Many rules that did not fire are kept once under a name that lines bear; few stand in each line."""
    many = [(f"rule {n}", "data.city", Why.of("differs", f'data.city is not "Town {n}"')) for n in range(9)]
    short, long = ledger.write_missed(many[:1]), ledger.write_missed(many)
    assert (short.kept, ledger.find_missed(short.line)) == ("", [])
    line = ledger.routed(**EVENT, book="b", fired=[], made=[], missed=long.line)
    (name,) = ledger.find_missed(line)
    place, _, text = long.kept.partition(" ")
    assert (place, len(long.line) < 60, json.loads(line)["missed"]) == (f"=missed:{name}", True, [])
    inline = ledger.routed(**EVENT, book="b", fired=[], made=[], missed=text[1:-1])
    told = ledger.tell("e", [line], {name: json.loads(text)})
    assert told.rules == ledger.tell("e", [inline]).rules
    assert [rule["why"] for rule in told.rules] == [str(why) for _, _, why in many]
    assert ledger.tell("e", [line]).rules == []
    assert ledger.write_missed(many[1:]).line != long.line


AT = "2026-11-21T10:00:01.000Z"
MADE = [("e.0", "crm", "upsert_contact", "vip")]
SKIPPED = [("crm", "subscribe", "vip", "no_consent", "no newsletter consent: absent")]
MISSED = [("small", "data.total", Why.of("differs", "data.total is not above 100"))]
EVENT: dict[str, Any] = {"source": "shop", "type": "order.placed", "received": "2026-11-21T09:59:59.000Z"}


@pytest.fixture
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock stands still."""
    monkeypatch.setattr(ledger, "now", lambda: AT)


@pytest.mark.usefixtures("_now")
@pytest.mark.parametrize(
    ("write", "line"),
    [
        (
            lambda: ledger.routed(
                **EVENT, book="b1", fired=["vip"], missed=ledger.write_missed(MISSED).line, made=MADE
            ),
            '{"t":"routed","at":"2026-11-21T10:00:01.000Z","source":"shop","type":"order.placed",'
            '"received":"2026-11-21T09:59:59.000Z","book":"b1","fired":["vip"],'
            '"missed":[["small","data.total","data.total is not above 100"]],"codes":["differs"],'
            '"made":[["e.0","crm","upsert_contact","vip"]]}',
        ),
        (
            lambda: ledger.routed(**EVENT, book="b", fired=[], made=[], skipped=SKIPPED, again=2),
            '{"t":"routed","at":"2026-11-21T10:00:01.000Z","source":"shop","type":"order.placed",'
            '"received":"2026-11-21T09:59:59.000Z","book":"b","fired":[],"missed":[],"made":[],'
            '"skipped":[["crm","subscribe","vip","no_consent","no newsletter consent: absent"]],"again":2}',
        ),
        (
            lambda: ledger.attempt("e.0", n=2, outcome="transient", code="timeout", status=503, ms=7, then="wait"),
            '{"t":"attempt","d":"e.0","at":"2026-11-21T10:00:01.000Z","n":2,"outcome":"transient","code":"timeout",'
            '"status":503,"ms":7,"then":"wait"}',
        ),
        (
            lambda: ledger.never_made("e.0", "value_failed", "data.x: absent"),
            '{"t":"attempt","d":"e.0","at":"2026-11-21T10:00:01.000Z","then":"dead","code":"value_failed",'
            '"why":"data.x: absent"}',
        ),
        (
            lambda: ledger.next_actions("e.0", MADE, SKIPPED),
            '{"t":"next","d":"e.0","at":"2026-11-21T10:00:01.000Z","made":[["e.0","crm","upsert_contact","vip"]],'
            '"skipped":[["crm","subscribe","vip","no_consent","no newsletter consent: absent"]]}',
        ),
        (
            lambda: ledger.next_lost("e.0", "event or book are gone"),
            '{"t":"next","d":"e.0","at":"2026-11-21T10:00:01.000Z","why":"event or book are gone"}',
        ),
        (
            lambda: ledger.failed(**EVENT, book="b1", code="unreadable_event", why="it cannot be read"),
            '{"t":"failed","at":"2026-11-21T10:00:01.000Z","source":"shop","type":"order.placed",'
            '"received":"2026-11-21T09:59:59.000Z","book":"b1","code":"unreadable_event","why":"it cannot be read"}',
        ),
        (
            lambda: ledger.quarantined(**EVENT, why="data.email: missing"),
            '{"t":"quarantined","at":"2026-11-21T09:59:59.000Z","source":"shop","type":"order.placed",'
            '"received":"2026-11-21T09:59:59.000Z","why":"data.email: missing"}',
        ),
        (
            lambda: ledger.released("e.0", ledger.Decision("ada", "it is not there")),
            '{"t":"released","d":"e.0","at":"2026-11-21T10:00:01.000Z","by":"ada","why":"it is not there"}',
        ),
        (lambda: ledger.released("e.0"), '{"t":"released","d":"e.0","at":"2026-11-21T10:00:01.000Z"}'),
        (
            lambda: ledger.skipped("e.0", code="unresolved", then="dropped"),
            '{"t":"skipped","d":"e.0","at":"2026-11-21T10:00:01.000Z","code":"unresolved","then":"dropped"}',
        ),
        (lambda: ledger.revived("e.0"), '{"t":"revived","d":"e.0","at":"2026-11-21T10:00:01.000Z"}'),
        (lambda: ledger.again("e.0"), '{"t":"again","d":"e.0","at":"2026-11-21T10:00:01.000Z"}'),
        (lambda: ledger.dropped("e.0"), '{"t":"dropped","d":"e.0","at":"2026-11-21T10:00:01.000Z"}'),
        (lambda: ledger.undropped("e.0"), '{"t":"undropped","d":"e.0","at":"2026-11-21T10:00:01.000Z"}'),
    ],
)
def test_written_lines(write: Callable[[], str], line: str) -> None:
    """Each line is compact JSON in one order of keys: the mailroom's Lua looks for some of them by their text."""
    assert write() == line


def test_written_and_read() -> None:
    """What is written is read back: a story with each kind of line, the last one deciding."""
    routed = ledger.routed(
        **EVENT, book="b1", fired=["vip"], missed=ledger.write_missed(MISSED).line, made=MADE, skipped=SKIPPED
    )
    held = ledger.attempt("e.0", n=1, outcome="ambiguous", code="timeout", status=0, ms=9, then="hold")
    story = [routed, held]
    for line, state, delivery in (
        (ledger.released("e.0"), "delivering", "waiting"),
        (ledger.skipped("e.0", code="timeout", then="dead"), "dead", "dead"),
        (ledger.revived("e.0"), "delivering", "waiting"),
        (ledger.never_made("e.0", "value_failed", "data.x: absent"), "dead", "dead"),
        (ledger.dropped("e.0"), "skipped", "skipped"),
        (ledger.undropped("e.0"), "dead", "dead"),
        (ledger.attempt("e.0", n=1, outcome="done", code="", status=200, ms=9, then="done"), "delivered", "delivered"),
        (ledger.next_actions("e.0", [("e.0.0", "crm", "add_note", "vip")], []), "delivering", "delivered"),
    ):
        story.append(line)
        fate = ledger.tell("e", story)
        assert (fate.state, fate.deliveries[0].state) == (state, delivery), line
    assert (fate.source, fate.type, fate.received_at, fate.book) == (*EVENT.values(), "b1")
    assert [(d.id, d.action, d.state) for d in fate.deliveries] == [
        ("e.0", "upsert_contact", "delivered"),
        ("", "subscribe", "skipped"),
        ("e.0.0", "add_note", "waiting"),
    ]
    assert [a["outcome"] for a in fate.deliveries[0].attempts] == ["ambiguous", "done"]
    assert ledger.tell("e", [ledger.quarantined(**EVENT, why="no")]).state == "quarantined"
    assert (
        ledger.tell("e", [ledger.failed(**EVENT, book="b", code="x", why="no"), ledger.again("e")]).state == "waiting"
    )


def test_now() -> None:
    """The ledger's clock is the wall clock in UTC, as instants are written everywhere."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    told = ledger.now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told)
    assert before <= datetime.fromisoformat(told) <= datetime.now(UTC)


def test_decisions() -> None:
    """What people did is told with who and why, in its order; what an older program wrote has nobody's name."""
    ada = ledger.Decision("ada", "the address is mended")
    lines = [
        ledger.quarantined(source="shop", type="order.paid", received="2026-11-21T10:00:00.000Z", why="email: no"),
        ledger.looked("e", ada),
        ledger.taken_in("e", ada, shelf="quarantine"),
        '{"t":"dropped","d":"e","at":"2026-11-21T11:00:00.000Z"}',
    ]
    story = ledger.tell("e", lines)
    assert [(one["what"], one["item"], one["by"], one["why"]) for one in story.decisions] == [
        ("looked", "e", "ada", "the address is mended"),
        ("taken_in", "e", "ada", "the address is mended"),
        ("dropped", "e", "", ""),
    ]
    assert (ledger.tell("e", lines[:2]).state, ledger.tell("e", lines[:3]).state, story.state) == (
        "quarantined",
        "waiting",
        "skipped",
    )
    assert "decisions" in story.as_json()
    assert "decisions" not in ledger.tell("e", lines[:1]).as_json()


OBSERVED = ["crm", "add_note", "try", "", ""]


def test_observed() -> None:
    """What an observed rule would have asked for is told like a delivery, and decides nothing of the others."""
    alone = tell({**ROUTED, "fired": [], "made": [], "observed": [OBSERVED, ["", "", "drop", "", ""]]})
    assert (alone.state, alone.settled) == ("observed", True)
    assert [(rule["name"], rule.get("observed")) for rule in alone.rules if rule["matched"]] == [
        ("try", True),
        ("drop", True),
    ]
    assert [(one.action, one.state, one.why) for one in alone.deliveries] == [("add_note", "observed", "")]
    failed = [*OBSERVED[:3], "value_failed", "nothing at data.x"]
    beside = tell({**ROUTED, "observed": [failed]}, attempt("done"))
    assert (beside.state, beside.deliveries[1].why) == ("delivered", "value_failed: nothing at data.x")


def test_observed_before() -> None:
    """An event that is routed anew, once its rule is in force, tells only what became of it then."""
    first = {**ROUTED, "fired": [], "made": [], "observed": [OBSERVED]}
    assert [one.state for one in tell(first, ROUTED, attempt("done")).deliveries] == ["delivered"]


def test_every_kind_of_line_is_explained() -> None:
    """The head of the module and the page of the architecture name each kind of line, and none that is not written."""
    kinds = {name for name in vars(ledger._Story) if not name.startswith("_")} - {"decided", "end"} | ledger.DECISIONS
    assert set(re.findall(r"^  (\w+)  +\S", ledger.__doc__ or "", re.MULTILINE)) == kinds
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, _, table = page.partition("## The ledger")
    rows = re.findall(r"^\| (`[^|]+`) \|", table.partition("\n## ")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == kinds
