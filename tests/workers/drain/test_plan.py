"""What the rules ask for of an event, as a plan: no store, no loop."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from console import catalogue
from mailroom import ledger
from mailroom.reroute import Reroute
from receiver import sources
from rules import event as events
from rules import rule
from rules.action import Skipped
from rules.compiler import loader
from rules.event import Event
from rules.event_types.base import from_epoch
from rules.rulebook import Rulebook
from tests.workers.drain.test_loop import LOOK_UP
from tests.workers.worker_fixture import HEAD, HOLD, NOTE, UPSERT, event, hours
from workers import delivery as deliveries
from workers.drain import plan as plans
from workers.drain.plan import LookUpResults, Plan, PlanContext, plan, why_failed
from workers.outcome import Failed

#: Filled from a field that nobody sends.
BROKEN = NOTE.replace("keep a note", "broken").replace("{{ data.name }}", "{{ data.nobody_sends_this }}")
DEFAULTS = {
    "url": "https://crm.example.org",
    "retain": 0,
    "concurrency": 5,
    "timeout": 2,
    "more": "",
    "desk": "",
    "other": "",
    "alerts": "",
}


def book(rules: str) -> Rulebook:
    """Compile rules."""
    checked = loader.check_texts({"book.yaml": HEAD.format(**DEFAULTS) + rules}, catalogue.build())
    assert checked.book is not None, checked.problems
    return checked.book


def read(one: Event) -> Event:
    """Return an event as the drain reads it from the store."""
    return events.decode(one.id, one.encode(), sources.read)


def context(free: int = 9, serves: tuple[str, ...] = ("crm", "other")) -> PlanContext:
    """Return what a drain says that may lease so many boxes and serves these destinations."""
    return PlanContext(lambda text: f"#{text}", serves.__contains__, lambda: free)


def plan_for(
    rules: str,
    one: Event | None = None,
    found: dict[str, LookUpResults] | None = None,
    redo: Reroute | None = None,
    about: PlanContext | None = None,
) -> Plan:
    """Return the plan for an event by these rules."""
    by, it = book(rules), read(one or event("e1"))
    matching = by.match(it)
    matching = matching if redo is None else redo.narrow(matching)
    return plan(it, matching, found or {}, redo, by, about or context())


def test_deliveries() -> None:
    """Each action becomes a delivery in the order of the book, with an id of its own in the box that is its home."""
    made = plan_for(UPSERT + NOTE)
    assert made.made == [
        ("e1.0", "crm", "upsert_contact", "keep the contact"),
        ("e1.1", "crm", "add_note", "keep a note"),
    ]
    assert [new.id for new in made.new] == ["e1.0", "e1.1"]
    assert [new.box for new in made.new] == ["#email:eva@example.org"] * 2
    first = deliveries.decode(made.new[0].record)
    assert (first.event, first.day, first.book) == ("e1", read(event("e1")).received_at[:10], made.book)
    assert first.arguments["last_name"] == "e1"
    assert (made.skipped, made.failed) == ([], {})


def test_each_has_its_own_names() -> None:
    """Deliveries of one event stand in the boxes of whom they are about, whoever the one before was about."""
    rules = "".join(
        NOTE.replace("keep a note", f"note {n}").replace("{{ data.email }}", email)
        for n, email in enumerate(("{{ data.email }}", "{{ data.email }}", "ada@example.org", "{{ data.email }}"))
    )
    eva, ada = "#email:eva@example.org", "#email:ada@example.org"
    assert [(new.box, new.names) for new in plan_for(rules).new] == [(box, (box,)) for box in (eva, eva, ada, eva)]


def test_said_of_who_leaves() -> None:
    """A delivery says so if its person leaves, and if it may end then; a bounce goes first, and ends nothing."""

    def said(type: str, more: str = "") -> tuple[bool, bool, bool]:
        new = plan_for(
            NOTE.replace("person.changed", type).replace("data.name", "raw.name") + more, event("e1", type=type)
        ).new[0]
        record = deliveries.decode(new.record)
        return new.urgent, record.leaves, record.waits

    assert said("contact.unsubscribed") == (True, True, False)
    assert said("contact.bounced") == (True, False, False)
    assert said("person.changed", "    delay: 1d\n") == (False, False, True)


def test_leased_at_once() -> None:
    """As many new deliveries as the drain has room for may be leased at once, of destinations that it serves."""
    rules = UPSERT + NOTE + UPSERT.replace("keep the contact", "elsewhere").replace("crm.", "other.")
    for free, leased in ((9, [True, True, True]), (2, [True, True, False]), (0, [False, False, False])):
        made = plan_for(rules, about=context(free))
        assert [new.lease for new in made.new] == leased
        assert set(made.fresh) == {new.id for new in made.new if new.lease}
    made = plan_for(rules, about=context(serves=("other",)))
    assert set(made.fresh) == {"e1.2"}
    delivery, model = made.fresh["e1.2"]
    assert (delivery.id, model.model_dump()["email"]) == ("e1.2", "eva@example.org")


def test_rule_that_fails() -> None:
    """An action that cannot be filled is a dead letter at its own destination; the others of its rule go on."""
    twice = BROKEN.replace("    then:\n", "    then:\n      - other.upsert_contact:\n          email: a@example.org\n")
    made = plan_for(UPSERT + twice + NOTE)
    assert [new.id for new in made.new if new.dead] == ["e1.2"]
    assert [line[1:] for line in made.made] == [
        ("crm", "upsert_contact", "keep the contact"),
        ("other", "upsert_contact", "broken"),
        ("crm", "add_note", "broken"),
        ("crm", "add_note", "keep a note"),
    ]
    assert deliveries.decode(made.new[2].record).path == (1,)
    info = made.failed["e1.2"]
    assert (info.room, info.action, info.event, info.rule, info.code) == (
        "crm",
        "add_note",
        "e1",
        "broken",
        "value_failed",
    )
    assert "nobody_sends_this" in info.why
    (line,) = made.lines()
    assert {**json.loads(line), "at": ""} == {
        "t": "attempt",
        "d": "e1.2",
        "at": "",
        "then": "dead",
        "code": "value_failed",
        "why": info.why,
    }
    assert "e1.2" not in made.fresh


def test_in_order_rule_that_fails() -> None:
    """With `in_order` what comes later at the same destination depends on it, and is a dead letter, too."""
    head = BROKEN.replace("    then:\n", "    in_order: true\n    then:\n")
    more = "".join(f"      - {name}.upsert_contact:\n          email: a@example.org\n" for name in ("crm", "other"))
    made = plan_for(head + more)
    assert [(line[1], line[2], line[0] in made.failed) for line in made.made] == [
        ("other", "upsert_contact", False),
        ("crm", "add_note", True),
        ("crm", "upsert_contact", True),
    ]
    assert "in_order" in made.failed["e1.2"].why


def test_bug_costs_one_action(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in the making of one action, the others are made."""
    left_out = Skipped("crm", "upsert_contact", "r", (0,), "c", "why")
    monkeypatch.setattr(
        rule.ActionStep, "_ask", lambda step, *_: 1 / 0 if step.target.action == "add_note" else left_out
    )
    made = plan_for(UPSERT + NOTE)
    assert [(info.action, info.code) for info in made.failed.values()] == [("add_note", "rule_failed")]
    assert made.skipped == [("crm", "upsert_contact", "r", "c", "why")]


