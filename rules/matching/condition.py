"""The condition on one field of a `when:`, as a tree: AND (several operators), OR (a list), `not`, single operators.

Comes in: the value of a field in a `when:`, as the YAML gives it. Goes out: a Condition, which can be tested against a
value and can say why it did not hold. Never sees the whole event: the pattern reads the value.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from rules.matching import field_types, operators
from rules.matching import path as paths
from rules.matching.field_types import ELEMENT, OPEN, FieldScope, FieldType, Kind
from rules.matching.operators import ArgumentWrong, OperatorTest, View
from rules.matching.path import ABSENT, Facts, Path, PathWrong
from rules.matching.truth import FALSE, TRUE, UNKNOWN, Why
from rules.source import look_alikes
from rules.source.finding import Finding, looks_typed
from rules.source.problem import did_you_mean


class Nothing:
    """Takes the place of an element when a list is empty: every condition on it is false."""


NOTHING: Final = Nothing()

#: A text that other languages read as a comparison, and what we write for it.
_COMPARISON: Final = re.compile(r"(>=|<=|>|<|!=)\s*(-?\d+(?:\.\d+)?)\Z", re.ASCII)
_COMPARED: Final = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "!=": "not"}

#: Tests a value, ABSENT or NOTHING. The second argument holds the results of the closed parts (see
#: `compile_element_test`).
Test = Callable[[Any, Sequence[int]], int]


@dataclass(frozen=True)
class Leaf:
    """One operator or literal: a leaf of the tree."""

    operator_test: OperatorTest
    operator: str

    def test(self, value: Any) -> int:
        """Test a value."""
        return UNKNOWN if value is ABSENT else FALSE if value is NOTHING else self.operator_test.test(value)

    @property
    def says(self) -> str:
        """Return it as a statement."""
        return self.operator_test.says

    def explain(self, path: str, value: Any) -> Why:
        """Say why it did not hold."""
        if self.operator_test.test(value) == FALSE:
            return Why.of("differs", f"{path} {self.operator_test.denies}")
        if value is None:
            return Why.of("null", f"null at {path}")
        wanted = _words(self.operator_test.wants)
        kind = field_types.kind_of(value)
        if kind == "text" and self.operator_test.wants == operators.TEXT:
            return Why.of("other_kind", f"{path} is no address")
        if self.operator_test.wants == operators.INSTANT and operators.is_local(value):
            return Why.of(
                "other_kind", f"{path} is a date or a time without an offset, {self.operator} needs a zone for it"
            )
        return Why.of("other_kind", f"{path} is {field_types.WORDS[kind]}, {self.operator} needs {wanted}")


@dataclass(frozen=True)
class Exists:
    """`exists:`, the only operator that is never unknown for an absent field."""

    wanted: bool

    def test(self, value: Any) -> int:
        """Test a value."""
        there = value is not ABSENT and value is not NOTHING
        return TRUE if there is self.wanted else FALSE

    @property
    def says(self) -> str:
        """Return it as a statement."""
        return "exists" if self.wanted else "does not exist"

    def explain(self, path: str, value: Any) -> Why:
        """Say why it did not hold."""
        return Why.of("absent", f"absent at {path}") if self.wanted else Why.of("exists", f"{path} exists")


@dataclass(frozen=True)
class Not:
    """`not:`. It is unknown for an absent field."""

    inner: "Condition"

    def test(self, value: Any) -> int:
        """Test a value."""
        return TRUE - self.inner.test(value)

    @property
    def says(self) -> str:
        """Return it as a statement."""
        return f"not ({self.inner.says})"

    def explain(self, path: str, value: Any) -> Why:
        """Say why it did not hold."""
        if self.test(value) == FALSE:
            return Why.of("denied", f"{path} {self.inner.says}")
        return self.inner.explain(path, value)


@dataclass(frozen=True)
class Every:
    """Several operators in one field: AND."""

    parts: "tuple[Condition, ...]"

    def test(self, value: Any) -> int:
        """Test a value."""
        return min(part.test(value) for part in self.parts)

    @property
    def says(self) -> str:
        """Return it as a statement."""
        return " and ".join(part.says for part in self.parts)

    def explain(self, path: str, value: Any) -> Why:
        """Say why it did not hold: the reason of the first false part, else of the first unknown one."""
        worst = min(self.parts, key=lambda part: part.test(value))
        return worst.explain(path, value)


@dataclass(frozen=True)
class OneOf:
    """A list: OR."""

    parts: "tuple[Condition, ...]"

    def test(self, value: Any) -> int:
        """Test a value."""
        return max(part.test(value) for part in self.parts)

    @property
    def says(self) -> str:
        """Return it as a statement."""
        return " or ".join(part.says for part in self.parts)

    def explain(self, path: str, value: Any) -> Why:
        """Say why it did not hold: the reason of a part that is unknown, else the reasons of all."""
        best = max(self.parts, key=lambda part: part.test(value))
        if best.test(value) == UNKNOWN:
            return best.explain(path, value)
        whys = list(dict.fromkeys(part.explain(path, value) for part in self.parts))
        return Why.of(whys[0].code, "; ".join(whys))


@dataclass(frozen=True)
class Viewed:
    """`ignore_case:`, `number:`, `length:`: a condition on what is made of the value."""

    view: View
    inner: "Condition"

    def test(self, value: Any) -> int:
        """Test a value."""
        return self.inner.test(value if value is ABSENT or value is NOTHING else self.view.make(value))

    @property
    def says(self) -> str:
        """Return it as a statement."""
        return f"{self.view.before}{self.inner.says}{self.view.after}"

    def explain(self, path: str, value: Any) -> Why:
        """Say why it did not hold."""
        made = self.view.make(value)
        if made is ABSENT:
            return Why.of("other_kind", f"{path} is {self.view.not_made}")
        why = self.inner.explain(path, made)
        return Why.of(why.code, f"{self.view.of}{why}{self.view.after}")


@dataclass(frozen=True)
class Against:
    """An operator whose argument is read from the event: from another field, or the time at which it was received."""

    path: Path
    operator: str
    #: Makes the operator from what the path has. Raises ArgumentWrong.
    make: Callable[[Any], OperatorTest]
    #: As a statement and denied; they name the field, never its value.
    says: str
    denies: str
    #: True: its field was looked at and has nothing to compare with.
    failed: bool = False

    def test(self, value: Any) -> int:
        """Return unknown: there is nothing to compare with."""
        return FALSE if value is NOTHING else UNKNOWN

    def explain(self, path: str, value: Any) -> Why:
        """Say why it did not hold."""
        return Why.of(
            "nothing_to_compare", f"{path} has nothing to be compared with: {self.path} is absent or of another kind"
        )

    def bind(self, facts: Facts) -> "Leaf | Against":
        """Return it with the argument that this event has."""
        found = paths.reader_of(self.path)(facts)
        try:
            test = self.make(found) if found is not ABSENT else None
        except ArgumentWrong:
            test = None
        if test is None:
            return replace(self, failed=True)
        return Leaf(replace(test, says=self.says, denies=self.denies), self.operator)


class ElementPattern(Protocol):
    """What `some:` asks of one element; a Pattern whose only root is ELEMENT."""

    @property
    def says(self) -> str:
        """Return it as a statement."""

    def truth(self, facts: Facts) -> int:
        """Test an element."""

    def against(self) -> Iterator[Against]:
        """Yield what it compares with."""

    def bind(self, facts: Facts) -> "ElementPattern":
        """Return it with the arguments that this event has."""

    def contradiction(self) -> str | None:
        """Say why no element can match."""


@dataclass(frozen=True)
class Some:
    """`some:`, a pattern that one and the same element of a list fits."""

    pattern: ElementPattern

    def test(self, value: Any) -> int:
        """Test a value."""
        if not isinstance(value, list):
            return FALSE if value is NOTHING else UNKNOWN
        best = FALSE
        for element in value:
            truth = self.pattern.truth({ELEMENT: element})
            if truth == TRUE:
                return TRUE
            best = max(best, truth)
        return best

    @property
    def says(self) -> str:
        """Return it as a statement."""
        return f"has an element that fits: {self.pattern.says}"

    def explain(self, path: str, value: Any) -> Why:
        """Say why it did not hold."""
        if value is None:
            return Why.of("null", f"null at {path}")
        if not isinstance(value, list):
            return Why.of("other_kind", f"{path} is {field_types.WORDS[field_types.kind_of(value)]}, some needs a list")
        if not value:
            return Why.of("empty", f"{path} is empty")
        unknown = "" if self.test(value) == FALSE else " (absent, null or of another kind in some)"
        return Why.of("no_element", f"no element of {path} fits: {self.pattern.says}{unknown}")


Condition = Leaf | Exists | Not | Every | OneOf | Viewed | Against | Some


# Comparing with other fields. ----------------------------------------------------------------------------------------


def against(condition: Condition) -> Iterator[Against]:
    """Yield what a condition compares with, as far as it has not been looked at."""
    match condition:
        case Against():
            if not condition.failed:
                yield condition
        case Not(inner) | Viewed(_, inner):
            yield from against(inner)
        case Every(parts) | OneOf(parts):
            for part in parts:
                yield from against(part)
        case Some(pattern):
            yield from (each for each in pattern.against() if each.path.root != ELEMENT)


def bind(condition: Condition, facts: Facts) -> Condition:
    """Return a condition with the arguments that this event has."""
    match condition:
        case Against():
            return condition if condition.path.root == ELEMENT and ELEMENT not in facts else condition.bind(facts)
        case Not(inner):
            return Not(bind(inner, facts))
        case Viewed(view, inner):
            return Viewed(view, bind(inner, facts))
        case Every(parts):
            return Every(tuple(bind(part, facts) for part in parts))
        case OneOf(parts):
            return OneOf(tuple(bind(part, facts) for part in parts))
        case Some(pattern):
            return Some(pattern.bind(facts))
    return condition


# Making tests. -------------------------------------------------------------------------------------------------------


def compile_test(condition: Condition) -> Callable[[Any], int]:
    """Compile a condition to a function that tests a value. The value must be present."""
    match condition:
        case Leaf(operator_test):
            return operator_test.test
        case Exists(wanted):
            answer = TRUE if wanted else FALSE
            return lambda value: answer
        case Not(inner):
            test = compile_test(inner)
            return lambda value: TRUE - test(value)
        case Every(parts):
            return _every([compile_test(part) for part in parts])
        case OneOf(parts):
            return _one_of([compile_test(part) for part in parts])
        case Viewed(view, inner):
            make, viewed = view.make, compile_test(inner)
            return lambda value: UNKNOWN if (made := make(value)) is ABSENT else viewed(made)
    return condition.test


def _every(tests: Sequence[Callable[[Any], int]]) -> Callable[[Any], int]:
    known = tuple(tests)

    def test(value: Any) -> int:
        worst = TRUE
        for each in known:
            truth = each(value)
            if truth == FALSE:
                return FALSE
            if truth < worst:
                worst = truth
        return worst

    return test


def _one_of(tests: Sequence[Callable[[Any], int]]) -> Callable[[Any], int]:
    known = tuple(tests)

    def test(value: Any) -> int:
        best = FALSE
        for each in known:
            truth = each(value)
            if truth == TRUE:
                return TRUE
            if truth > best:
                best = truth
        return best

    return test


def is_closed(condition: Condition) -> bool:
    """Return whether a condition over `[]` is about all elements: `not` and `exists: false` mean "no element"."""
    return isinstance(condition, Not) or (isinstance(condition, Exists) and not condition.wanted)


def compile_element_test(condition: Condition, closed: list[Condition]) -> Test:
    """Compile a condition to a function that tests one element of a list.

    Closed parts (see `is_closed`) are not about one element: they are appended to `closed`, the caller tests them over
    the whole list, and passes the results to the function in the same order.
    """
    if is_closed(condition):
        index = len(closed)
        closed.append(condition)
        return lambda value, answers: answers[index]
    match condition:
        case Every(parts):
            every = [compile_element_test(part, closed) for part in parts]
            return lambda value, answers: min([test(value, answers) for test in every])
        case OneOf(parts):
            some = [compile_element_test(part, closed) for part in parts]
            return lambda value, answers: max([test(value, answers) for test in some])
        case Leaf(operator_test):
            judge = operator_test.test
            return lambda value, answers: UNKNOWN if value is ABSENT else FALSE if value is NOTHING else judge(value)
        case Viewed() | Against() | Some():
            whole = condition.test
            return lambda value, answers: whole(value)
    return lambda value, answers: FALSE if value is ABSENT or value is NOTHING else TRUE  # exists: true


# Reading the YAML. ---------------------------------------------------------------------------------------------------


#: Compiles what `some:` asks of an element: (what is written, type of an element, place) -> pattern.
ReadElement = Callable[[Any, FieldType, tuple[str | int, ...]], ElementPattern | None]


@dataclass(slots=True)
class ConditionReader:
    """Reads the condition on one field and collects findings."""

    kind: FieldType
    field: str
    findings: list[Finding]
    #: The fields that it may be compared with.
    scope: FieldScope
    read_element: ReadElement
    #: What is looked at instead of the value.
    view: View | None = None

    def read(self, node: Any, at: tuple[str | int, ...], *, denied: bool = False) -> Condition | None:
        """Return the condition; None where it is wrong, after adding to the findings."""
        if isinstance(node, Mapping):
            return self._operators(node, at, denied=denied)
        if isinstance(node, list):
            return self._list(node, at, denied=denied)
        return self._literals([node], [at])

    def _wrong(self, at: tuple[str | int, ...], text: str, mend: str = "", code: str = "bad_operator") -> None:
        self.findings.append(Finding(at, text, mend, code))

    def _list(self, node: list[Any], at: tuple[str | int, ...], *, denied: bool) -> Condition | None:
        if not node:
            self._wrong(at, f"{self.field}: an empty list matches nothing", "write at least one value", "empty")
            return None
        parts: list[Condition | None] = []
        plain = [index for index, each in enumerate(node) if not isinstance(each, Mapping | list)]
        if plain:
            parts.append(self._literals([node[index] for index in plain], [(*at, index) for index in plain]))
        for index, each in enumerate(node):
            if isinstance(each, list):
                self._wrong((*at, index), f"{self.field}: a list inside a list", "write one list; it is OR")
                parts.append(None)
            elif isinstance(each, Mapping):
                parts.append(self._operators(each, (*at, index), denied=denied))
        good = [part for part in parts if part is not None]
        if len(good) < len(parts):
            return None
        if not denied:
            self._doubt_or(node, good, at)
        return good[0] if len(good) == 1 else OneOf(tuple(good))

    def _doubt_or(self, node: list[Any], parts: list[Condition], at: tuple[str | int, ...]) -> None:
        """Note a list whose entries were probably meant as AND: days and times apart, ranges that leave nothing out."""
        keys = [frozenset(each) for each in node if isinstance(each, Mapping)]
        days = any("days" in each and "between" not in each for each in keys)
        times = any("between" in each and "zone" in each and "days" not in each for each in keys)
        ranges = [found for part in parts if (found := _range_of(part.inner if isinstance(part, Viewed) else part))]
        open_ended = any(
            one.low and two.high and one.low[0] <= two.high[0] and one.high is None and two.low is None
            for one, two in itertools.permutations(ranges, 2)
        )
        denials = {part.inner.says for part in parts if isinstance(part, Not)}
        denied = len(denials) > 1 or (bool(denials) and any(isinstance(part, Leaf) for part in parts))
        there = any(isinstance(part, Exists) and part.wanted for part in parts)
        if (days and times) or open_ended or denied or (there and len(parts) > 1):
            self._doubt(
                at,
                f"{self.field}: a list is OR, so one of its entries is enough",
                "if all are meant, write them without dashes, as one condition",
                "or_for_and",
            )

    def _doubt(self, at: tuple[str | int, ...], text: str, mend: str, code: str) -> None:
        self.findings.append(Finding(at, text, mend, code, "warning"))

    def _literals(self, literals: list[Any], places: list[tuple[str | int, ...]]) -> Condition | None:
        fit = [self._literal(literal, at) for literal, at in zip(literals, places, strict=True)]
        try:
            operator_test = operators.equal_to([self._convert(literal) for literal in literals])
        except ArgumentWrong as exc:
            self._wrong(places[0], f"{self.field}: {exc.text}", exc.mend, "wrong_type")
            return None
        return Leaf(operator_test, "a literal") if all(fit) else None

    def _literal(self, literal: Any, at: tuple[str | int, ...]) -> bool:
        """Check a literal against the type of the field; return whether it is usable."""
        kind = self.kind
        meant = look_alikes.typed_mend(literal) if isinstance(literal, str) else ""
        if meant and (kind.is_open or meant == "null") and not (kind.choices and literal in kind.choices):
            self.findings.append(looks_typed(at, literal, meant))
        if isinstance(literal, str) and len(literal) > 1 and "*" in (literal[0], literal[-1]):
            text = f"{self.field}: a text is compared as it stands, with its star"
            self._doubt(at, text, f"if it stands for any text, write wildcard: {json.dumps(literal)}", "star")
        if isinstance(literal, str) and (found := _COMPARISON.match(literal)):
            text = f"{self.field}: a text is compared as it stands, with its {found[1]}"
            self._doubt(at, text, f"if numbers are meant, write {_COMPARED[found[1]]}: {found[2]}", "comparison")
        if kind.is_open:
            return True
        if not field_types.admits(kind, literal):
            if literal is None:
                text = f"{self.field} is never null"
                self.findings.append(
                    Finding(at, text, "an absent field is asked for with exists: false", "never_null", "warning")
                )
                return True
            mend = f"write {self.field}[] for any element" if "list" in kind.kinds else ""
            is_kind = field_types.WORDS[field_types.kind_of(literal)]
            self._wrong(
                at,
                f"{self.field} is {kind.words}, {field_types.format_literal(literal)} is {is_kind}",
                mend or field_types.mend_of_literal(kind, literal),
                "wrong_type",
            )
            return False
        if isinstance(literal, str) and kind.choices is not None and literal not in kind.choices:
            choices = [choice for choice in kind.choices if isinstance(choice, str)]
            self._wrong(at, f'{self.field} is never "{literal}"', did_you_mean(literal, choices), "unknown_value")
            return False
        if isinstance(literal, str) and "instant" in kind.kinds and "text" not in kind.kinds and not _exact(literal):
            self._wrong(
                at,
                f"{self.field} is an instant, and no instant is written {field_types.format_literal(literal)}",
                "ask with before, after, days or between and zone",
                "wrong_type",
            )
            return False
        return True

    def _operators(self, node: Mapping[Any, Any], at: tuple[str | int, ...], *, denied: bool) -> Condition | None:
        if not node:
            self._wrong(at, f"{self.field}: {{}} asks nothing", "write a value or an operator", "empty")
            return None
        in_time = not operators.OF_TIME.isdisjoint(node)
        parts: list[Condition | None] = []
        if in_time:
            parts += self._time(node, at)
        for name, argument in node.items():
            if in_time and (name in operators.OF_TIME or name == "between"):
                continue
            parts.append(self._operator(name, argument, (*at, name), denied=denied))
        good = [part for part in parts if part is not None]
        if len(good) < len(parts):
            return None
        return good[0] if len(good) == 1 else Every(tuple(good))

    def _operator(self, name: Any, argument: Any, at: tuple[str | int, ...], *, denied: bool) -> Condition | None:
        if name == "not":
            return self._not(argument, at, denied=denied)
        if name == "exists":
            return self._exists(argument, at, denied=denied)
        if name == "some":
            return self._some(argument, at)
        if name == "field":
            return self._against({"field": argument}, name, at[:-1], lambda found: operators.equal_to([found]))
        if name in operators.VIEWS:
            return self._viewed(name, argument, at)
        if name in operators.SIMPLE and _is_field(argument):
            return self._against(argument, name, at, operators.SIMPLE[name])
        if name not in operators.SIMPLE:
            mend = operators.ELSEWHERE.get(str(name)) or did_you_mean(str(name), operators.NAMES)
            self._wrong(at, f'there is no operator "{name}"', mend, "unknown_operator")
            return None
        if name == "between" and self.kind.kinds == {"instant"} | (self.kind.kinds & {"null"}):
            self._wrong(at, "between of an instant needs a zone", "add zone: Europe/Berlin")
            return None
        try:
            operator_test = operators.SIMPLE[name](self._convert(argument))
        except ArgumentWrong as exc:
            mend = exc.mend
            if isinstance(argument, str) and name in _INSTEAD_OF and operators.DATE.match(argument):
                mend = f"write {_INSTEAD_OF[name]}: {argument}"
            elif name == "between" and _are_dates(argument):
                mend = _BETWEEN_DATES.format(*argument)
            self._wrong(at, exc.text, mend)
            return None
        return self._judged(operator_test, name, at)

    def _convert(self, argument: Any) -> Any:
        """Return an argument as the view needs it: in small letters where the value is looked at in small letters."""
        if self.view is None or self.view.convert is None:
            return argument
        return list(map(self.view.convert, argument)) if isinstance(argument, list) else self.view.convert(argument)

    def _against(
        self, argument: Mapping[str, Any], name: str, at: tuple[str | int, ...], make: Callable[[Any], OperatorTest]
    ) -> Condition | None:
        """Return the comparison with the field that `{field: …}` names."""
        written, at = argument["field"], (*at, "field")
        if not isinstance(written, str):
            self._wrong(at, "field needs the path of a field", "write field: data.booker.email")
            return None
        try:
            path = paths.parse(written)
        except PathWrong as exc:
            self._wrong(at, exc.text, exc.mend, "bad_path")
            return None
        if path.list_steps:
            self._wrong(at, f"{path} is no single field", "ask with some: under the list instead", "bad_path")
            return None
        wrong = self.scope.check(path)
        if wrong is not None:
            self._wrong(at, *wrong, "unknown_field")
            return None
        theirs = self.scope.field_type(path)
        if self.view is None and not theirs.is_open and not self.kind.may_be(*theirs.kinds - {"null"}):
            self._wrong(at, f"{self.field} is {self.kind.words}, {path} is {theirs.words}", "", "wrong_type")
            return None
        says, denies = operators.COMPARES.get(name, (f"fits {name}", f"does not fit {name}"))
        convert = self.view.convert_field if self.view is not None else None
        made = make if convert is None else lambda found: make(convert(found))
        return Against(path, name, made, f"{says} {path}", f"{denies} {path}")

    def _viewed(self, name: str, argument: Any, at: tuple[str | int, ...]) -> Condition | None:
        view = operators.VIEWS[name]
        if self.view is not None:
            self._wrong(at, f"{name} inside another view of the value", "ask in one of them")
            return None
        if not self.kind.may_be(*view.wants):
            self._wrong(at, f"{self.field} is {self.kind.words}, {name} needs {_words(view.wants)}", "", "wrong_type")
            return None
        field = f"{view.of}{self.field}"
        inner = replace(self, kind=FieldType(view.gives), field=field, view=view).read(argument, at)
        return Viewed(view, inner) if inner is not None else None

    def _some(self, argument: Any, at: tuple[str | int, ...]) -> Condition | None:
        if not self.kind.may_be("list"):
            self._wrong(at, f"{self.field} is {self.kind.words}, some needs a list", "", "wrong_type")
            return None
        pattern = self.read_element(argument, self.kind.element or OPEN, at)
        return Some(pattern) if pattern is not None else None

    def _judged(self, operator_test: OperatorTest, name: str, at: tuple[str | int, ...]) -> Condition | None:
        """Return the condition if the operator can be applied to the type of the field, else note why not."""
        wants: Iterable[Kind] = operator_test.wants
        if not self.kind.may_be(*wants) and not ("text" in operator_test.wants and self.kind.may_be("instant")):
            wanted = _words(operator_test.wants)
            mend = f"write {self.field}[] for any element" if "list" in self.kind.kinds else ""
            if operator_test.wants == operators.NUMBER and self.kind.may_be("text"):
                mend = f"write number: and {name}: under it, if it is a number in a text"
            if operator_test.wants == operators.INSTANT and self.kind.may_be("text"):
                mend = f"declare {self.field} under fields: of the source as instant"
            self._wrong(at, f"{self.field} is {self.kind.words}, {name} needs {wanted}", mend, "wrong_type")
            return None
        if operator_test.wants == operators.NUMBER and self.kind.is_open and not self.field.startswith("raw"):
            self._doubt(
                at,
                f'nothing says that {self.field} is a number, and {name} never holds for a text such as "19.99"',
                f"write number: and {name}: under it, or declare the field under fields: of the source as number",
                "undeclared_number",
            )
        return Leaf(operator_test, name)

    def _time(self, node: Mapping[Any, Any], at: tuple[str | int, ...]) -> list[Condition | None]:
        """Return the conditions on an instant; one zone counts for all of them."""
        given = {name: node[name] for name in ("days", "between") if name in node}
        zone = node.get("zone")
        found: list[Condition | None] = []
        here = "zone"
        try:
            if given or node.keys() <= {"zone"}:
                found.append(self._judged(operators.when({**given, "zone": zone}), "zone", at))
            for here in (name for name in operators.MOMENTS if name in node):
                make = operators.moment(here, zone)
                if _is_field(node[here]):
                    found.append(self._against(node[here], here, (*at, here), make))
                else:
                    found.append(self._judged(make(node[here]), here, (*at, here)))
            for here in (name for name in operators.AGES if name in node):
                if self.field == _RECEIVED_AT.root:
                    raise ArgumentWrong(f"{here}: ages are counted up to received_at", "ask it of another time")
                age = operators.age(here, node[here], zone)
                sample = self._judged(age(operators.LONG_AGO), here, (*at, here))
                if sample is not None:
                    says, denies = (f"{word} {node[here]}" for word in operators.COMPARES[here])
                    found.append(Against(_RECEIVED_AT, here, age, says, denies))
                else:
                    found.append(None)
        except ArgumentWrong as exc:
            operator = exc.operator or (here if here in node else "")
            mend = _BETWEEN_DATES.format(*node["between"]) if _are_dates(node.get("between")) else exc.mend
            self._wrong((*at, operator) if operator in node else at, exc.text, mend)
            found.append(None)
        return found

    def _not(self, argument: Any, at: tuple[str | int, ...], *, denied: bool) -> Condition | None:
        if denied:
            self._wrong(at, "not inside not", "say it without not")
            return None
        if self.view is not None:
            self._wrong(at, f"not inside {self.view.name}", f"write not: and {self.view.name}: under it")
            return None
        inner = self.read(argument, at, denied=True)
        return Not(inner) if inner is not None else None

    def _exists(self, argument: Any, at: tuple[str | int, ...], *, denied: bool) -> Condition | None:
        if not isinstance(argument, bool):
            self._wrong(at, "exists is true or false", "write exists: true")
            return None
        if denied:
            self._wrong(at, "exists inside not", f"write exists: {'false' if argument else 'true'}")
            return None
        if self.view is not None:
            self._wrong(at, f"exists inside {self.view.name}", "write exists beside it")
            return None
        return Exists(argument)


def _is_field(argument: Any) -> bool:
    """Return whether an argument is `{field: …}`: what another field has."""
    return isinstance(argument, Mapping) and argument.keys() == {"field"}


def _are_dates(argument: Any) -> bool:
    return (
        isinstance(argument, list)
        and len(argument) == 2
        and all(isinstance(each, str) and operators.DATE.match(each) for each in argument)
    )


def _words(kinds: Iterable[Kind]) -> str:
    return " or ".join(field_types.WORDS[kind] for kind in sorted(kinds))


#: What is asked of an instant instead of a comparison of numbers.
_INSTEAD_OF: Final[Mapping[str, str]] = {"lt": "before", "lte": "before", "gt": "after", "gte": "after"}
_BETWEEN_DATES: Final = "write after: {}, before: {} and a zone, beside each other; they leave both days out"
_RECEIVED_AT: Final = Path("received_at")


def _exact(text: str) -> bool:
    """Return whether an instant is written in the form that `data` has: UTC with milliseconds."""
    return len(text) == 24 and text.endswith("Z") and text[19] == "." and operators.instant_of(text) is not None


# Contradictions. -----------------------------------------------------------------------------------------------------


def literals(condition: Condition) -> frozenset[tuple[Kind, Any]] | None:
    """Return the only values for which a condition can be true; None: they cannot be listed."""
    match condition:
        case Leaf(operator_test):
            return operator_test.literals
        case Every(parts):
            known = [found for part in parts if (found := literals(part)) is not None]
            return frozenset.intersection(*known) if known else None
        case OneOf(parts):
            each = [literals(part) for part in parts]
            if any(found is None for found in each):
                return None
            return frozenset().union(*(found for found in each if found is not None))
    return None


def contradiction(condition: Condition, kind: FieldType = OPEN) -> str | None:
    """Say why no value can make a condition true; None: none found. It does not find every contradiction."""
    if truth_of_absent(condition) == TRUE:
        return None
    match condition:
        case Viewed(_, inner):
            return contradiction(inner)
        case Some(pattern):
            return pattern.contradiction()
        case Against():
            return None
    if isinstance(condition, OneOf):
        reasons = [contradiction(part, kind) for part in condition.parts]
        return reasons[0] if all(reasons) else None
    candidates = literals(condition)
    if candidates is None and kind.choices is not None and not kind.is_open and "null" not in kind.kinds:
        candidates = frozenset((field_types.kind_of(choice), choice) for choice in kind.choices)
    if candidates is not None and not any(condition.test(value) == TRUE for _, value in candidates):
        return f"nothing {condition.says}"
    if isinstance(condition, Every):
        return _contradiction_of_parts(condition)
    return None


def _contradiction_of_parts(condition: Every) -> str | None:
    if any(isinstance(part, Exists) and not part.wanted for part in condition.parts):
        return f"a field that does not exist has no value: {condition.says}"
    conditions = [found for part in condition.parts if (found := _range_of(part))]
    for one, two in itertools.combinations(conditions, 2):
        if operators.NUMBER in (one.wants, two.wants) and one.wants.isdisjoint({*two.wants, "any"}):
            return f"nothing {one.says} and {two.says}"
        for low, high in ((one.low, two.high), (two.low, one.high)):
            if low and high and (low[0] > high[0] or (low[0] == high[0] and not (low[1] and high[1]))):
                return f"nothing {one.says} and {two.says}"
        if one.prefixes and two.prefixes and not _begin_alike(one.prefixes, two.prefixes):
            return f"nothing {one.says} and {two.says}"
    return None


def _range_of(condition: Condition) -> OperatorTest | None:
    """Return the operator of a condition whose argument is known now; that of an age counts from one moment for all."""
    match condition:
        case Leaf(operator_test):
            return operator_test
        case Against(operator=name, make=make) if name in operators.AGES:
            return make(operators.LONG_AGO)
    return None


def _begin_alike(some: Sequence[str], others: Sequence[str]) -> bool:
    return any(one.startswith(two) or two.startswith(one) for one in some for two in others)


def truth_of_absent(condition: Condition) -> int:
    """Return the truth value of a condition on an absent field."""
    return condition.test(ABSENT)
