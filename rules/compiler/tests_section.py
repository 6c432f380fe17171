"""The `tests:` of a file, checked.

Comes in: the tests as written, and a draft that has the sources and destinations. Goes out: test cases for
`rules.tools.testing`, and every problem found. Never runs a test.
"""

from typing import Any
from zoneinfo import ZoneInfo

from rules.compiler.draft import Draft, check_spelling, note_cannot
from rules.event import moment
from rules.matching import operators
from rules.rule import API
from rules.rulebook import ANY_TIME, RECEIVED_AT, Expected, Given, TestCase
from rules.source.node import Node, fields_of
from rules.source.problem import did_you_mean, is_full

KEYS = ("name", "given", "expect")
GIVEN_KEYS = ("source", "body", "fixture", "event", "received_at", "look_up", "newest")
EVENT_KEYS = ("type", "data", "id", "subject", "time", "received_at", "order_key", "raw")
EXPECT_KEYS = ("result", "next", "held_until")
NOTHING = "nothing"
CONTAINS = "contains"
OBSERVED = "observed"


def read_tests(draft: Draft, section: Node | None) -> None:
    """Read the tests of one file into the draft."""
    for node in section.items("tests") if section is not None else ():
        if is_full(draft.problems):
            break
        parts = node.mapping(KEYS, "a test")
        if not parts:
            continue
        name = _name(draft, node, parts)
        given = _given(draft, node, parts.get("given"))
        expect, partly, observed = _expect(draft, node, parts.get("expect"))
        if given is not None:
            draft.tests.append(TestCase(name, node.doc.file, node.line, given, expect, partly, observed))


def _name(draft: Draft, node: Node, parts: dict[str, Node]) -> str:
    if "name" not in parts:
        node.wrong("this test has no name", "give it one: - name: what it shows", "missing_key")
        return f"test on line {node.line}"
    name = parts["name"].text("the name of a test") or f"test on line {node.line}"
    if name in draft.test_names:
        parts["name"].wrong(
            f'a test is called "{name}" already, in {draft.test_names[name]}', "give it another name", "duplicate_name"
        )
    draft.test_names.setdefault(name, f"{node.doc.file}:{node.line}")
    return name


def _given(draft: Draft, test: Node, node: Node | None) -> Given | None:
    if node is None:
        test.wrong(
            "this test has no given", "write given: with source: and a body, fixture or event", "missing_key", key=True
        )
        return None
    parts = node.mapping(GIVEN_KEYS, "given")
    if not parts:
        return None
    source = _source(draft, node, parts.get("source"))
    event = parts.get("event")
    as_event = event is not None and isinstance(event.value, dict)
    ways = [name for name in ("body", "fixture") if name in parts] + (["event"] if as_event else [])
    if len(ways) != 1:
        node.wrong(
            f"given has {' and '.join(ways)}" if ways else "given has nothing to start from",
            "write one of body:, fixture: or event: (with type: and data:)",
            "wrong_shape",
            key=True,
        )
        return None
    if event is not None and not as_event and event.text("event") is None:
        return None
    if as_event and event is not None:
        inner = event.mapping(EVENT_KEYS, "event")
        if "type" not in inner:
            event.wrong("this event has no type", "write type: contact.changed", "missing_key", key=True)
            return None
        _type(draft, inner["type"])
    look_up = parts["look_up"].mapping(None, "look_up") if "look_up" in parts else {}
    return Given(
        source=source or "",
        body=parts["body"].value if "body" in parts else None,
        fixture=parts["fixture"].text("fixture") if "fixture" in parts else None,
        event_name=event.value if event is not None and not as_event else None,
        event=event.value if as_event and event is not None else None,
        received_at=(parts["received_at"].text("received_at") if "received_at" in parts else None) or RECEIVED_AT,
        look_up={name: inner.value for name, inner in look_up.items()},
        newest=_newest(parts["newest"]) if "newest" in parts else {},
    )


def _newest(section: Node) -> dict[str, str]:
    """Return of each type when the newest happened that concerns the same person."""
    found: dict[str, str] = {}
    for type, node in section.mapping(None, "newest").items():
        written = node.text(f"the time of the newest {type}")
        at = moment(written)
        if written is not None and at is None:
            node.wrong(f"{written} is no time", "write it like 2026-01-15T10:05:00Z", "wrong_type")
        found[type] = at or ""
    return found


def _type(draft: Draft, node: Node) -> None:
    word = node.text("type")
    known = frozenset(draft.catalogue.types).union(*(kind.types for kind in draft.catalogue.sources.values()))
    generic = any(not draft.source_kind(source).types for source in draft.sources.values())
    if word is not None and word not in known and not generic:
        node.wrong(f'"{word}" is no event type', did_you_mean(word, known), "unknown_type")
    elif word is not None:
        check_spelling(node, word)