def test_bug_in_a_rule() -> None:
    """An error that is not ours has another code, and its text, which may hold a value, is not told."""
    made = Plan(context(), "e1", "e1", "2026-11-21", 0, "b1")
    made.add_failed("keep a note", "crm.add_note", KeyError("eva@example.org"))
    assert (made.failed["e1.0"].code, made.failed["e1.0"].why) == ("rule_failed", "a bug (KeyError)")
    assert why_failed(ValueError("eva@example.org")) == "a bug (ValueError)"


def test_skipped() -> None:
    """What a rule does not ask for is told with the reason, and makes nothing."""
    made = plan_for(
        NOTE.replace(
            '          text: "{{ data.name }}"\n',
            '          text: "{{ data.name }}"\n        only_if:\n          data.name: nobody\n',
        )
    )
    assert made.new == []
    ((destination, action, rule, code, why),) = made.skipped
    assert (destination, action, rule, code) == ("crm", "add_note", "keep a note", "only_if")
    assert "data.name" in why


def test_options() -> None:
    """The options of a rule that the mailroom enforces are in the record: keys as hashes, times in milliseconds."""
    rules = (
        UPSERT + '    delay: 2s\n    coalesce: 5s\n    only_once:\n      per: "{{ data.email }}"\n      within: 30d\n'
    )
    (new,) = plan_for(rules).new
    assert new.coalesce_key == "#upsert_contact|email:eva@example.org"
    assert new.once_key == "#keep the contact|(0,)|keep the contact/0/eva@example.org"
    assert (new.once_ms, new.delay) == (30 * 86_400_000, 5_000)
    delivery = deliveries.decode(new.record)
    assert delivery.delay == 2_000
    assert delivery.due > 1_700_000_000_000
    (plain,) = plan_for(UPSERT).new
    assert (plain.coalesce_key, plain.once_key, plain.once_ms, plain.delay) == ("", "", 0, 0)
    (longer,) = plan_for(UPSERT + "    delay: 9s\n    coalesce: 5s\n").new
    assert longer.delay == 9_000


