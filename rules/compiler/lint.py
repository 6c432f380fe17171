"""Warnings about a book that compiles but is probably not what was meant.

Comes in: the rules of a draft, and the models of its sources and destinations. Goes out: warnings with file and line.
Never an error, because what is reported here may be intended.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from rules.compiler.draft import Draft, WrittenRule
from rules.matching import pattern as patterns
from rules.matching.field_types import FieldScope
from rules.rule import ActionStep, Rule
from rules.rulebook import Destination
from rules.secret import find_key, find_secrets
from rules.source.node import Node

#: Of the rules that send one action for one object, at most so many are compared pair by pair: the cost is quadratic.
MOST_COMPARED = 30


def check_sources(draft: Draft) -> None:
    """Add warnings about several sources of a kind that do not say which of its systems they are of."""
    for name, source in draft.sources.items():
        key = draft.source_kind(source).told_apart_by
        several = [each for each in draft.sources.values() if each.kind == source.kind]
        if key and len(several) > 1 and getattr(source.options, key, None) is None:
            draft.source_nodes[name].wrong(
                f"there are {len(several)} sources of kind {source.kind}, and it is not said which one {name} is of",
                f"write {key}: under each, the same under those of one system",
                "not_told_apart",
                key=True,
                severity="warning",
            )


def check_rules(draft: Draft) -> None:
    """Add warnings about rules: never matching, shadowed, sending the same thing twice."""
    compiled = [(written, written.rule) for written in draft.written if written.rule is not None]
    enabled = [(written, rule) for written, rule in compiled if rule.enabled]
    for written, rule in enabled:
        _check_contradiction(written, rule)
    _check_shadowed(enabled)
    _check_sent_twice(enabled)
    _check_forgotten(draft, enabled)


def check_shared_key(node: Node, destination: Destination, others: Iterable[Destination]) -> None:
    """Warn of a destination that says of its key what another one with the same reference says otherwise."""
    key = [secret.names for secret in find_key(destination.options)]
    for other in others if any(key) else ():
        for word in ("limit", "quota"):
            one, its = getattr(destination, word), getattr(other, word)
            if None not in (one, its) and one != its and [secret.names for secret in find_key(other.options)] == key:
                text = f"{destination.name} and {other.name} have one key and two {word}s: the lower one counts"
                mend = f"write {word}: at one of them, or the same at both"
                node.wrong(text, mend, "shared_key", inner=(word,), key=True, severity="warning")


def check_secrets(node: Node, record: BaseModel) -> None:
    """Warn of every secret that stands in the book itself, not as `${NAME}`; what only looks like that is an error."""
    for loc, secret in find_secrets(record):
        name = ".".join(str(step) for step in loc if isinstance(step, str))
        if secret.misspelt:
            node.wrong(
                f"the secret {name} looks like a reference, and is none: it is used as it stands",
                "write ${A_NAME}, of letters, digits and _, and set that environment variable",
                "bad_reference",
                inner=node.walk(loc),
            )
        elif secret.literal:
            node.wrong(
                f"the secret {name} stands here in clear",
                "write ${A_NAME} and set that environment variable",
                "secret_in_clear",
                inner=node.walk(loc),
                severity="warning",
            )


def _check_contradiction(written: WrittenRule, rule: Rule) -> None:
    why = rule.when.contradiction()
    if why:
        _warn(written, f'the rule "{rule.name}" can never match: {why}', "change its when", "never_matches", "when")
    elif rule.unless is not None and (why := rule.unless.contradiction()):
        _warn(written, f'unless of "{rule.name}" can never hold: {why}', "change it", "never_matches", "unless")
    elif rule.unless is not None and _implies(written.node.value["unless"], written.node.value["when"]):
        text = f'the rule "{rule.name}" never fires: unless holds for everything that its when matches'
        _warn(written, text, "change one of them", "never_matches", "unless")
    for step, node in _steps(rule.then, written.node.at("then")):
        if step.only_if is not None and (why := step.only_if.contradiction()):
            text = f"only_if of {step.written} can never hold: {why}"
            node.wrong(text, "change it", "never_matches", inner=("only_if",), key=True, severity="warning")


def _warn(written: WrittenRule, text: str, mend: str, code: str, part: str = "") -> None:
    inner = (part,) if part and part in written.node.value else ()
    written.node.wrong(text, mend, code, inner=inner, key=bool(inner), severity="warning")


# Shadowed by an earlier `stop`. --------------------------------------------------------------------------------------


def _check_shadowed(rules: "list[tuple[WrittenRule, Rule]]") -> None:
    stops: dict[str, list[tuple[WrittenRule, Rule]]] = defaultdict(list)
    for written, rule in rules:
        when = written.node.value["when"]
        for other, stop in stops[rule.file]:
            if _implies(other.node.value["when"], when):
                text = (
                    f'the rule "{rule.name}" never fires: "{stop.name}" above matches all its events and ends the file'
                )
                _warn(written, text, "put it above, or take stop: true out there", "shadowed")
                break
        if rule.stop and rule.unless is None and not rule.observed:
            stops[rule.file].append((written, rule))


def _implies(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    """Return whether `wide` certainly matches every event that `narrow` matches; False where that cannot be shown."""
    return all(path in narrow and covers(asked, narrow[path]) for path, asked in wide.items())


def covers(wide: Any, narrow: Any) -> bool:
    """Return whether `narrow`, asked of a field, certainly asks for no more than `wide` does."""
    if _canonical(wide) == _canonical(narrow):
        return True
    literals = [_literals(wide), _literals(narrow)]
    if literals[0] is not None and literals[1] is not None:
        return literals[1] <= literals[0]
    return wide == {"exists": True} and bool(literals[1])


def _literals(asked: Any) -> set[str] | None:
    values = asked if isinstance(asked, list) else [asked]
    if any(isinstance(value, dict | list) for value in values):
        return None
    return {_canonical(value) for value in values}


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# The same effect twice. ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sent:
    """One action of one rule, as it is written."""

    written: WrittenRule
    rule: Rule
    step: ActionStep
    node: Node


def _check_sent_twice(rules: "list[tuple[WrittenRule, Rule]]") -> None:
    identities: dict[int, Callable[[Mapping[str, Any]], str]] = {}
    alike: dict[tuple[str, str], list[_Sent]] = defaultdict(list)
    for written, rule in rules:
        if rule.unless is not None:
            continue
        for step, node in _steps(rule.then, written.node.at("then")):
            kind = step.target.kind
            if kind.once_by is None or step.only_if is not None:
                continue
            identity = identities.setdefault(id(kind.once_by), _identity(kind.once_by))
            arguments = node.value[step.written] or {}
            alike[step.written, identity(arguments)].append(_Sent(written, rule, step, node))
    for group in alike.values():
        for at, later in enumerate(group[:MOST_COMPARED]):
            earlier = next((each for each in group[:at] if _both_fire(each, later)), None)
            if earlier is None:
                continue
            later.node.wrong(
                f'{later.step.written} is sent for the same object by the rule "{earlier.rule.name}" too'
                if earlier.rule is not later.rule
                else f"{later.step.written} is sent twice for the same object by this rule",
                "two deliveries of it are one effect: keep one, or let the rules exclude each other",
                "sent_twice",
                inner=(later.step.written,),
                key=True,
                severity="warning",
            )


def _steps(steps: tuple[ActionStep, ...], section: Node) -> Iterator[tuple[ActionStep, Node]]:
    for step in steps:
        node = section.at(step.path[-1])
        yield step, node
        if step.next:
            yield from _steps(step.next, node.at("next"))


def _both_fire(earlier: _Sent, later: _Sent) -> bool:
    """Return whether one event may make both rules fire; False only where that is impossible."""
    one, other = earlier.rule, later.rule
    if one is other:
        return True
    if one.observed or other.observed or (one.stop and one.file == other.file):
        return False
    for mine, theirs in ((one.sources, other.sources), (one.types, other.types)):
        if mine is not None and theirs is not None and mine.isdisjoint(theirs):
            return False
    first, second = earlier.written.node.value["when"], later.written.node.value["when"]
    if "any_of" in second:
        first, second = second, first
    if "any_of" in second:
        return False
    both = patterns.compile_pattern({**second, "any_of": [first]}, FieldScope(), [])
    return both.contradiction() is None


# A person who is let go at one system, and kept at its twin. ----------------------------------------------------------


def _check_forgotten(draft: Draft, rules: "list[tuple[WrittenRule, Rule]]") -> None:
    """Warn of an unsubscribe that leaves the person in another destination of the same kind.

    Another one counts if a rule sends people there, and no rule for such events does the same there.
    """
    let_go: list[tuple[Rule, ActionStep, Node, str]] = []
    filled: set[str] = set()
    for written, rule in rules:
        if not rule.then or rule.observed:
            continue
        for step, node in _steps(rule.then, written.node.at("then")):
            if "email" not in step.target.kind.arguments.model_fields:
                continue
            for name in set(step.target.by_source.values()) or {step.target.written}:
                if step.target.kind.keep_always:
                    let_go.append((rule, step, node, name))
                else:
                    filled.add(name)
    for rule, step, node, name in let_go:
        twins = {other for other in filled - {name} if draft.destinations[other].kind == draft.destinations[name].kind}
        for other, its_step, _, its_name in let_go:
            if its_step.target.action == step.target.action and (
                other.types is None or rule.types is None or other.types & rule.types
            ):
                twins.discard(its_name)
        if twins:
            shown = ", ".join(f"{twin}.{step.target.action}" for twin in sorted(twins))
            node.wrong(
                f"{step.written} leaves the person in {', '.join(sorted(twins))}",
                f"write {shown} beside it, or a rule of its own for these events",
                "forgotten_destination",
                inner=(step.written,),
                key=True,
                severity="warning",
            )


class _ArgumentProbe:
    """Takes the place of an action's arguments and records which of them are read."""

    def __init__(self, seen: set[str] | None = None) -> None:
        self._seen: set[str] = set() if seen is None else seen
        self._top = seen is None

    def __getattr__(self, name: str) -> "_ArgumentProbe":
        if name.startswith("__"):
            raise AttributeError(name)
        if self._top:
            self._seen.add(name)
        return _ArgumentProbe(self._seen)

    def __call__(self, *_arguments: Any, **_named: Any) -> "_ArgumentProbe":
        return _ArgumentProbe(self._seen)


def _identity(once_by: Callable[[Any], str]) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that reads, of the arguments as written, those that `once_by` depends on."""
    asked = _ArgumentProbe()
    try:
        once_by(asked)
    except Exception:  # not a function of single arguments: then all of them count
        return _canonical
    names = asked._seen
    if any(name.startswith("model_") for name in names):
        return _canonical
    return lambda arguments: _canonical({name: arguments.get(name) for name in sorted(names)})
