"""Compiles one expression `{{ … }}` from Jinja2's syntax tree to Python functions.

Comes in: a node of the syntax tree and the scope of fields it may read. Goes out: an ExpressionNode, whose functions
take facts and return a value. Never accepts a kind of node that is not listed here, so attribute access, method calls
and function calls cannot be expressed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from jinja2 import nodes

from rules.errors import ValueFailed
from rules.matching import path as paths
from rules.matching.field_types import OPEN, FieldScope, FieldType
from rules.matching.path import ABSENT, At, Facts, Path, Step
from rules.source.look_alikes import nfc
from rules.source.problem import did_you_mean
from rules.values import filters, limits
from rules.values.filters import FilterFailed, UnreadableValue

#: Evaluates an expression. Strict functions raise ValueFailed for an absent field, lenient ones return ABSENT.
Run = Callable[[Facts], Any]
DEEPEST: Final = 40
#: Filters that say what becomes of an argument whose value is not there.
LAST: Final = ("omit", "clear")


class TemplateWrong(Exception):
    """A template cannot be compiled."""

    def __init__(self, text: str, mend: str = "", code: str = "bad_template") -> None:
        super().__init__(text)
        self.text = text
        self.mend = mend
        self.code = code


@dataclass(frozen=True)
class ExpressionNode:
    """One compiled expression."""

    strict: Run
    lenient: Run
    #: Its name in errors: the first path in it, else its filter.
    label: str
    kind: FieldType = OPEN
    #: The path, if the expression is a path, in the form that the scope takes.
    path: Path | None = None
    #: The value, if the expression is a literal.
    literal: Any = ABSENT


def _constant(value: Any) -> ExpressionNode:
    def run(facts: Facts) -> Any:
        return value

    return ExpressionNode(run, run, "", literal=value)


@dataclass(frozen=True)
class Variable:
    """A name that the template defines, in a loop or a `set`."""

    #: The path of its value, in the form that the scope takes; None: not known.
    path: Path | None = None


class Expressions:
    """Compiles the expressions of one template."""

    def __init__(self, scope: FieldScope) -> None:
        self.scope = scope
        #: The names that the template has defined so far.
        self.variables: dict[str, Variable] = {}
        #: The fields it reads.
        self.read: set[str] = set()

    def part(self, node: nodes.Node) -> ExpressionNode:
        """Compile an expression. Raises TemplateWrong."""
        return self._expression(node, 0)

    def _expression(self, node: nodes.Node, depth: int) -> ExpressionNode:
        if depth > DEEPEST:
            raise TemplateWrong("an expression nested too deeply", "say it in simpler parts")
        match node:
            case nodes.Const():
                return self._constant(node.value)
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                return self._field(node, depth)
            case nodes.Filter():
                return self._filter(node, depth)
            case nodes.Test():
                return self._test(node, depth)
            case nodes.CondExpr():
                return self._condition(node, depth)
            case nodes.And() | nodes.Or():
                return self._logic(node, depth)
            case nodes.Not():
                inner = self._expression(node.node, depth + 1)
                run = inner.strict
                return _computed(lambda facts: not is_true(run(facts)), inner.label, _BOOLEAN)
            case nodes.Compare():
                return self._comparison(node, depth)
            case nodes.Concat():
                return self._concatenation(node, depth)
            case nodes.BinExpr() | nodes.Neg() | nodes.Pos():
                return self._arithmetic(node, depth)
            case nodes.List() | nodes.Tuple():
                return self._list(node.items, depth)
            case nodes.Dict():
                return self._mapping(node, depth)
            case nodes.Call():
                raise TemplateWrong("nothing can be called", "use a filter: {{ data.email | lower }}")
        raise TemplateWrong(f"{node.__class__.__name__.lower()} is not available", "use fields and filters")

    def _constant(self, value: Any) -> ExpressionNode:
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                filters.bounded(value)
            except FilterFailed as exc:
                raise TemplateWrong(f"a number that {exc}", "write a smaller one") from None
        return _constant(value)

    # Fields: a dot is a key.

    def _field(self, node: nodes.Node, depth: int) -> ExpressionNode:
        base, steps = _split_chain(node)
        if not isinstance(base, nodes.Name):
            return self._field_of(self._expression(base, depth + 1), steps)
        variable = self.variables.get(base.name)
        path = Path(base.name, steps)
        if variable is None:
            known: Path | None = Path(base.name, tuple(_as_any(step) for step in steps))
        elif variable.path is not None:
            known = Path(variable.path.root, (*variable.path.steps, *(_as_any(step) for step in steps)))
        else:
            known = None
        kind = self.check(known) if known is not None else OPEN
        label = path.text if variable is None or known is None else known.text
        if not steps:
            root = base.name
            lenient = paths.reader_of(path)

            def whole(facts: Facts) -> Any:
                try:
                    return facts[root]
                except KeyError:
                    raise ValueFailed(label, "absent") from None

            return ExpressionNode(whole, lenient, label, kind, known)
        return ExpressionNode(_strict(path, label), paths.reader_of(path), label, kind, known)

    def _field_of(self, part: ExpressionNode, steps: tuple[Step, ...]) -> ExpressionNode:
        """Compile a path into the result of an expression: `(data.fields | element('id', 1)).value`."""
        follow, strict, lenient = paths.follower(steps), part.strict, part.lenient
        label = part.label

        def read(facts: Facts) -> Any:
            value = follow(strict(facts))
            if value is ABSENT:
                raise ValueFailed(label, f"absent at {Path('_', steps).text[1:].lstrip('.')} of it")
            return value

        return ExpressionNode(read, lambda facts: follow(lenient(facts)), label)

    def check(self, path: Path) -> FieldType:
        """Return the type of a path, and record that it is read. Raises TemplateWrong."""
        wrong = self.scope.check(path)
        if wrong is not None:
            raise TemplateWrong(*wrong, code="unknown_field")
        self.read.add(path.text)
        return self.scope.field_type(path)

    # Filters.

    def _filter(self, node: nodes.Filter, depth: int) -> ExpressionNode:
        name = node.name
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise TemplateWrong(f"{name}: * and ** are not available", "name the arguments")
        if name in LAST:
            raise TemplateWrong(
                f"{name} stands last, in a value that is nothing but {{{{ … }}}}", "use | default('') inside"
            )
        if name in ("default", "d"):
            return self._default(node, depth)
        if name not in filters.FILTERS:
            mend = did_you_mean(name, [*filters.FILTERS, "default", *LAST])
            raise TemplateWrong(f'there is no filter "{name}"', mend, "unknown_filter")
        target = self._expression(target_of(node), depth + 1)
        arguments, named = self._arguments(node, depth)
        _check_arguments(name, arguments, named)
        if name == "phone" and not arguments and not named:
            named["country"] = self._country()
        return _compile_filter(name, target, arguments, named)

    def _country(self) -> ExpressionNode:
        """Return the country of the event's source."""
        countries = self.scope.countries

        def run(facts: Facts) -> str | None:
            try:
                return countries.get(facts["source"])
            except KeyError:  # an event of a test in which nobody sends
                return None

        return ExpressionNode(run, run, "")

    def _arguments(self, node: nodes.Filter, depth: int) -> tuple[list[ExpressionNode], dict[str, ExpressionNode]]:
        """Compile the arguments of a filter: positional and named ones."""
        # Jinja's type stubs say expressions, but these are pairs of a name and an expression.
        pairs: Sequence[Any] = node.kwargs
        named = {str(each.key): self._expression(each.value, depth + 1) for each in pairs}
        return [self._expression(each, depth + 1) for each in node.args], named

    def _default(self, node: nodes.Filter, depth: int) -> ExpressionNode:
        arguments, named = self._arguments(node, depth)
        if "default_value" in named:
            arguments.insert(0, named.pop("default_value"))
        if "boolean" in named:
            arguments.append(named.pop("boolean"))
        if named or not 1 <= len(arguments) <= 2:
            raise TemplateWrong("default needs what to take instead", "write | default('')")
        instead, *others = arguments
        flag = others[0] if others else None
        if flag is not None and not isinstance(flag.literal, bool):
            raise TemplateWrong("default: the second argument is true or false", "write | default('', true)")
        also_empty = flag is not None and flag.literal is True
        target = self._expression(target_of(node), depth + 1)
        run = target.lenient

        def choose(otherwise: Run) -> Run:
            def default(facts: Facts) -> Any:
                value = run(facts)
                if value is ABSENT or value is None or (also_empty and not value):
                    return otherwise(facts)
                return value

            return default

        return ExpressionNode(choose(instead.strict), choose(instead.lenient), target.label)

    def _test(self, node: nodes.Test, depth: int) -> ExpressionNode:
        target = self._expression(node.node, depth + 1)
        if node.args or node.kwargs or node.name not in _TESTS:
            raise TemplateWrong(f'there is no test "{node.name}"', did_you_mean(node.name, _TESTS))
        judge = _TESTS[node.name]
        run = target.lenient if node.name in ("defined", "undefined") else target.strict
        return _computed(lambda facts: judge(run(facts)), target.label, _BOOLEAN)

    # Operators.

    def _condition(self, node: nodes.CondExpr, depth: int) -> ExpressionNode:
        asked = self._expression(node.test, depth + 1)
        yes = self._expression(node.expr1, depth + 1)
        no = self._expression(node.expr2, depth + 1) if node.expr2 is not None else None
        test = asked.strict

        def choose(one: Run, other: Run) -> Run:
            return lambda facts: one(facts) if is_true(test(facts)) else other(facts)

        def nothing(facts: Facts) -> Any:
            raise ValueFailed(asked.label, "the if has no else")

        return ExpressionNode(
            choose(yes.strict, no.strict if no else nothing),
            choose(yes.lenient, no.lenient if no else lambda facts: ABSENT),
            yes.label or asked.label,
        )

    def _logic(self, node: nodes.And | nodes.Or, depth: int) -> ExpressionNode:
        left, right = self._expression(node.left, depth + 1), self._expression(node.right, depth + 1)
        one, two = left.strict, right.strict
        if isinstance(node, nodes.And):
            return _computed(lambda facts: one(facts) and two(facts), left.label)
        return _computed(lambda facts: one(facts) or two(facts), left.label)

    def _comparison(self, node: nodes.Compare, depth: int) -> ExpressionNode:
        first = self._expression(node.expr, depth + 1)
        others = [(each.op, self._expression(each.expr, depth + 1)) for each in node.ops]
        steps = tuple((_COMPARISONS[op], part.strict) for op, part in others)
        run, label = first.strict, first.label or others[0][1].label

        def compare(facts: Facts) -> bool:
            value = run(facts)
            for judge, other in steps:
                following = other(facts)
                limits.spend_on(following)
                try:
                    if not judge(value, following):
                        return False
                except TypeError:
                    raise ValueFailed(label, "cannot be compared: the two are of different kinds") from None
                value = following
            return True

        return _computed(compare, label, _BOOLEAN)

    def _concatenation(self, node: nodes.Concat, depth: int) -> ExpressionNode:
        parts = [self._expression(each, depth + 1) for each in node.nodes]
        pieces = [(part.strict, part.label) for part in parts]

        def join(facts: Facts) -> str:
            writer = limits.Writer()
            for run, label in pieces:
                try:
                    writer.write(filters.text_of(run(facts)))
                except FilterFailed as exc:
                    raise ValueFailed(label, str(exc)) from None
            made = "".join(writer.parts)
            limits.spend_on(made)
            return made

        return _computed(join, next((part.label for part in parts if part.label), ""), TEXT)

    def _arithmetic(self, node: nodes.Node, depth: int) -> ExpressionNode:
        if isinstance(node, nodes.Neg | nodes.Pos):
            left, right = _constant(0), self._expression(node.node, depth + 1)
            sign = node.operator
        elif isinstance(node, nodes.Add | nodes.Sub | nodes.Mul | nodes.Div | nodes.FloorDiv | nodes.Mod):
            left, right = self._expression(node.left, depth + 1), self._expression(node.right, depth + 1)
            sign = node.operator
        else:
            raise TemplateWrong("this arithmetic is not available", "there is + - * / // %")
        work, one, two = _ARITHMETIC[sign], left.strict, right.strict
        label = left.label or right.label

        def compute(facts: Facts) -> Any:
            first, second = one(facts), two(facts)
            if sign == "+" and first.__class__ is str and second.__class__ is str:
                if len(first) + len(second) > filters.LONGEST:
                    limits.raise_too_long()
                limits.spend_on(first)
                return first + second
            for value in (first, second):
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise ValueFailed(label, f"{sign} needs numbers")
            try:
                return filters.bounded(work(filters.bounded(first), filters.bounded(second)))
            except FilterFailed as exc:
                raise ValueFailed(label, str(exc)) from None
            except ArithmeticError:
                raise ValueFailed(label, "division by zero") from None

        return _computed(compute, label)

    def _list(self, items: Sequence[nodes.Node], depth: int) -> ExpressionNode:
        parts = [self._expression(each, depth + 1) for each in items]
        runs = [part.strict for part in parts]
        literal = ABSENT if any(part.literal is ABSENT for part in parts) else [part.literal for part in parts]
        label = next((part.label for part in parts if part.label), "")
        return replace(_computed(lambda facts: [run(facts) for run in runs], label), literal=literal)

    def _mapping(self, node: nodes.Dict, depth: int) -> ExpressionNode:
        parts: dict[str, ExpressionNode] = {}
        for pair in node.items:
            if not isinstance(pair.key, nodes.Const) or not isinstance(pair.key.value, str):
                raise TemplateWrong("the keys of { } are texts", "write {'Frau': 'female'}")
            parts[pair.key.value] = self._expression(pair.value, depth + 1)
        runs = {key: part.strict for key, part in parts.items()}
        literal: Any = ABSENT
        if not any(part.literal is ABSENT for part in parts.values()):
            literal = {key: part.literal for key, part in parts.items()}
        label = next((part.label for part in parts.values() if part.label), "")
        return replace(_computed(lambda facts: {key: run(facts) for key, run in runs.items()}, label), literal=literal)


