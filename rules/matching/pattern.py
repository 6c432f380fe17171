"""Patterns: whether an event matches a `when:`, and if not, at which condition.

Comes in: the mapping under `when:`, `unless:` or `only_if:`, and the scope with the types of its fields. Goes out: a
Pattern, which tests the facts of an event in a microsecond or two. Never puts a value of the event into a reason: the
value is in `actual`, apart.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from rules.matching import condition as conditions
from rules.matching import operators
from rules.matching import path as paths
from rules.matching.condition import NOTHING, Against, Condition, ConditionReader
from rules.matching.field_types import ELEMENT, FieldScope, FieldType
from rules.matching.path import ABSENT, AnyElement, Facts, Path, PathWrong
from rules.matching.truth import FALSE, NO_REASON, TRUE, UNKNOWN, Truth, Why
from rules.source.finding import Finding
from rules.source.look_alikes import nfc
from rules.source.problem import MOST_PROBLEMS

#: Bounds on nested `any_of` and on conditions in one pattern, far above what rules need.
DEEPEST: Final = 10
MOST_CONDITIONS: Final = 10_000


class PatternVerdict(NamedTuple):
    """The result of testing an event against a pattern."""

    truth: Truth
    #: The path of the condition that decided. Empty where all hold.
    at: str = ""
    #: Why, without any value of the event: `absent at data.email`.
    why: Why = NO_REASON
    #: The value at that path, for people who may see it; ABSENT where there was none.
    actual: Any = ABSENT


_HOLDS: Final = PatternVerdict(Truth.TRUE)


class CheckFailure(NamedTuple):
    """Why a check did not hold."""

    at: str
    why: Why
    actual: Any = ABSENT


@dataclass(frozen=True)
class PatternCheck:
    """A part of a pattern that is tested on its own: a field, all fields under one `[]`, or an `any_of`."""

    test: Callable[[Facts], int]
    explain: Callable[[Facts], CheckFailure]


@dataclass(frozen=True)
class Field:
    """One line of a `when:`."""

    path: Path
    condition: Condition
    kind: FieldType


@dataclass(frozen=True)
class Group:
    """A mapping of a pattern: fields and any_of, all of which must hold."""

    fields: tuple[Field, ...] = ()
    any_of: "tuple[Group, ...]" = ()


class Pattern:
    """A compiled `when:`. Immutable."""

    __slots__ = ("_checks", "_group", "_tests")

    def __init__(self, group: Group) -> None:
        self._group = group
        self._checks = _checks_of(group)
        self._tests = tuple(check.test for check in self._checks)

    def fires(self, facts: Facts) -> bool:
        """Return whether everything holds: `test(facts).truth == TRUE`, but faster."""
        for test in self._tests:  # noqa: SIM110 - a generator costs as much as two conditions
            if test(facts) != TRUE:
                return False
        return True

    def test(self, facts: Facts) -> PatternVerdict:
        """Test an event. If it does not match, the verdict names the first false condition, else the first unknown."""
        unknown: PatternCheck | None = None
        for index, test in enumerate(self._tests):
            truth = test(facts)
            if truth == FALSE:
                return PatternVerdict(Truth.FALSE, *self._checks[index].explain(facts))
            if truth == UNKNOWN and unknown is None:
                unknown = self._checks[index]
        if unknown is not None:
            return PatternVerdict(Truth.UNKNOWN, *unknown.explain(facts))
        return _HOLDS

    def truth(self, facts: Facts) -> int:
        """Return `test(facts).truth`, but faster."""
        worst = TRUE
        for test in self._tests:
            truth = test(facts)
            if truth == FALSE:
                return FALSE
            worst = min(worst, truth)
        return worst

    @property
    def says(self) -> str:
        """Return it as a statement about an element."""
        return _says(self._group)

    def against(self) -> Iterator[Against]:
        """Yield what its conditions compare with, as far as that has not been looked at."""
        return _against(self._group)

    def bind(self, facts: Facts) -> "Pattern":
        """Return it with the arguments that this event has, for comparisons between fields."""
        return Pattern(_bound(self._group, facts))

    def every_reason(self, facts: Facts) -> tuple[PatternVerdict, ...]:
        """Return every condition that does not hold, in the order of the rule, for `explain`."""
        return tuple(
            PatternVerdict(Truth(truth), *check.explain(facts))
            for check in self._checks
            if (truth := check.test(facts)) != TRUE
        )

    def equalities(self) -> Mapping[tuple[str, bool], frozenset[str]]:
        """Return the fields that must equal one of certain texts, for the index. Fields under `[]` are left out."""
        return _equalities(self._group)

    def first_texts(self) -> tuple[tuple[tuple[Path, frozenset[str]], ...], bool]:
        """Return the fields that are only compared with texts, up to the first condition that asks for anything else,
        in the order of the rule; and whether that is all. The first that has another value decides, and says why.
        """
        found: list[tuple[Path, frozenset[str]]] = []
        for field in self._group.fields:
            path, condition = field.path, field.condition
            known = condition.operator_test.literals if isinstance(condition, conditions.Leaf) else None
            # `raw` is parsed only where a rule comes so far.
            if known is None or path.list_steps or path.root == "raw" or any(kind != "text" for kind, _ in known):
                return tuple(found), False
            found.append((path, frozenset(nfc(value) for _, value in known)))
        return tuple(found), not self._group.any_of

    def contradiction(self) -> str | None:
        """Say why no event can match, or None."""
        return _contradiction(self._group)

    def groups(self) -> "Iterator[tuple[str, Pattern]]":
        """Yield the groups of `any_of` with their number, `2`, or `2.1` for one inside another, for test coverage."""
        for index, group in enumerate(self._group.any_of, 1):
            inner = Pattern(group)
            yield str(index), inner
            for further, each in inner.groups():
                yield f"{index}.{further}", each

    @property
    def paths(self) -> frozenset[str]:
        """Return the fields it reads."""
        return frozenset(_paths(self._group))


# Compiling. ----------------------------------------------------------------------------------------------------------


def compile_pattern(node: Mapping[str, Any], scope: FieldScope, problems: list[Finding]) -> Pattern:
    """Compile a `when:`. Findings are added to `problems`; if one is an error, the pattern must not be used."""
    group = _PatternCompiler(scope, problems).group(node, (), 0)
    return Pattern(group)


class _PatternCompiler:
    def __init__(self, scope: FieldScope, problems: list[Finding]) -> None:
        self.scope = scope
        self.problems = problems
        self.count = 0

    def wrong(self, at: tuple[str | int, ...], text: str, mend: str, code: str) -> None:
        self.problems.append(Finding(at, text, mend, code))

    def group(self, node: Any, at: tuple[str | int, ...], depth: int) -> Group:
        if not isinstance(node, Mapping):
            self.wrong(at, "a pattern is fields and what they must be", "write data.status: confirmed", "bad_pattern")
            return Group()
        fields: list[Field] = []
        written: dict[int, str] = {}
        any_of: tuple[Group, ...] = ()
        for name, asked in node.items():
            if len(self.problems) >= MOST_PROBLEMS and any(each.severity == "error" for each in self.problems):
                break
            self.count += 1
            if self.count > MOST_CONDITIONS:
                if self.count == MOST_CONDITIONS + 1:
                    self.wrong(at, f"more than {MOST_CONDITIONS} conditions", "make several rules of it", "too_large")
                break
            if name == "any_of":
                any_of = self.groups(asked, (*at, name), depth)
            else:
                field = self.field(name, asked, (*at, name))
                if field is not None:
                    fields.append(field)
                    written[id(field)] = name
        if any(field.path.list_steps for field in fields if "[]" in written[id(field)]):
            self.doubt_no_element(fields, written, at)
        return Group(tuple(fields), any_of)

    def groups(self, node: Any, at: tuple[str | int, ...], depth: int) -> tuple[Group, ...]:
        if not isinstance(node, list) or not node:
            self.wrong(at, "any_of needs a list of groups", "write - data.status: confirmed under it", "bad_pattern")
            return ()
        if depth >= DEEPEST:
            self.wrong(at, f"any_of inside any_of, {DEEPEST} deep", "make several rules of it", "too_large")
            return ()
        found: list[Group] = []
        for index, each in enumerate(node):
            if isinstance(each, Mapping) and not each:
                self.wrong((*at, index), "an empty group matches every event", "leave any_of out", "empty")
            found.append(self.group(each, (*at, index), depth + 1))
        return tuple(found)

    def field(self, name: Any, asked: Any, at: tuple[str | int, ...]) -> Field | None:
        if not isinstance(name, str):
            self.wrong(at, "a field has a name", "write data.status: confirmed", "bad_path")
            return None
        if self.scope.element is not None:
            name = f"{ELEMENT}{name}" if name[:1] in ("", "[") else f"{ELEMENT}.{name}"
        try:
            path = paths.parse(name)
        except PathWrong as exc:
            self.wrong(at, exc.text, exc.mend, "bad_path")
            return None
        wrong = self.scope.check(path)
        if wrong is not None:
            self.wrong(at, *wrong, "unknown_field")
            return None
        if path.root == "raw":
            self.problems.append(
                Finding(at, f"{path} is not checked: raw has no model", "use data where it can", "raw", "warning")
            )
        kind = self.scope.field_type(path)
        reader = ConditionReader(kind, path.text, self.problems, self.scope, self.element)
        condition = reader.read(asked, at)
        return Field(path, condition, kind) if condition is not None else None

    def element(self, node: Any, kind: FieldType, at: tuple[str | int, ...]) -> Pattern | None:
        """Return what `some:` asks of one element: a group of fields, or a condition on the element itself."""
        before = len(self.problems)
        inside = _PatternCompiler(replace(self.scope, element=kind), self.problems)
        of_fields = isinstance(node, Mapping) and (bool(kind.models) or not node.keys() <= frozenset(operators.NAMES))
        if of_fields and node:
            group = inside.group(node, at, 0)
        else:
            itself = inside.field("", node, at)
            group = Group((itself,) if itself is not None else ())
        wrong = any(problem.severity == "error" for problem in self.problems[before:])
        return None if wrong else Pattern(group)

    def doubt_no_element(self, fields: Sequence[Field], written: Mapping[int, str], at: tuple[str | int, ...]) -> None:
        """Note each `not` over `[]`: it is about all elements, and reads as if it were about the one beside it."""
        for field in fields:
            if not field.path.list_steps:
                continue
            closed = [part.condition for part in _parts(field) if conditions.is_closed(part.condition)]
            whole = Path(field.path.root, field.path.steps[: field.path.list_steps[0]])
            inside = _inside(field.path, field.path.list_steps[0]).strip()
            alone = sum(other.path.text.startswith(f"{whole}[]") for other in fields) == 1 and len(_parts(field)) == 1
            if any(isinstance(part, conditions.Not) for part in closed) or (closed and not alone):
                under = f"some: {inside}:" if inside else "some:"
                self.problems.append(
                    Finding(
                        (*at, written[id(field)]),
                        f"this asks that no element of {whole} is so, whatever else is asked of {whole}[]",
                        f"for one element that is not so, write {whole}: {under} not: …; "
                        f"for no element at all, {whole}: not: {under} …",
                        "no_element",
                        "warning",
                    )
                )


# Comparisons between fields. -----------------------------------------------------------------------------------------


def _against(group: Group) -> Iterator[Against]:
    for field in group.fields:
        yield from conditions.against(field.condition)
    for inner in group.any_of:
        yield from _against(inner)


def _bound(group: Group, facts: Facts) -> Group:
    return Group(_bound_fields(group.fields, facts), tuple(_bound(inner, facts) for inner in group.any_of))


def _bound_fields(fields: Sequence[Field], facts: Facts) -> tuple[Field, ...]:
    return tuple(replace(field, condition=conditions.bind(field.condition, facts)) for field in fields)


def _check_against(fields: Sequence[Field], make: Callable[[Sequence[Field]], PatternCheck]) -> PatternCheck:
    """Return the check of fields; where they are compared with others, it is made anew for each event."""
    if all(isinstance(field.condition, conditions.Leaf) for field in fields) or not any(
        True for field in fields for _ in conditions.against(field.condition)
    ):
        return make(fields)
    return PatternCheck(
        lambda facts: make(_bound_fields(fields, facts)).test(facts),
        lambda facts: make(_bound_fields(fields, facts)).explain(facts),
    )


def _says(group: Group) -> str:
    said = [
        f"{field.path.text.removeprefix(ELEMENT).lstrip('.')} {field.condition.says}".strip() for field in group.fields
    ]
    if group.any_of:
        said.append(f"({' or '.join(_says(inner) for inner in group.any_of)})")
    return " and ".join(said)


# Checks. -------------------------------------------------------------------------------------------------------------


def _checks_of(group: Group) -> tuple[PatternCheck, ...]:
    checks: list[PatternCheck] = []
    of_elements: dict[Path, int] = {}
    members: dict[int, list[Field]] = {}
    for field in group.fields:
        if not field.path.list_steps:
            checks.append(_check_against([field], lambda fields: _field_check(fields[0])))
            continue
        for part in _parts(field):
            if conditions.is_closed(part.condition):
                checks.append(_check_against([part], lambda fields: _no_element_check(fields[0])))
                continue
            prefix = Path(part.path.root, part.path.steps[: part.path.list_steps[0]])
            if prefix not in of_elements:
                of_elements[prefix] = len(checks)
                members[of_elements[prefix]] = []
                checks.append(PatternCheck(_never, _never))  # placeholder, replaced below when all members are known
            members[of_elements[prefix]].append(part)
    for index, fields in members.items():
        checks[index] = _check_against(fields, _elements_check)
    if group.any_of:
        checks.append(_any_of_check([Pattern(each) for each in group.any_of]))
    return tuple(checks)


def _never(facts: Facts) -> Any:
    raise AssertionError("a placeholder was not replaced")


def _parts(field: Field) -> Sequence[Field]:
    """Split a condition over `[]`: `not` and `exists: false` are about all elements, other operators about one."""
    if isinstance(field.condition, conditions.Every):
        closed = [part for part in field.condition.parts if conditions.is_closed(part)]
        if closed:
            others = tuple(part for part in field.condition.parts if not conditions.is_closed(part))
            split: list[Condition] = [*closed, *([conditions.Every(others)] if others else [])]
            return [Field(field.path, part, field.kind) for part in split]
    return [field]


def _field_check(field: Field) -> PatternCheck:
    condition, text = field.condition, field.path.text
    read, test = paths.reader_of(field.path), conditions.compile_test(field.condition)
    when_absent = conditions.truth_of_absent(condition)

    def check(facts: Facts) -> int:
        value = read(facts)
        return when_absent if value is ABSENT else test(value)

    def explain(facts: Facts) -> CheckFailure:
        value = read(facts)
        if value is ABSENT:
            return CheckFailure(text, _absent(field.path, facts))
        return CheckFailure(text, condition.explain(text, value), value)

    return PatternCheck(check, explain)


def _absent(path: Path, facts: Facts) -> Why:
    shortest, before = paths.where_absent(path, facts)
    null = ", because what is before it is null" if before is None else ""
    return Why.of("absent", f"absent at {shortest}{null}")


def _any_of_check(groups: Sequence[Pattern]) -> PatternCheck:
    known = tuple(groups)

    def check(facts: Facts) -> int:
        best = FALSE
        for group in known:
            truth = group.test(facts).truth
            if truth == TRUE:
                return TRUE
            if truth > best:
                best = truth
        return best

    def explain(facts: Facts) -> CheckFailure:
        verdicts = [group.test(facts) for group in known]
        reasons = "; ".join(dict.fromkeys(verdict.why for verdict in verdicts))
        return CheckFailure("any_of", Why.of("no_group", f"no group of any_of holds: {reasons}"))

    return PatternCheck(check, explain)


# Lists: `[]`. --------------------------------------------------------------------------------------------------------


def _no_element_check(field: Field) -> PatternCheck:
    """Check `not` or `exists: false` over `[]`: no element may have what is denied."""
    text = field.path.text
    any_element = _any_element(field)

    def check(facts: Facts) -> int:
        return TRUE - any_element(facts)

    def explain(facts: Facts) -> CheckFailure:
        actual = _spread(field.path, facts)
        if check(facts) == FALSE:
            says = field.condition.inner.says if isinstance(field.condition, conditions.Not) else "exists"
            return CheckFailure(text, Why.of("denied_element", f"an element of {text} {says}"), actual)
        return _unknown_elements([field], facts)

    return PatternCheck(check, explain)


def _any_element(field: Field) -> Callable[[Facts], int]:
    """Return a function that tests whether any element has what a closed condition denies."""
    inner: Condition
    if isinstance(field.condition, conditions.Not):
        inner, when_no_list = field.condition.inner, UNKNOWN
    else:
        inner, when_no_list = conditions.Exists(wanted=True), FALSE
    test = conditions.compile_test(inner)
    of_absent = conditions.truth_of_absent(inner)
    first, *others = _legs(field.path)
    read = paths.reader_of(Path(field.path.root, first))
    followers = [paths.follower(leg) for leg in others]

    def over(node: Any, leg: int) -> int:
        if not isinstance(node, list):
            return when_no_list
        best = FALSE
        follow = followers[leg]
        last = leg == len(followers) - 1
        for element in node:
            value = follow(element)
            truth = (of_absent if value is ABSENT else test(value)) if last else over(value, leg + 1)
            if truth == TRUE:
                return TRUE
            if truth > best:
                best = truth
        return best

    return lambda facts: over(read(facts), 0)


def _legs(path: Path) -> list[tuple[paths.Step, ...]]:
    """Return the steps between the `[]`."""
    legs: list[tuple[paths.Step, ...]] = []
    leg: list[paths.Step] = []
    for step in path.steps:
        if isinstance(step, AnyElement):
            legs.append(tuple(leg))
            leg = []
        else:
            leg.append(step)
    legs.append(tuple(leg))
    return legs


#: Tests an element (ABSENT: there is no list; NOTHING: it is empty). The second argument: see
#: `conditions.compile_element_test`.
Judge = Callable[[Any, Sequence[int]], int]


def _elements_check(fields: Sequence[Field]) -> PatternCheck:
    """Check all conditions under one `[]`: they must hold for the same element."""
    closed: list[Callable[[Facts], int]] = []
    judge = _judge_list([(_legs(field.path)[1:], field) for field in fields], closed)
    index = fields[0].path.list_steps[0]
    prefix = Path(fields[0].path.root, fields[0].path.steps[:index])
    read = paths.reader_of(prefix)

    def check(facts: Facts) -> int:
        return judge(read(facts), [answer(facts) for answer in closed])

    several = f"{prefix}[]"
    at = fields[0].path.text if len(fields) == 1 else several
    where = "where " if any(field.path.steps[index + 1 :] for field in fields) else ""
    asked = " and ".join(f"{_inside(field.path, index)}{field.condition.says}" for field in fields)

    def explain(facts: Facts) -> CheckFailure:
        elements = read(facts)
        if elements is ABSENT:
            return CheckFailure(at, _absent(prefix, facts))
        if check(facts) == FALSE:
            if elements == []:
                return CheckFailure(at, Why.of("empty", f"{prefix} is empty"), elements)
            why = Why.of("no_element", f"no element of {prefix} {where}{asked}")
            return CheckFailure(at, why, _spread(fields[0].path, facts))
        return _unknown_elements(fields, facts)

    return PatternCheck(check, explain)


def _inside(path: Path, index: int) -> str:
    """Return the path inside the element, with a blank after it: `status `."""
    steps = path.steps[index + 1 :]
    return Path("_", steps).text[1:].lstrip(".") + " " if steps else ""


def _judge_list(members: Sequence[tuple[list[tuple[paths.Step, ...]], Field]], closed: list[Any]) -> Judge:
    """Return a function that tests a list: is there an element for which all members hold?"""
    judge = _judge_element(members, closed)

    def judge_list(elements: Any, answers: Sequence[int]) -> int:
        if not isinstance(elements, list):
            return judge(NOTHING if elements is NOTHING else ABSENT, answers)
        best = judge(NOTHING, answers)
        for element in elements:
            if best == TRUE:
                break
            truth = judge(element, answers)
            if truth > best:
                best = truth
        return best

    return judge_list


def _judge_element(members: Sequence[tuple[list[tuple[paths.Step, ...]], Field]], closed: list[Any]) -> Judge:
    judges: list[Judge] = []
    inner: dict[tuple[paths.Step, ...], list[tuple[list[tuple[paths.Step, ...]], Field]]] = {}
    for legs, field in members:
        if len(legs) > 1:
            inner.setdefault(legs[0], []).append((legs[1:], field))
        else:
            judges.append(_followed(legs[0], _judge_field(field, closed)))
    for leg, deeper in inner.items():
        judges.append(_followed(leg, _judge_list(deeper, closed)))
    if len(judges) == 1:
        return judges[0]
    known = tuple(judges)

    def judge(element: Any, answers: Sequence[int]) -> int:
        worst = TRUE
        for each in known:
            truth = each(element, answers)
            if truth == FALSE:
                return FALSE
            if truth < worst:
                worst = truth
        return worst

    return judge


def _followed(leg: tuple[paths.Step, ...], judge: Judge) -> Judge:
    if not leg:
        return judge
    follow = paths.follower(leg)
    return lambda element, answers: judge(element if element is NOTHING else follow(element), answers)


def _judge_field(field: Field, closed: list[Any]) -> Judge:
    apart: list[Condition] = []
    first = len(closed)
    test = conditions.compile_element_test(field.condition, apart)
    if not apart:
        return test
    closed.extend(_no_element_check(Field(field.path, condition, field.kind)).test for condition in apart)
    last = len(closed)
    return lambda element, answers: test(element, answers[first:last])


def _spread(path: Path, facts: Facts) -> list[Any]:
    """Return the values of all elements, for explanations."""
    first, *others = _legs(path)
    nodes = [paths.reader_of(Path(path.root, first))(facts)]
    for leg in others:
        follow = paths.follower(leg)
        nodes = [follow(element) for node in nodes if isinstance(node, list) for element in node]
    return [node for node in nodes if node is not ABSENT]


def _unknown_elements(fields: Sequence[Field], facts: Facts) -> CheckFailure:
    """Say which field of the elements made the result unknown."""
    for field in fields:
        first = _legs(field.path)[0]
        node = paths.reader_of(Path(field.path.root, first))(facts)
        if not isinstance(node, list):
            here = Path(field.path.root, first)
            if node is ABSENT:
                return CheckFailure(field.path.text, _absent(here, facts))
            why = Why.of("null", f"null at {here}") if node is None else Why.of("other_kind", f"{here} is not a list")
            return CheckFailure(field.path.text, why, node)
    texts = ", ".join(field.path.text for field in fields)
    why = Why.of("other_kind", f"absent, null or of another kind at {texts}")
    return CheckFailure(fields[0].path.text, why, _spread(fields[0].path, facts))


# Static analysis, without an event. -------------------------------------------------------------------------------


def _equalities(group: Group) -> Mapping[tuple[str, bool], frozenset[str]]:
    found: dict[tuple[str, bool], frozenset[str]] = {}
    for field in group.fields:
        condition, folded = field.condition, False
        if isinstance(condition, conditions.Viewed) and condition.view is operators.VIEWS["ignore_case"]:
            condition, folded = condition.inner, True
        known = conditions.literals(condition)
        # Texts only: in Python `True == 1`, so other values could collide as keys of the index.
        if known is None or field.path.list_steps or any(kind != "text" for kind, _ in known):
            continue
        _narrow(found, (field.path.text, folded), frozenset(value for _, value in known))
    if group.any_of:
        each = [_equalities(inner) for inner in group.any_of]
        for path in set(each[0]).intersection(*each[1:]):
            _narrow(found, path, frozenset().union(*(known[path] for known in each)))
    return found


def _narrow(found: dict[tuple[str, bool], frozenset[str]], path: tuple[str, bool], texts: frozenset[str]) -> None:
    found[path] = found[path] & texts if path in found else texts


def _contradiction(group: Group) -> str | None:
    for field in group.fields:
        why = conditions.contradiction(field.condition, field.kind)
        if why:
            return f"{field.path}: {why}"
    by_path: dict[str, list[Field]] = {}
    for field in group.fields:
        if not field.path.list_steps:
            by_path.setdefault(field.path.text, []).append(field)
    for fields in by_path.values():
        if len(fields) > 1:
            why = conditions.contradiction(conditions.Every(tuple(field.condition for field in fields)), fields[0].kind)
            if why:
                return f"{fields[0].path}: {why}"
    missing = [field for field in group.fields if _must_not_exist(field)]
    for field in missing:
        for other in group.fields:
            steps = other.path.steps[: len(field.path.steps)]
            inside = other is not field and other.path.root == field.path.root and steps == field.path.steps
            if inside and conditions.truth_of_absent(other.condition) != TRUE:
                return f"{field.path} does not exist, so {other.path} has no value"
    if group.any_of:
        reasons = [_contradiction(_joined(group, inner)) for inner in group.any_of]
        if all(reasons):
            return f"no group of any_of can hold: {reasons[0]}"
    return None


def _joined(outer: Group, inner: Group) -> Group:
    return Group((*outer.fields, *inner.fields), inner.any_of)


def _must_not_exist(field: Field) -> bool:
    return isinstance(field.condition, conditions.Exists) and not field.condition.wanted


def _paths(group: Group) -> list[str]:
    compared = [each.path.text for each in _against(group)]
    return [field.path.text for field in group.fields] + compared + [p for inner in group.any_of for p in _paths(inner)]
