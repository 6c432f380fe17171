"""The `tests:` of a book, run.

Comes in: a book with its tests, and a function that reads a vendor's body as the receiver would. Goes out: per test
whether the actions are the expected ones, else a readable diff; and which branches of rules no test covers. Never sends
anything: the test supplies the answers to look-ups.
"""

import difflib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from rules.action import Action, Skipped
from rules.compiler import loader
from rules.errors import ValueFailed
from rules.event import Event
from rules.event_types.base import EventData, from_epoch
from rules.matching.operators import instant_of
from rules.matching.pattern import Pattern
from rules.rule import ActionStep, Facts
from rules.rulebook import ANY_TIME, Expected, Rule, Rulebook, Source, TestCase
from rules.source.node import describe_error
from rules.source.problem import Problem
from rules.tools import junit
from rules.tools.junit import JUnitCase

#: Reads a vendor's body as the receiver would: (source, body, event name of the address) -> events.
ReadRaw = Callable[[Source, Any, "str | None"], Sequence[Event]]


class TestBroken(Exception):
    """A test cannot be run; the text says why."""

    __test__ = False  # pytest: this is ours


@dataclass(frozen=True)
class TestResult:
    """The result of one test."""

    test: TestCase
    passed: bool
    #: What is wrong, line by line; empty where it passed.
    lines: tuple[str, ...] = ()
    #: The actions of the rules, and those that were skipped.
    actions: tuple[Action, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Branch:
    """One branch of a rule: it fires, an action is taken or skipped, `unless` holds it back, a group holds or not."""

    rule: str
    what: str
    file: str
    line: int


@dataclass(frozen=True)
class Results:
    """The results of all tests of a book."""

    results: tuple[TestResult, ...]
    #: All branches of the enabled rules, and those that tests reached.
    branches: tuple[Branch, ...] = ()
    reached: frozenset[Branch] = frozenset()

    @property
    def failed(self) -> tuple[TestResult, ...]:
        """The tests that failed."""
        return tuple(result for result in self.results if not result.passed)

    @property
    def passed(self) -> bool:
        """Whether no test failed."""
        return not self.failed

    @property
    def unreached(self) -> tuple[Branch, ...]:
        """The branches that no test reached; of a rule that never fired only the branch `fires`."""
        missing = [branch for branch in self.branches if branch not in self.reached]
        silent = {branch.rule for branch in missing if branch.what == FIRES}
        return tuple(branch for branch in missing if branch.rule not in silent or branch.what == FIRES)

    @property
    def coverage(self) -> float:
        """The share of branches that tests reached, from 0 to 1."""
        return len(self.reached) / len(self.branches) if self.branches else 1.0


#: What a test expects of an argument that was left out.
OMITTED: Final[Mapping[str, Any]] = {"exists": False}

FIRES = "fires"
HELD_BACK = "is held back by unless"
STALE = "leaves out what is stale"


@dataclass(frozen=True)
class _Groups:
    """The any_of groups of one pattern of a rule, by their name in a branch."""

    rule: Rule
    #: The action if the pattern is its `only_if`; None for `when` and `unless`.
    step: ActionStep | None
    groups: tuple[tuple[str, Pattern], ...]

    def branches(self) -> Iterable[Branch]:
        """Yield both branches of each group."""
        for name, _ in self.groups:
            yield _branch(self.rule, f"{name} holds", self.step)
            yield _branch(self.rule, f"{name} does not hold", self.step)

    def seen(self, facts: Facts) -> Iterable[Branch]:
        """Yield the branches that an event takes."""
        for name, pattern in self.groups:
            way = "holds" if pattern.fires(facts) else "does not hold"
            yield _branch(self.rule, f"{name} {way}", self.step)


@dataclass
class _TestRun:
    """The state of one test while it runs."""

    book: Rulebook
    test: TestCase
    reached: set[Branch]
    #: Name of each rule -> its any_of groups.
    groups: Mapping[str, tuple[_Groups, ...]]
    actions: list[Action] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    #: For each action: rule, event and look-up results, which its `next:` needs.
    asked: list[tuple[Rule, Event, Mapping[str, Any]]] = field(default_factory=list)

    def beside(self) -> "_TestRun":
        """Return a run of the same test that holds nothing yet: for actions that are compared apart."""
        return _TestRun(self.book, self.test, self.reached, self.groups)


def run(book: Rulebook, folder: Path, read_raw: ReadRaw, *, names: Iterable[str] = ()) -> Results:
    """Run the book's tests, or those with these names."""
    wanted = frozenset(names)
    enabled = [rule for rule in book.rules if rule.enabled]
    groups = {rule.name: found for rule in enabled if (found := tuple(_find_groups(rule)))}
    reached: set[Branch] = set()
    runs = [_TestRun(book, test, reached, groups) for test in book.tests if not wanted or test.name in wanted]
    results = [_run(test_run, folder, read_raw) for test_run in runs]
    branches = tuple(branch for rule in enabled for branch in _list_branches(rule, groups.get(rule.name, ())))
    return Results(tuple(results), branches, frozenset(reached))


def _run(test_run: _TestRun, folder: Path, read_raw: ReadRaw) -> TestResult:
    test = test_run.test
    observed = test_run.beside()
    try:
        for event in events_of(test_run.book, folder, read_raw, test):
            _fire(test_run, observed, event)
        lines = _compare(test_run, test.expect)
        if test.observed is not None:
            lines += [f"observed: {line}" for line in _compare(observed, test.observed)]
    except (TestBroken, ValueFailed) as exc:
        lines = [str(exc)]
    return TestResult(test, not lines, tuple(lines), tuple(test_run.actions), tuple(test_run.skipped))


def find_empty_places(book: Rulebook, folder: Path, read_raw: ReadRaw) -> Iterator[Problem]:
    """Yield a warning for each place in the body that finds nothing in any body that the tests have of its source.

    Headers and parameters are no part of these bodies, so nothing can be said of places there.
    """
    met: dict[str, list[tuple[TestCase, set[str]]]] = defaultdict(list)
    for test in book.tests:
        if test.given.event is None:
            with suppress(TestBroken):
                met[test.given.source] += [
                    (test, {name for name in event.unread if name.partition(".")[0] in ("read", "dedupe")})
                    for event in events_of(book, folder, read_raw, test)
                ]
    for name, events in met.items():
        first = events[0][0]
        for each in sorted(set[str].intersection(*(empty for _, empty in events))):
            part, _, key = each.partition(".")
            holder = getattr(book.sources[name].options, part, None) or getattr(book.sources[name], part, None)
            found = getattr(holder, key, None)
            places = found if isinstance(found, tuple) else (str(found),)
            if not any(place.startswith(("header.", "query.")) for place in places):
                yield Problem(
                    first.file,
                    first.line,
                    1,
                    f"{part}: {key}: {' and '.join(places)} of the source {name} finds nothing in any body of its "
                    f"tests ({len(events)})",
                    f"correct {part}: {key}:, or write a test with a body that has it",
                    "finds_nothing",
                    "warning",
                )


def events_of(book: Rulebook, folder: Path, read_raw: ReadRaw, test: TestCase) -> Sequence[Event]:
    """Return the events that a test starts from. Raises TestBroken."""
    given = test.given
    source = book.sources.get(given.source)
    if source is None:
        raise TestBroken(f'"{given.source}" is no source')
    if given.event is not None:
        return [_build_event(book, source, given.event, given.received_at)]
    body = given.body
    if given.fixture is not None:
        try:
            body = loader.fixture(folder, given.fixture)
        except (loader.FixtureMissing, OSError) as exc:
            raise TestBroken(str(exc)) from exc
    try:
        events = read_raw(source, body, given.event_name)
    except Exception as exc:  # any error of the adapter is the result of the test
        raise TestBroken(f"the body cannot be read as {source.kind} sends it: {exc}") from exc
    if not events:
        raise TestBroken(f"the body has no event as {source.kind} sends it")
    return [replace(event, received_at=given.received_at) for event in events]


def _build_event(book: Rulebook, source: Source, written: Mapping[str, Any], received_at: str) -> Event:
    data = written.get("data") or {}
    model = book.catalogue.types.get(str(written["type"]))
    if model is not None:
        try:
            record = model.model_validate(data)
            data = (
                record.data() if isinstance(record, EventData) else record.model_dump(mode="json", exclude_unset=True)
            )
        except ValidationError as exc:
            found = exc.errors(include_url=False, include_input=False)
            whys = [f"{'.'.join(['data', *map(str, each['loc'])])}: {describe_error(each)[0]}" for each in found]
            raise TestBroken(f"data does not fit {written['type']}: {'; '.join(whys)}") from exc
    body = written.get("raw", data)
    return Event(
        id=str(written.get("id", "test")),
        source=source.name,
        kind=source.kind,
        type=str(written["type"]),
        received_at=str(written.get("received_at", received_at)),
        body=json.dumps(body, ensure_ascii=False).encode(),
        data=data,
        order_key=written.get("order_key"),
        subject=written.get("subject"),
        time=written.get("time"),
    )


def _fire(test_run: _TestRun, observed: _TestRun, event: Event) -> None:
    """Add what the rules ask for of an event, and to `observed` what those ask for that are only observed."""
    matching = test_run.book.match(event)
    _record_groups(test_run, event)
    for miss in matching.missed:
        if miss.at == "unless":
            test_run.reached.add(_branch(miss.rule, HELD_BACK))
    for rule in (*matching.fired, *matching.observed):
        test_run.reached.add(_branch(rule, FIRES))
        into = observed if rule.observed else test_run
        if why := rule.find_newer(event, test_run.test.given.newest):
            test_run.reached.add(_branch(rule, STALE))
            into.skipped += rule.leave_out(event, why)
            continue
        results: dict[str, Any] = {}
        for look_up in rule.look_ups:
            look_up.request(event, results)
            if look_up.name not in test_run.test.given.look_up:
                raise TestBroken(
                    f'the rule "{rule.name}" looks up {look_up.name}: answer it under given: look_up: {look_up.name}:'
                )
            results[look_up.name] = test_run.test.given.look_up[look_up.name]
        _record(into, rule, event, results, rule.actions(event, results))


def _record_groups(test_run: _TestRun, event: Event) -> None:
    """Record which any_of groups hold, for the rules whose source and type fit the event."""
    facts = Facts(event, test_run.book.constants)
    for name, groups in test_run.groups.items():
        rule = test_run.book.rule(name)
        if rule is None or not _is_about(rule, event):
            continue
        for each in groups:
            if each.step is None:
                test_run.reached.update(each.seen(facts))


def _is_about(rule: Rule, event: Event) -> bool:
    of_source = rule.sources is None or event.source in rule.sources
    return of_source and (rule.types is None or event.type in rule.types)


def _record(
    test_run: _TestRun, rule: Rule, event: Event, results: Mapping[str, Any], answers: Iterable[Action | Skipped]
) -> None:
    for answer in answers:
        step = rule.step(answer.path)
        for each in test_run.groups.get(rule.name, ()):
            if step is not None and each.step is step:
                test_run.reached.update(each.seen(Facts(event, rule.constants, results)))
        if isinstance(answer, Skipped):
            test_run.skipped.append(answer)
            if step is not None:
                test_run.reached.add(_branch(rule, f"skips {step.written}", step))
            continue
        test_run.actions.append(answer)
        test_run.asked.append((rule, event, results))
        if step is not None:
            test_run.reached.add(_branch(rule, f"takes {step.written}", step))


def _branch(rule: Rule, what: str, step: ActionStep | None = None) -> Branch:
    return Branch(rule.name, what, rule.file, step.line if step and step.line else rule.line)


def _find_groups(rule: Rule) -> Iterable[_Groups]:
    patterns: list[tuple[str, ActionStep | None, Pattern | None]] = [
        ("when", None, rule.when),
        ("unless", None, rule.unless),
    ]
    patterns += [(f"{step.written} only_if", step, step.only_if) for step in rule.steps()]
    for name, step, pattern in patterns:
        groups = pattern.groups() if pattern is not None else ()
        if found := tuple((f"{name}: group {label} of any_of", inner) for label, inner in groups):
            yield _Groups(rule, step, found)


def _list_branches(rule: Rule, groups: tuple[_Groups, ...]) -> Iterable[Branch]:
    yield _branch(rule, FIRES)
    for each in groups:
        yield from each.branches()
    if rule.unless is not None:
        yield _branch(rule, HELD_BACK)
    if rule.not_older_than:
        yield _branch(rule, STALE)
    for step in rule.steps():
        yield _branch(rule, f"takes {step.written}", step)
        if step.only_if is not None or any(
            word == "newsletter" and not each.given for word, each in step.consent.items()
        ):
            yield _branch(rule, f"skips {step.written}", step)


# Comparing. ----------------------------------------------------------------------------------------------------------


def _compare(test_run: _TestRun, expected: Sequence[Expected]) -> list[str]:
    actual = test_run.actions
    pairs = _pair(test_run.book, expected, actual, partly=test_run.test.partly)
    if pairs is None:
        lines = _diff(test_run.book, expected, actual, partly=test_run.test.partly)
        return lines + [f"skipped: {each.destination}.{each.name}: {each.why}" for each in test_run.skipped]
    lines = []
    for wanted, at in pairs:
        lines += _compare_time(test_run, wanted, at)
        if wanted.next is not None:
            lines += _compare_next(test_run, wanted, at)
    return lines


def _compare_time(test_run: _TestRun, wanted: Expected, at: int) -> list[str]:
    """Compare from when on an action is sent, as if it were made when the event was received."""
    options, received = test_run.actions[at].options, instant_of(test_run.asked[at][1].received_at)
    if wanted.held_until == ANY_TIME or received is None:
        return []
    now = round(received.timestamp() * 1000)
    due = options.due(now)
    if due == now if wanted.held_until is None else due == wanted.held_until:
        return []
    held = f"held until {from_epoch(due)}: {options.waits_for}" if due > now else "sent at once"
    expected = "sent at once" if wanted.held_until is None else f"held until {from_epoch(wanted.held_until)}"
    return [f"- {wanted.destination}.{wanted.action} {expected}", f"+ {wanted.destination}.{wanted.action} {held}"]


def _compare_next(test_run: _TestRun, wanted: Expected, at: int) -> list[str]:
    rule, event, results = test_run.asked[at]
    action = test_run.actions[at]
    inner = test_run.beside()
    further = rule.next_actions(event, results, action.path, wanted.result)
    _record(inner, rule, event, {**results, "result": wanted.result}, further)
    pairs = _pair(test_run.book, wanted.next or (), inner.actions, partly=test_run.test.partly)
    if pairs is None:
        difference = _diff(test_run.book, wanted.next or (), inner.actions, partly=test_run.test.partly)
        return [f"after {wanted.destination}.{wanted.action}:", *difference]
    lines = []
    for expected, index in pairs:
        lines += _compare_time(inner, expected, index)
        if expected.next is not None:
            lines += _compare_next(inner, expected, index)
    return lines


def _pair(
    book: Rulebook, expected: Sequence[Expected], actual: Sequence[Action], *, partly: bool
) -> list[tuple[Expected, int]] | None:
    """Pair each expected action with the index of the actual one; None where they do not correspond."""
    if not partly:
        if len(expected) != len(actual):
            return None
        if all(_is_same(book, wanted, found, partly=False) for wanted, found in zip(expected, actual, strict=True)):
            return list(zip(expected, range(len(actual)), strict=True))
        return None
    pairs: list[tuple[Expected, int]] = []
    taken: set[int] = set()
    for wanted in expected:
        at = next(
            (at for at, found in enumerate(actual) if at not in taken and _is_same(book, wanted, found, partly=True)),
            None,
        )
        if at is None:
            return None
        taken.add(at)
        pairs.append((wanted, at))
    return pairs


def _is_same(book: Rulebook, wanted: Expected, found: Action, *, partly: bool) -> bool:
    """Compare the arguments that the test names: null is null, and what is expected not to exist was omitted."""
    if (wanted.destination, wanted.action) != (found.destination, found.name):
        return False
    compare = _contains if partly else _is_equal
    arguments = _normalise(book, wanted)
    return all(
        name not in found.arguments
        if value == OMITTED
        else name in found.arguments and compare(value, found.arguments[name])
        for name, value in arguments.items()
    )


def _normalise(book: Rulebook, wanted: Expected) -> Mapping[str, Any]:
    """Return expected arguments as the action's model serialises them; as written where the model refuses them."""
    kind = book.action_kind(wanted.destination, wanted.action)
    omitted = {name: value for name, value in wanted.arguments.items() if value == OMITTED}
    given = {name: value for name, value in wanted.arguments.items() if name not in omitted}
    try:
        if kind is not None:
            given = kind.arguments.model_validate(given).model_dump(mode="json", exclude_unset=True)
    except ValueError:
        pass  # the test names only some of the arguments
    return given | omitted


def _is_equal(one: Any, other: Any) -> bool:
    """Compare as JSON: true is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_is_equal(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def _contains(part: Any, whole: Any) -> bool:
    if isinstance(part, Mapping) and isinstance(whole, Mapping):
        return all(key in whole and _contains(part[key], whole[key]) for key in part)
    return _is_equal(part, whole)


def _diff(book: Rulebook, expected: Sequence[Expected], actual: Sequence[Action], *, partly: bool) -> list[str]:
    """Return a diff of the expected (-) and the actual (+) actions, as YAML."""
    wanted = _format_actions((each.destination, each.action, _normalise(book, each)) for each in expected)
    found = _format_actions(
        (each.destination, each.name, _select_arguments(each, expected[at] if at < len(expected) else None))
        for at, each in enumerate(actual)
    )
    if partly and not actual:
        found = ["nothing"]
    return [line.rstrip() for line in difflib.ndiff(wanted, found) if not line.startswith("?")]


def _select_arguments(found: Action, wanted: Expected | None) -> Mapping[str, Any]:
    """Return the arguments to show: those that the test names, if it is the same action, else all."""
    if wanted is None or (wanted.destination, wanted.action) != (found.destination, found.name):
        return found.arguments
    return {name: found.arguments.get(name, OMITTED) for name in wanted.arguments}


def _format_actions(actions: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    plain = [{f"{destination}.{action}": _to_plain(arguments)} for destination, action, arguments in actions]
    if not plain:
        return ["nothing"]
    return yaml.safe_dump(plain, sort_keys=True, allow_unicode=True, width=1000).splitlines()


def _to_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _to_plain(inner) for key, inner in value.items()}
    return [_to_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def as_json(results: Results) -> dict[str, Any]:
    """Return plain JSON values."""
    return {
        "passed": results.passed,
        "tests": [
            {
                "name": result.test.name,
                "file": result.test.file,
                "line": result.test.line,
                "passed": result.passed,
                "lines": list(result.lines),
            }
            for result in results.results
        ],
        "coverage": round(results.coverage, 4),
        "unreached": [
            {"rule": branch.rule, "what": branch.what, "file": branch.file, "line": branch.line}
            for branch in results.unreached
        ],
    }


def as_junit(results: Results, folder: str = "") -> str:
    """Return JUnit's XML: one suite, the book, with its tests."""
    cases = [
        JUnitCase(
            result.test.name,
            result.test.file,
            "" if result.passed else "other actions than expected",
            "\n".join(result.lines),
            {"file": _in_folder(folder, result.test.file), "line": str(result.test.line)},
        )
        for result in results.results
    ]
    return junit.write("rules", cases)


def as_problems(results: Results) -> list[Problem]:
    """Return each failed test as a problem at its place, for annotations."""
    return [
        Problem(
            result.test.file, result.test.line, 1, f"{result.test.name}\n" + "\n".join(result.lines), "", "test_failed"
        )
        for result in results.failed
    ]


def _in_folder(folder: str, file: str) -> str:
    return f"{folder.rstrip('/')}/{file}" if folder else file