def is_true(value: Any) -> bool:
    """Return whether a value counts as true: null, false, 0 and empty values do not."""
    return bool(value)


def _equal(one: Any, two: Any) -> bool:
    if one.__class__ is str and two.__class__ is str:
        return nfc(one) == nfc(two)
    # In Python `True == 1`; in the language, true is no number.
    return bool(one == two) and isinstance(one, bool) is isinstance(two, bool)


# Reading fields. -----------------------------------------------------------------------------------------------------


def _strict(path: Path, label: str) -> Run:
    """Return a function that reads a path, and raises ValueFailed where it is absent."""
    keys = path.steps
    if all(isinstance(key, str) and key.isascii() for key in keys):
        root = path.root
        if len(keys) == 1:
            return _strict_one(root, keys[0], label)
        if len(keys) == 2:
            return _strict_two(root, keys[0], keys[1], label)
    lenient = paths.reader_of(path)

    def read(facts: Facts) -> Any:
        value = lenient(facts)
        if value is ABSENT:
            raise ValueFailed(label, "absent")
        return value

    return read


def _strict_one(root: str, key: Any, label: str) -> Run:
    def read(facts: Facts) -> Any:
        try:
            return facts[root][key]
        except (KeyError, TypeError, IndexError):
            raise ValueFailed(label, "absent") from None

    return read