def test_hold() -> None:
    """What is held waits until it is open, as with a delay; the ledger says until when and why."""
    made = plan_for(NOTE + HOLD + hours(open_now=False))
    (new,) = made.new
    delivery = deliveries.decode(new.record)
    assert delivery.hold
    assert delivery.due % 86_400_000 == 0
    assert delivery.delay == new.delay > 86_000_000
    assert deliveries.decode(delivery.encode()) == delivery
    (line,) = (json.loads(line) for line in made.lines())
    assert (line["t"], line["d"], line["until"]) == ("waits", "e1.0", from_epoch(delivery.due))
    assert line["why"] == "business hours (mon-sun 00:00-24:00 UTC)"


def test_hold_while_open() -> None:
    """While it is open nothing waits, but the delivery knows that it may have to: its room may be away till night."""
    made = plan_for(NOTE + HOLD + hours(open_now=True))
    delivery = deliveries.decode(made.new[0].record)
    assert (delivery.hold, delivery.due, delivery.delay, made.new[0].delay, made.lines()) == (True, 0, 0, 0, [])
    (line,) = plan_for(NOTE + "    delay: 5m\n").lines()
    assert json.loads(line)["why"] == "the delay of its rule"


#: A contact under all the names that it may have.
NAMED = UPSERT.replace(
    '          last_name: "{{ data.name }}"\n',
    '          external_id: "{{ data.name }}"\n          new_email: new@example.org\n          phone: "+4930123456"\n',
)


def test_names() -> None:
    """A delivery has its names as hashes, strong ones beside weak ones, home first; its record has its home."""
    (new,) = plan_for(NAMED).new
    strong = ("#external_id:e1", "#email:eva@example.org", "#email:new@example.org")
    assert (new.names, new.weak, new.box) == (strong, ("#phone:+4930123456",), strong[0])
    delivery = deliveries.decode(new.record)
    assert delivery.box == strong[0]
    assert deliveries.decode(delivery.encode()) == delivery


def test_one_name() -> None:
    """Of an action with one name the record says no more than it ever did."""
    (new,) = plan_for(UPSERT).new
    assert (new.names, new.weak, new.place) == (("#email:eva@example.org",), (), "#email:eva@example.org")
    assert list(json.loads(new.record)) == [
        *("id", "event", "day", "to", "action", "rule", "path", "book", "box", "args"),
    ]


def test_coalescing_takes_all_names() -> None:
    """Only deliveries with the same names replace one another: a rename never one to another address."""

    def key(rules: str) -> str:
        (new,) = plan_for(rules + "    coalesce: 5s\n").new
        return new.coalesce_key

    names = "email:eva@example.org|email:new@example.org|external_id:e1|~phone:+4930123456"
    assert key(NAMED) == f"#upsert_contact|{names}"
    assert len({key(NAMED), key(NAMED.replace("new@", "other@")), key(UPSERT)}) == 3


