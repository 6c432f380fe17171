"""The `{{ … }}` in a value, from Jinja2's grammar to plain Python functions.

Comes in: the text of a template and what it may read. Goes out: a function from facts to a value. Jinja2 only reads the
grammar: of its tree we take the nodes we know and make a function of each, so there is no attribute, no method, no
call, no import and no power to misuse. Every text is bounded, and so is every loop.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rules import filters
from rules import path as paths
from rules.errors import ValueFailed
from rules.filters import FilterFailed
from rules.path import ABSENT, At, Facts, Path, Step
from rules.problem import did_you_mean
from rules.scope import OPEN, FieldScope, FieldType

#: What finds or makes a value. Strict ones raise ValueFailed where there is none, lenient ones return ABSENT.
Run = Callable[[Facts], Any]

#: Longer templates are programs, and programs do not belong into a book.
LONGEST_TEMPLATE: Final = 20_000  # characters
DEEPEST: Final = 40
#: Rounds of all loops of one value together.
MOST_ROUNDS: Final = 10_000


class Omit:
    """The value of an argument that is to be left out."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "omitted"


OMIT: Final = Omit()


class TemplateWrong(Exception):
    """A template cannot be compiled."""

    def __init__(self, text: str, mend: str = "", code: str = "bad_template") -> None:
        super().__init__(text)
        self.text = text
        self.mend = mend
        self.code = code


@dataclass(frozen=True)
class Template:
    """A compiled template."""

    run: Run
    #: The fields it reads.
    paths: frozenset[str]
    #: True: it may leave the argument out.
    may_omit: bool = False
    #: What it becomes, as far as that is known.
    kind: FieldType = OPEN


def is_template(text: str) -> bool:
    """Say whether a text has anything to compute."""
    return "{" in text and ("{{" in text or "{%" in text or "{#" in text)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(keep_trailing_newline=True)
    environment.globals.clear()
    return environment


@lru_cache(maxsize=4096)
def _parse(text: str) -> nodes.Template:
    """Return Jinja's tree of a template; many rules write the same ones."""
    return _environment().parse(text)


def compile_template(text: str, scope: FieldScope) -> Template:
    """Return the function of a template. Raises TemplateWrong."""
    if len(text) > LONGEST_TEMPLATE:
        raise TemplateWrong(f"a template of {len(text)} characters", f"write at most {LONGEST_TEMPLATE}")
    try:
        tree = _parse(text)
        return _Compiling(scope).template(tree, text)
    except TemplateError as exc:
        raise TemplateWrong(f"this is no template: {exc.message}", "write {{ data.field }}") from None
    except RecursionError:
        raise TemplateWrong("a template nested too deeply", "say it in simpler parts") from None
    except ValueError:  # a number with thousands of digits
        raise TemplateWrong("this is no template: a literal nobody can read", "write {{ data.field }}") from None


# While it runs. ------------------------------------------------------------------------------------------------------


class Layer(dict[str, Any]):
    """The facts, with the variables of a loop or a `set` before them."""

    __slots__ = ("parent", "rounds")

    def __init__(self, parent: Facts, rounds: list[int]) -> None:
        super().__init__()
        self.parent = parent
        self.rounds = rounds

    def __missing__(self, name: str) -> Any:
        return self.parent[name]