def _strict_two(root: str, key: Any, inner: Any, label: str) -> Run:
    def read(facts: Facts) -> Any:
        try:
            return facts[root][key][inner]
        except (KeyError, TypeError, IndexError):
            raise ValueFailed(label, "absent") from None

    return read


def _computed(run: Run, label: str, kind: FieldType = OPEN) -> ExpressionNode:
    return ExpressionNode(run, run, label, kind)


TEXT: Final = FieldType(frozenset({"text"}))
_BOOLEAN: Final = FieldType(frozenset({"boolean"}))

_TESTS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "defined": lambda value: value is not ABSENT,
    "undefined": lambda value: value is ABSENT,
    "none": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "mapping": lambda value: isinstance(value, Mapping),
    "sequence": lambda value: isinstance(value, list),
}


def _contains(value: Any, container: Any) -> bool:
    if isinstance(container, list):
        return any(_equal(value, each) for each in container)
    return value in container  # substring or key; for anything else a TypeError, which the caller handles


_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": _equal,
    "ne": lambda one, two: not _equal(one, two),
    "lt": lambda one, two: one < two,
    "lteq": lambda one, two: one <= two,
    "gt": lambda one, two: one > two,
    "gteq": lambda one, two: one >= two,
    "in": _contains,
    "notin": lambda one, two: not _contains(one, two),
}

_ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": lambda one, two: one + two,
    "-": lambda one, two: one - two,
    "*": lambda one, two: one * two,
    "/": lambda one, two: one / two,
    "//": lambda one, two: one // two,
    "%": lambda one, two: one % two,
}


def _split_chain(node: nodes.Node) -> tuple[nodes.Node, tuple[Step, ...]]:
    """Split a chain of dots and brackets into its base and its steps."""
    steps: list[Step] = []
    while True:
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif isinstance(node, nodes.Getitem):
            steps.append(_step(node.arg))
        else:
            break
        if len(steps) > paths.DEEPEST:
            raise TemplateWrong(f"a path of more than {paths.DEEPEST} steps", "write a shorter one")
        node = node.node
    return node, tuple(reversed(steps))


def _step(argument: nodes.Node) -> Step:
    if isinstance(argument, nodes.Const):
        if isinstance(argument.value, str):
            return argument.value
        if isinstance(argument.value, int) and not isinstance(argument.value, bool) and argument.value >= 0:
            return At(argument.value)
    raise TemplateWrong("between [ and ] stands a key in quotes or the place of an element", 'write data["Odd key"]')


def _as_any(step: Step) -> Step:
    """Return the step in the form that the scope takes: all elements of a list have the same type."""
    return paths.ANY if isinstance(step, At) else step