def _source(draft: Draft, given: Node, node: Node | None) -> str | None:
    if node is None:
        given.wrong("given has no source", did_you_mean("", draft.source_names), "missing_key", key=True)
        return None
    name = node.text("source")
    if name is not None and name not in draft.source_names:
        node.wrong(f'"{name}" is no source', did_you_mean(name, draft.source_names), "unknown_source")
    return name


def _expect(
    draft: Draft, test: Node, node: Node | None
) -> tuple[tuple[Expected, ...], bool, tuple[Expected, ...] | None]:
    """Return what is to be sent, whether that is a part of it, and what is to be observed (None: it does not say)."""
    if node is None:
        test.wrong(
            "this test expects nothing at all",
            "write expect: with actions, or expect: nothing",
            "missing_key",
            key=True,
        )
        return (), False, None
    if node.value == NOTHING:
        return (), False, None
    if isinstance(node.value, dict):
        parts = node.mapping((CONTAINS, OBSERVED), "expect")
        observed = None
        if OBSERVED in parts:
            observed = () if parts[OBSERVED].value == NOTHING else _actions(draft, parts[OBSERVED])
        if CONTAINS in parts:
            return _actions(draft, parts[CONTAINS]), True, observed
        return (), observed is None, observed
    if not isinstance(node.value, list):
        node.wrong(
            "expect must be a list of actions, contains:, observed: or nothing",
            "start each action with a dash",
            "wrong_shape",
        )
        return (), False, None
    return _actions(draft, node), False, None


def _actions(draft: Draft, section: Node) -> tuple[Expected, ...]:
    found = [_action(draft, node) for node in section.items(section.name)]
    return tuple(expected for expected in found if expected is not None)


def _action(draft: Draft, node: Node) -> Expected | None:
    parts = node.mapping(None, "an expected action", "destination.action: and its arguments below")
    written = [name for name in parts if name not in EXPECT_KEYS]
    if len(written) != 1 or "." not in written[0]:
        if parts:
            node.wrong("this is no action", "write destination.action: and its arguments", "wrong_shape")
        return None
    destination, _, action = written[0].partition(".")
    if destination == API:
        node.wrong('"api" is no destination here', "name the one that it stands for", "unknown_destination", key=True)
        return None
    if destination not in draft.destination_names:
        mend = did_you_mean(destination, draft.destination_names)
        node.wrong(f'"{destination}" is no destination', mend, "unknown_destination", inner=(written[0],), key=True)
        return None
    if destination not in draft.destinations:
        return None
    kind = draft.destination_kind(draft.destinations[destination])
    kinds = kind.actions
    if action not in kinds:
        if note_cannot(node, written[0], kind.cannot.get(action)):
            return None
        mend = did_you_mean(written[0], [f"{destination}.{name}" for name in kinds])
        node.wrong(f'"{written[0]}" is no action', mend, "unknown_action", inner=(written[0],), key=True)
        return None
    inner = parts[written[0]]
    arguments: dict[str, Any] = {}
    if inner.value is not None:
        arguments = {name: each.value for name, each in inner.mapping(None, written[0]).items()}
    known = fields_of(kinds[action].arguments)
    for name in arguments:
        if is_full(draft.problems):
            break
        if name not in known and kinds[action].arguments.model_config.get("extra") != "allow":
            inner.wrong(
                f'{written[0]} takes no argument "{name}"',
                did_you_mean(name, known),
                "unknown_argument",
                inner=(name,),
                key=True,
            )
    result = parts["result"].mapping(None, "result") if "result" in parts else {}
    return Expected(
        destination=destination,
        action=action,
        arguments=arguments,
        result={name: each.value for name, each in result.items()},
        next=_actions(draft, parts["next"]) if "next" in parts else None,
        held_until=_instant(draft, parts["held_until"]) if "held_until" in parts else ANY_TIME,
    )


def _instant(draft: Draft, node: Node) -> int | None:
    """Return the ms of a time of the day, in the zone of the business hours where it has no offset; None: at once."""
    if node.value is None:
        return None
    zone = ZoneInfo(draft.business_hours.zone) if draft.business_hours is not None else None
    span = operators.span_of(node.value, zone)
    if span is None or span[0] != span[1]:
        mend = "write held_until: 2026-01-16 08:00 (in the zone of business_hours:, else with its offset), or null"
        node.wrong("held_until must be a date and a time", mend, "wrong_type")
        return None
    return round(span[0].timestamp() * 1000)