class Writer:
    """Gathers the parts of a text, up to the bound."""

    __slots__ = ("length", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0

    def write(self, text: str) -> None:
        """Add a part."""
        self.length += len(text)
        if self.length > filters.LONGEST:
            _too_long()
        self.parts.append(text)


def _too_long() -> NoReturn:
    raise ValueFailed("", f"becomes longer than {filters.LONGEST} characters")


def sound(value: Any, label: str) -> Any:
    """Return a value that an argument may be. Raises ValueFailed for what is too large or cannot be sent as JSON."""
    kind = value.__class__
    if kind is str:
        if len(value) > filters.LONGEST:
            raise ValueFailed(label, f"longer than {filters.LONGEST} characters")
        if not value.isascii() and not _is_text(value):
            raise ValueFailed(label, "holds half a character, which is no text")
    elif kind is float:
        if not math.isfinite(value):
            raise ValueFailed(label, "is no number that JSON knows")
    elif kind is list or kind is dict:
        _weigh(value, label)
    return value


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


#: Writes JSON in C: the quickest way through a list, and it sees what JSON cannot carry.
_written: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _weigh(value: Any, label: str) -> None:
    """Look at everything in a list or group."""
    try:
        text = _written(value)
        if not text.isascii():
            text.encode()
    except (ValueError, TypeError, RecursionError):
        raise ValueFailed(label, "cannot be written as JSON") from None
    if len(text) > filters.LONGEST:
        raise ValueFailed(label, f"longer than {filters.LONGEST} characters")


def _truthy(value: Any) -> bool:
    return bool(value)


def _equal(one: Any, two: Any) -> bool:
    # True == 1 in Python; here true is no number.
    return bool(one == two) and isinstance(one, bool) is isinstance(two, bool)


# Reading fields. -----------------------------------------------------------------------------------------------------


def _strict(path: Path, label: str) -> Run:
    """Return what reads a path, and raises where it is absent."""
    keys = path.steps
    if all(isinstance(key, str) for key in keys):
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


# Compiling. ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One compiled node."""

    strict: Run
    lenient: Run
    #: What an error calls it: the first path in it, else its filter.
    label: str
    kind: FieldType = OPEN
    #: The path of a node that is nothing but a path, as the scope knows it.
    path: Path | None = None
    #: The literal of a node that is one.
    literal: Any = ABSENT


def _constant(value: Any) -> Part:
    def run(facts: Facts) -> Any:
        return value

    return Part(run, run, "", literal=value)


@dataclass(frozen=True)
class Variable:
    """A name that the template itself gave: of a loop or a `set`."""

    #: The path of what it stands for, as the scope knows it; None: not known.
    path: Path | None = None


class _Compiling:
    """Makes the functions of one template."""

    def __init__(self, scope: FieldScope) -> None:
        self.scope = scope
        self.variables: dict[str, Variable] = {}
        self.read: set[str] = set()

    def template(self, tree: nodes.Template, text: str) -> Template:
        only = _only_expression(tree)
        if only is not None:
            return self.whole(only)
        body = self.body(tree.body)

        def run(facts: Facts) -> str:
            writer = Writer()
            body(Layer(facts, [0]), writer)
            return str(sound("".join(writer.parts), ""))

        simple = self.text(tree.body)
        return Template(simple or run, frozenset(self.read), kind=_TEXT)

    # A value that is exactly one {{ … }} keeps its type.

    def whole(self, node: nodes.Expr) -> Template:
        if isinstance(node, nodes.Filter) and node.name == "omit":
            return self.omitted(node)
        part = self.expression(node, 0)
        run = part.strict

        return Template(lambda facts: sound(run(facts), part.label), frozenset(self.read), kind=part.kind)

    def omitted(self, node: nodes.Filter) -> Template:
        if node.args or node.kwargs:
            raise TemplateWrong("omit takes no argument", "write | omit")
        part = self.expression(_target(node), 0)
        run = part.lenient

        def omit(facts: Facts) -> Any:
            value = run(facts)
            if value is ABSENT or value is None:
                return OMIT
            return sound(value, part.label)

        kind = part.kind if part.kind.is_open else replace(part.kind, kinds=part.kind.kinds - {"null"})
        return Template(omit, frozenset(self.read), may_omit=True, kind=kind)

    # Text with {{ … }} in it.

    def text(self, body: Sequence[nodes.Node]) -> Run | None:
        """Return the function of a text without statements, which needs no variables; None where there are any."""
        if not all(isinstance(each, nodes.Output) for each in body):
            return None
        runs = [self.piece(each) for output in body if isinstance(output, nodes.Output) for each in output.nodes]

        def run(facts: Facts) -> str:
            return str(sound("".join([each(facts) for each in runs]), ""))

        return run

    def piece(self, node: nodes.Node) -> Run:
        """Return the function of one part of a text; it returns text."""
        if isinstance(node, nodes.TemplateData):
            data = node.data
            return lambda facts: data
        part = self.expression(node, 0)
        run, label = part.strict, part.label

        def write(facts: Facts) -> str:
            value = run(facts)
            if value.__class__ is str:
                return value
            try:
                return filters.text_of(value)
            except FilterFailed as exc:
                raise ValueFailed(label, str(exc)) from None

        return write

    def body(self, body: Sequence[nodes.Node]) -> Callable[[Layer, Writer], None]:
        parts = tuple(self.statement(each) for each in body)

        def run(facts: Layer, writer: Writer) -> None:
            for part in parts:
                part(facts, writer)

        return run

    def statement(self, node: nodes.Node) -> Callable[[Layer, Writer], None]:
        match node:
            case nodes.Output():
                pieces = [self.piece(each) for each in node.nodes]

                def output(facts: Layer, writer: Writer) -> None:
                    for piece in pieces:
                        writer.write(piece(facts))

                return output
            case nodes.If():
                return self.branches(node)
            case nodes.For():
                return self.loop(node)
            case nodes.Assign():
                return self.assignment(node)
        word = node.__class__.__name__.lower()
        raise TemplateWrong(f"{{% {word} %}} is not available", "there is {{ }}, {% if %}, {% for %}, {% set %}")

    def branches(self, node: nodes.If) -> Callable[[Layer, Writer], None]:
        ways = [(self.expression(each.test, 0).strict, self.body(each.body)) for each in (node, *node.elif_)]
        otherwise = self.body(node.else_)

        def run(facts: Layer, writer: Writer) -> None:
            for test, body in ways:
                if _truthy(test(facts)):
                    body(facts, writer)
                    return
            otherwise(facts, writer)

        return run

    def new_name(self, target: nodes.Node) -> str:
        if not isinstance(target, nodes.Name):
            raise TemplateWrong("one name at a time", "write {% for line in data.lines %}")
        if target.name in self.scope.roots or target.name == "loop":
            raise TemplateWrong(f'"{target.name}" is taken', "choose another name")
        return target.name

    def loop(self, node: nodes.For) -> Callable[[Layer, Writer], None]:
        if node.recursive or node.test is not None:
            raise TemplateWrong("a loop goes over a list, once", "use {% if %} inside")
        name = self.new_name(node.target)
        elements = self.expression(node.iter, 0)
        before = dict(self.variables)
        inside = Path(elements.path.root, (*elements.path.steps, paths.ANY)) if elements.path else None
        if inside is not None:
            self.check(inside)
        self.variables[name] = Variable(inside)
        self.variables["loop"] = Variable()
        body = self.body(node.body)
        self.variables = before
        otherwise = self.body(node.else_)
        run, label = elements.strict, elements.label

        def loop(facts: Layer, writer: Writer) -> None:
            found = run(facts)
            if not isinstance(found, list):
                raise ValueFailed(label, "null" if found is None else "is not a list")
            for place, element in enumerate(found):
                facts.rounds[0] += 1
                if facts.rounds[0] > MOST_ROUNDS:
                    raise ValueFailed(label, f"more than {MOST_ROUNDS} rounds of loops")
                layer = Layer(facts, facts.rounds)
                layer[name] = element
                layer["loop"] = {
                    "index": place + 1,
                    "first": place == 0,
                    "last": place == len(found) - 1,
                    "length": len(found),
                }
                body(layer, writer)
            if not found:
                otherwise(facts, writer)

        return loop

    def assignment(self, node: nodes.Assign) -> Callable[[Layer, Writer], None]:
        name = self.new_name(node.target)
        run = self.expression(node.node, 0).strict
        self.variables[name] = Variable()

        def assign(facts: Layer, writer: Writer) -> None:
            facts[name] = run(facts)

        return assign

    # Expressions.

    def expression(self, node: nodes.Node, depth: int) -> Part:
        if depth > DEEPEST:
            raise TemplateWrong("an expression nested too deeply", "say it in simpler parts")
        match node:
            case nodes.Const():
                return self.constant(node.value)
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                return self.field(node, depth)
            case nodes.Filter():
                return self.filter(node, depth)
            case nodes.Test():
                return self.test(node, depth)
            case nodes.CondExpr():
                return self.condition(node, depth)
            case nodes.And() | nodes.Or():
                return self.logic(node, depth)
            case nodes.Not():
                inner = self.expression(node.node, depth + 1)
                run = inner.strict
                return _computed(lambda facts: not _truthy(run(facts)), inner.label, _BOOLEAN)
            case nodes.Compare():
                return self.comparison(node, depth)
            case nodes.Concat():
                return self.concatenation(node, depth)
            case nodes.BinExpr() | nodes.Neg() | nodes.Pos():
                return self.arithmetic(node, depth)
            case nodes.List() | nodes.Tuple():
                return self.list(node.items, depth)
            case nodes.Dict():
                return self.mapping(node, depth)
            case nodes.Call():
                raise TemplateWrong("nothing can be called", "use a filter: {{ data.email | lower }}")
        raise TemplateWrong(f"{node.__class__.__name__.lower()} is not available", "use fields and filters")

    def constant(self, value: Any) -> Part:
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                filters.bounded(value)
            except FilterFailed as exc:
                raise TemplateWrong(f"a number that {exc}", "write a smaller one") from None
        return _constant(value)

    # Fields: a dot is a key.

    def field(self, node: nodes.Node, depth: int) -> Part:
        base, steps = _chain(node)
        if not isinstance(base, nodes.Name):
            return self.field_of(self.expression(base, depth + 1), steps)
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

            return Part(whole, lenient, label, kind, known)
        return Part(_strict(path, label), paths.reader_of(path), label, kind, known)

    def field_of(self, part: Part, steps: tuple[Step, ...]) -> Part:
        """Read fields of what an expression made: `(data.fields | element('id', 1)).value`."""
        follow, strict, lenient = paths.follower(steps), part.strict, part.lenient
        label = part.label

        def read(facts: Facts) -> Any:
            value = follow(strict(facts))
            if value is ABSENT:
                raise ValueFailed(label, f"absent at {Path('_', steps).text[1:].lstrip('.')} of it")
            return value

        return Part(read, lambda facts: follow(lenient(facts)), label)

    def check(self, path: Path) -> FieldType:
        """Ask the scope for a path and note that it is read. Raises TemplateWrong."""
        wrong = self.scope.check(path)
        if wrong is not None:
            raise TemplateWrong(*wrong, code="unknown_field")
        self.read.add(path.text)
        return self.scope.field_type(path)

    # Filters.

    def filter(self, node: nodes.Filter, depth: int) -> Part:
        name = node.name
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise TemplateWrong(f"{name}: * and ** are not available", "name the arguments")
        if name == "omit":
            raise TemplateWrong("omit stands last, in a value that is nothing but {{ … }}", "use | default('') inside")
        if name in ("default", "d"):
            return self.default(node, depth)
        if name not in filters.FILTERS:
            mend = did_you_mean(name, [*filters.FILTERS, "default", "omit"])
            raise TemplateWrong(f'there is no filter "{name}"', mend, "unknown_filter")
        target = self.expression(_target(node), depth + 1)
        arguments, named = self.arguments(node, depth)
        _check_arguments(name, arguments, named)
        return _filtered(name, target, arguments, named)

    def arguments(self, node: nodes.Filter, depth: int) -> tuple[list[Part], dict[str, Part]]:
        """Return the arguments of a filter, in order and by name."""
        # Jinja's stubs call them expressions; they are pairs of a name and an expression.
        pairs: Sequence[Any] = node.kwargs
        named = {str(each.key): self.expression(each.value, depth + 1) for each in pairs}
        return [self.expression(each, depth + 1) for each in node.args], named

    def default(self, node: nodes.Filter, depth: int) -> Part:
        arguments, named = self.arguments(node, depth)
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
        target = self.expression(_target(node), depth + 1)
        run = target.lenient

        def choose(otherwise: Run) -> Run:
            def default(facts: Facts) -> Any:
                value = run(facts)
                if value is ABSENT or value is None or (also_empty and not value):
                    return otherwise(facts)
                return value

            return default

        return Part(choose(instead.strict), choose(instead.lenient), target.label)

    def test(self, node: nodes.Test, depth: int) -> Part:
        target = self.expression(node.node, depth + 1)
        if node.args or node.kwargs or node.name not in _TESTS:
            raise TemplateWrong(f'there is no test "{node.name}"', did_you_mean(node.name, _TESTS))
        judge = _TESTS[node.name]
        run = target.lenient if node.name in ("defined", "undefined") else target.strict
        return _computed(lambda facts: judge(run(facts)), target.label, _BOOLEAN)

    # Operators.

    def condition(self, node: nodes.CondExpr, depth: int) -> Part:
        asked = self.expression(node.test, depth + 1)
        yes = self.expression(node.expr1, depth + 1)
        no = self.expression(node.expr2, depth + 1) if node.expr2 is not None else None
        test = asked.strict

        def choose(one: Run, other: Run) -> Run:
            return lambda facts: one(facts) if _truthy(test(facts)) else other(facts)

        def nothing(facts: Facts) -> Any:
            raise ValueFailed(asked.label, "the if has no else")

        return Part(
            choose(yes.strict, no.strict if no else nothing),
            choose(yes.lenient, no.lenient if no else lambda facts: ABSENT),
            yes.label or asked.label,
        )

    def logic(self, node: nodes.And | nodes.Or, depth: int) -> Part:
        left, right = self.expression(node.left, depth + 1), self.expression(node.right, depth + 1)
        one, two = left.strict, right.strict
        if isinstance(node, nodes.And):
            return _computed(lambda facts: one(facts) and two(facts), left.label)
        return _computed(lambda facts: one(facts) or two(facts), left.label)

    def comparison(self, node: nodes.Compare, depth: int) -> Part:
        first = self.expression(node.expr, depth + 1)
        others = [(each.op, self.expression(each.expr, depth + 1)) for each in node.ops]
        steps = tuple((_COMPARISONS[op], part.strict) for op, part in others)
        run, label = first.strict, first.label or others[0][1].label

        def compare(facts: Facts) -> bool:
            value = run(facts)
            for judge, other in steps:
                following = other(facts)
                try:
                    if not judge(value, following):
                        return False
                except TypeError:
                    raise ValueFailed(label, "cannot be compared: the two are of different kinds") from None
                value = following
            return True

        return _computed(compare, label, _BOOLEAN)

    def concatenation(self, node: nodes.Concat, depth: int) -> Part:
        parts = [self.expression(each, depth + 1) for each in node.nodes]
        pieces = [(part.strict, part.label) for part in parts]

        def join(facts: Facts) -> str:
            writer = Writer()
            for run, label in pieces:
                try:
                    writer.write(filters.text_of(run(facts)))
                except FilterFailed as exc:
                    raise ValueFailed(label, str(exc)) from None
            return "".join(writer.parts)

        return _computed(join, next((part.label for part in parts if part.label), ""), _TEXT)

    def arithmetic(self, node: nodes.Node, depth: int) -> Part:
        if isinstance(node, nodes.Neg | nodes.Pos):
            left, right = _constant(0), self.expression(node.node, depth + 1)
            sign = node.operator
        elif isinstance(node, nodes.Add | nodes.Sub | nodes.Mul | nodes.Div | nodes.FloorDiv | nodes.Mod):
            left, right = self.expression(node.left, depth + 1), self.expression(node.right, depth + 1)
            sign = node.operator
        else:
            raise TemplateWrong("this arithmetic is not available", "there is + - * / // %")
        work, one, two = _ARITHMETIC[sign], left.strict, right.strict
        label = left.label or right.label

        def compute(facts: Facts) -> Any:
            first, second = one(facts), two(facts)
            if sign == "+" and first.__class__ is str and second.__class__ is str:
                if len(first) + len(second) > filters.LONGEST:
                    _too_long()
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

    def list(self, items: Sequence[nodes.Node], depth: int) -> Part:
        parts = [self.expression(each, depth + 1) for each in items]
        runs = [part.strict for part in parts]
        literal = ABSENT if any(part.literal is ABSENT for part in parts) else [part.literal for part in parts]
        label = next((part.label for part in parts if part.label), "")
        return replace(_computed(lambda facts: [run(facts) for run in runs], label), literal=literal)

    def mapping(self, node: nodes.Dict, depth: int) -> Part:
        parts: dict[str, Part] = {}
        for pair in node.items:
            if not isinstance(pair.key, nodes.Const) or not isinstance(pair.key.value, str):
                raise TemplateWrong("the keys of { } are texts", "write {'Frau': 'female'}")
            parts[pair.key.value] = self.expression(pair.value, depth + 1)
        runs = {key: part.strict for key, part in parts.items()}
        literal: Any = ABSENT
        if not any(part.literal is ABSENT for part in parts.values()):
            literal = {key: part.literal for key, part in parts.items()}
        label = next((part.label for part in parts.values() if part.label), "")
        return replace(_computed(lambda facts: {key: run(facts) for key, run in runs.items()}, label), literal=literal)


def _computed(run: Run, label: str, kind: FieldType = OPEN) -> Part:
    return Part(run, run, label, kind)


_TEXT: Final = FieldType(frozenset({"text"}))
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
    return value in container  # a part of a text, or a key; TypeError for all else


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


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression of a template that is exactly one `{{ … }}`, but for line ends after it."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    first, *others = tree.body[0].nodes
    if isinstance(first, nodes.TemplateData):
        return None
    if any(not isinstance(each, nodes.TemplateData) or each.data.strip("\n") for each in others):
        return None
    return first


def _chain(node: nodes.Node) -> tuple[nodes.Node, tuple[Step, ...]]:
    """Return what a chain of dots and brackets begins with, and its steps."""
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
    """Return the step as the scope knows it: every element of a list holds the same."""
    return paths.ANY if isinstance(step, At) else step


def _target(node: nodes.Filter) -> nodes.Node:
    if node.node is None:
        raise TemplateWrong("a filter without a value", "write {{ data.email | lower }}")
    return node.node


def _check_arguments(name: str, arguments: Sequence[Part], named: Mapping[str, Part]) -> None:
    """Look at the arguments of a filter as far as they are literals. Raises TemplateWrong."""
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


def _filtered(name: str, target: Part, arguments: Sequence[Part], named: Mapping[str, Part]) -> Part:
    work, label = filters.FILTERS[name], target.label or name
    literals = all(part.literal is not ABSENT for part in (*arguments, *named.values()))
    fixed = tuple(part.literal for part in arguments)
    fixed_named = {key: part.literal for key, part in named.items()}
    runs = [part.strict for part in arguments]
    runs_named = {key: part.strict for key, part in named.items()}

    def apply(value: Any, facts: Facts) -> Any:
        try:
            if literals:
                made = work(value, *fixed, **fixed_named)
            else:
                given = [run(facts) for run in runs]
                made = work(value, *given, **{key: run(facts) for key, run in runs_named.items()})
        except FilterFailed as exc:
            raise ValueFailed(label, f"{name}: {exc}") from None
        if made.__class__ is str and len(made) > filters.LONGEST:
            _too_long()
        return made

    strict_target, lenient_target = target.strict, target.lenient

    def strict(facts: Facts) -> Any:
        value = strict_target(facts)
        if value is None:
            raise ValueFailed(label, f"null, which {name} cannot take; add | default(…) or | omit")
        return apply(value, facts)

    def lenient(facts: Facts) -> Any:
        value = lenient_target(facts)
        return value if value is ABSENT or value is None else apply(value, facts)

    return Part(strict, lenient, label)