def target_of(node: nodes.Filter) -> nodes.Node:
    """Return the expression that a filter is applied to. Raises TemplateWrong."""
    if node.node is None:
        raise TemplateWrong("a filter without a value", "write {{ data.email | lower }}")
    return node.node


def _check_arguments(name: str, arguments: Sequence[ExpressionNode], named: Mapping[str, ExpressionNode]) -> None:
    """Check the arguments of a filter at compile time, as far as they are literals. Raises TemplateWrong."""
    try:
        filters.signature(name).bind(*arguments, **named)
    except TypeError:
        raise TemplateWrong(f"{name} does not take these arguments", f"write {filters.usage(name)}") from None
    check = filters.CHECKS.get(name)
    if check is None or any(part.literal is ABSENT for part in (*arguments, *named.values())):
        return
    try:
        check(*(part.literal for part in arguments), **{key: part.literal for key, part in named.items()})
    except FilterFailed as exc:
        raise TemplateWrong(f"{name} {exc}", f"write {filters.usage(name)}") from None


def _compile_filter(
    name: str, target: ExpressionNode, arguments: Sequence[ExpressionNode], named: Mapping[str, ExpressionNode]
) -> ExpressionNode:
    work, label = filters.FILTERS[name], target.label or name
    literals = all(part.literal is not ABSENT for part in (*arguments, *named.values()))
    fixed = tuple(part.literal for part in arguments)
    fixed_named = {key: part.literal for key, part in named.items()}
    runs = [part.strict for part in arguments]
    runs_named = {key: part.strict for key, part in named.items()}

    def apply(value: Any, facts: Facts, *, leniently: bool = False) -> Any:
        try:
            if value.__class__ is not str or len(value) > limits.WORTH_COUNTING:
                limits.spend_on(value)
            if literals:
                made = work(value, *fixed, **fixed_named)
            else:
                given = [run(facts) for run in runs]
                for each in given:
                    limits.spend_on(each)
                made = work(value, *given, **{key: run(facts) for key, run in runs_named.items()})
        except FilterFailed as exc:
            if leniently and isinstance(exc, UnreadableValue):
                return None if filters.is_blank(value) else ABSENT
            raise ValueFailed(label, f"{name}: {exc}") from None
        if made.__class__ is str and len(made) > filters.LONGEST:
            limits.raise_too_long()
        return made

    strict_target, lenient_target = target.strict, target.lenient

    def strict(facts: Facts) -> Any:
        value = strict_target(facts)
        if value is None:
            raise ValueFailed(label, f"null, which {name} cannot take; add | default(…) or | omit")
        return apply(value, facts)

    def lenient(facts: Facts) -> Any:
        value = lenient_target(facts)
        return value if value is ABSENT or value is None else apply(value, facts, leniently=True)

    return ExpressionNode(strict, lenient, label)