def test_too_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that touches too much is a dead letter that says so; the other rules go on."""
    monkeypatch.setattr(rule, "MOST_NAMES", 3)
    made = plan_for(NAMED + NOTE)
    assert [info.code for info in made.failed.values()] == ["value_failed"]
    assert "it touches 4 names, and 3 is the most" in made.failed["e1.0"].why
    assert [new.id for new in made.new if not new.dead] == ["e1.1"]


def test_results_are_kept_for_next() -> None:
    """Look-ups' results go into a delivery's record only where `next:` may want them."""
    following = (
        UPSERT
        + '        next:\n          - crm.add_note:\n              email: "{{ data.email }}"\n              text: x\n'
    )
    results: dict[str, Any] = {"booker": {"id": 7}}
    found = {"keep the contact": LookUpResults(results)}
    (new,) = plan_for(following, found=found).new
    assert deliveries.decode(new.record).results == results
    (new,) = plan_for(UPSERT, found=found).new
    assert deliveries.decode(new.record).results is None


@pytest.mark.parametrize(
    ("look_up", "why"),
    [
        (
            LookUpResults({}, Failed("permanent", "not_found"), "desk", "booker"),
            "booker: the look-up was refused (not_found)",
        ),
        (LookUpResults({}, None, "desk", "booker", "timeout_too_often"), "booker: timeout_too_often"),
    ],
)
def test_look_up_without_an_answer(look_up: LookUpResults, why: str) -> None:
    """A rule whose look-up brought nothing is a dead letter that says why."""
    made = plan_for(NOTE, found={"keep a note": look_up})
    assert made.failed["e1.0"].why == why
    assert not look_up.can_wait


def test_look_up_that_may_be_answered_later() -> None:
    """Only what is not refused for good is worth asking again."""
    assert LookUpResults({}, Failed("transient", "timeout")).can_wait
    assert LookUpResults({}, Failed("credential", "unauthorised")).can_wait
    assert not LookUpResults({"booker": {}}).can_wait


def test_redo() -> None:
    """What is routed once more has ids of its own, makes only what had failed, and is doubtful where it was sent."""
    two = NOTE + '      - other.upsert_contact:\n          email: "{{ data.email }}"\n'
    redo = Reroute(2, {"keep a note": ((1,),)}, frozenset({"1 keep a note"}))
    made = plan_for(UPSERT + two, redo=redo)
    assert made.made == [("e1.a2.0", "other", "upsert_contact", "keep a note")]
    assert deliveries.decode(made.new[0].record).doubtful
    assert not deliveries.decode(plan_for(UPSERT + two).new[0].record).doubtful


def test_redo_of_what_is_gone() -> None:
    """Each place of a rule that the book of today does not have any more stays a dead letter of its own."""
    redo = Reroute(1, {"gone": ((0,), (2,)), "keep a note": ((5,),)})
    made = plan_for(NOTE, redo=redo)
    paths = [(deliveries.decode(new.record).rule, deliveries.decode(new.record).path) for new in made.new]
    assert paths == [("gone", (0,)), ("gone", (2,)), ("keep a note", (5,))]
    assert {info.code for info in made.failed.values()} == {"value_failed"}
    assert next(iter(made.failed.values())).why == "the book in force has no rule of this name"
    assert len(made.lines()) == 3


def test_ids_go_on() -> None:
    """What is added later never takes the id of what is there: sent, skipped or dead."""
    made = plan_for(BROKEN + UPSERT + BROKEN.replace("name: broken", "name: broken too") + NOTE)
    assert [new.id for new in made.new] == ["e1.0", "e1.1", "e1.2", "e1.3"]
    assert list(made.failed) == ["e1.0", "e1.2"]


# -- what is only observed

OBSERVE = "    mode: observe\n    when:"


def observed(rules: str, answer: Mapping[str, Any] | None = None) -> list[ledger.ObservedAction]:
    """Return what the observed rules would ask for of one event."""
    one = read(event("e1", person=1))
    return plans.observe(one, book(rules).match(one).observed, lambda *_: answer, {})


def test_observed() -> None:
    """An observed rule says where it would send what, without a value; one that asks for nothing says its name."""
    rules = (UPSERT + NOTE).replace("    when:", OBSERVE)
    assert observed(rules) == [
        ("crm", "upsert_contact", "keep the contact", "", ""),
        ("crm", "add_note", "keep a note", "", ""),
    ]
    drop = "  - name: drop\n    mode: observe\n    when:\n      source: shop\n    then: nothing\n"
    assert observed(drop) == [("", "", "drop", "", "")]


def test_observed_that_fails() -> None:
    """A value that cannot be made is told as it would be of a dead letter."""
    ((*place, code, why),) = observed(BROKEN.replace("    when:", OBSERVE))
    assert (place, code) == (["crm", "add_note", "broken"], "value_failed")
    assert "nobody_sends_this" in why


def test_observed_look_up() -> None:
    """Nothing is looked up for an observed rule; what a rule in force has asked is known to it."""
    rules = LOOK_UP.replace("    when:", OBSERVE)
    ((*_, code, why),) = observed(rules)
    assert (code, "is not looked up" in why) == ("look_up", True)
    assert [one[3:] for one in observed(rules, {"id": 1, "email": "eva@example.org"})] == [("", "")]
