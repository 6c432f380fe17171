"""Compiles a template: text with `{{ … }}`, `{% if %}`, `{% for %}` and `{% set %}`.

Comes in: the text of a template and the scope of fields it may read. Goes out: a function from facts to a value. Jinja2
only parses: the known nodes of its syntax tree are compiled to Python functions, all others are refused. Never gives a
template access to attributes, methods, calls or imports, and never an unbounded text or loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from jinja2 import TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rules.errors import ValueFailed
from rules.matching import path as paths
from rules.matching.field_types import OPEN, FieldScope, FieldType
from rules.matching.path import ABSENT, Facts, Path
from rules.source.look_alikes import CURLY
from rules.source.problem import name_sign
from rules.values import filters, limits
from rules.values.expression import LAST, TEXT, Expressions, Run, TemplateWrong, Variable, is_true, target_of
from rules.values.filters import FilterFailed
from rules.values.limits import Writer, check_value

#: Longer templates are refused.
LONGEST_TEMPLATE: Final = 20_000  # characters
#: Iterations of all loops of one value together.
MOST_ROUNDS: Final = 10_000


class Omit:
    """The result of a template whose argument is to be left out."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "omitted"


OMIT: Final = Omit()


@dataclass(frozen=True)
class Template:
    """A compiled template."""

    run: Run
    #: The fields it reads.
    paths: frozenset[str]
    #: True: it may evaluate to OMIT.
    may_omit: bool = False
    #: The type of the result, as far as it is known.
    kind: FieldType = OPEN


def is_template(text: str) -> bool:
    """Return whether a text contains template syntax."""
    return "{" in text and ("{{" in text or "{%" in text or "{#" in text)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(keep_trailing_newline=True)
    environment.globals.clear()
    return environment


@lru_cache(maxsize=4096)
def _parse(text: str) -> nodes.Template:
    """Return Jinja's syntax tree of a template. Cached: many rules have the same templates."""
    return _environment().parse(text)


def compile_template(text: str, scope: FieldScope) -> Template:
    """Compile a template. Raises TemplateWrong."""
    if len(text) > LONGEST_TEMPLATE:
        raise TemplateWrong(f"a template of {len(text)} characters", f"write at most {LONGEST_TEMPLATE}")
    try:
        tree = _parse(text)
        return _TemplateCompiler(scope).template(tree)
    except TemplateError as exc:
        odd = next((sign for sign in text if sign in CURLY), None)
        mend = f"write straight quotes; {odd} is {name_sign(odd)}" if odd else "write {{ data.field }}"
        raise TemplateWrong(f"this is no template: {exc.message}", mend) from None
    except RecursionError:
        raise TemplateWrong("a template nested too deeply", "say it in simpler parts") from None
    except ValueError:  # a number with thousands of digits
        raise TemplateWrong("this is no template: a literal nobody can read", "write {{ data.field }}") from None


# While it runs. ------------------------------------------------------------------------------------------------------


class Layer(dict[str, Any]):
    """A scope of variables of a loop or a `set`; other names are looked up in the enclosing scope."""

    __slots__ = ("parent", "rounds")

    def __init__(self, parent: Facts, rounds: list[int]) -> None:
        super().__init__()
        self.parent = parent
        self.rounds = rounds

    def __missing__(self, name: str) -> Any:
        return self.parent[name]


# Compiling. ----------------------------------------------------------------------------------------------------------


class _TemplateCompiler:
    """Compiles one template."""

    def __init__(self, scope: FieldScope) -> None:
        self.scope = scope
        self.expressions = Expressions(scope)

    def template(self, tree: nodes.Template) -> Template:
        only = _only_expression(tree)
        if only is not None:
            return self.whole(only)
        run = self.text(tree.body) or self.text_with_statements(tree.body)
        return Template(run, frozenset(self.expressions.read), kind=TEXT)

    # A value that is exactly one {{ … }} keeps its type.

    def whole(self, node: nodes.Expr) -> Template:
        if isinstance(node, nodes.Filter) and node.name in LAST:
            return self.may_be_missing(node)
        part = self.expressions.part(node)
        run = part.strict

        return Template(
            lambda facts: check_value(run(facts), part.label), frozenset(self.expressions.read), kind=part.kind
        )

    def may_be_missing(self, node: nodes.Filter) -> Template:
        """Compile a value that is left out where it is absent, blank or unreadable; `clear` empties what is blank."""
        if node.args or node.kwargs:
            raise TemplateWrong(f"{node.name} takes no argument", f"write | {node.name}")
        blank: Any = "" if node.name == "clear" else OMIT
        part = self.expressions.part(target_of(node))
        run = part.lenient

        def read(facts: Facts) -> Any:
            value = run(facts)
            if value is ABSENT:
                return OMIT
            if value is None or filters.is_blank(value):
                return blank
            return check_value(value, part.label)

        kind = part.kind
        if not kind.is_open:
            kind = replace(kind, kinds=kind.kinds - {"null"} | ({"text"} if node.name == "clear" else set()))
        return Template(read, frozenset(self.expressions.read), may_omit=True, kind=kind)

    # Text with {{ … }} in it.

    def text(self, body: Sequence[nodes.Node]) -> Run | None:
        """Compile a text without statements, which needs no variables; None if it has statements."""
        if not all(isinstance(each, nodes.Output) for each in body):
            return None
        runs = [self.piece(each) for output in body if isinstance(output, nodes.Output) for each in output.nodes]

        def run(facts: Facts) -> str:
            return str(check_value("".join([each(facts) for each in runs]), ""))

        return run

    def text_with_statements(self, body: Sequence[nodes.Node]) -> Run:
        """Compile a text with conditions, loops or assignments."""
        write = self.body(body)

        def run(facts: Facts) -> str:
            writer = Writer()
            write(Layer(facts, [0]), writer)
            return str(check_value("".join(writer.parts), ""))

        return run

    def piece(self, node: nodes.Node) -> Run:
        """Compile one part of a text to a function that returns text."""
        if isinstance(node, nodes.TemplateData):
            data = node.data
            return lambda facts: data
        part = self.expressions.part(node)
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
        ways = [(self.expressions.part(each.test).strict, self.body(each.body)) for each in (node, *node.elif_)]
        otherwise = self.body(node.else_)

        def run(facts: Layer, writer: Writer) -> None:
            for test, body in ways:
                if is_true(test(facts)):
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
        elements = self.expressions.part(node.iter)
        before = dict(self.expressions.variables)
        inside = Path(elements.path.root, (*elements.path.steps, paths.ANY)) if elements.path else None
        if inside is not None:
            self.expressions.check(inside)
        self.expressions.variables[name] = Variable(inside)
        self.expressions.variables["loop"] = Variable()
        body = self.body(node.body)
        self.expressions.variables = before
        otherwise = self.body(node.else_)
        run, label = elements.strict, elements.label

        def loop(facts: Layer, writer: Writer) -> None:
            found = run(facts)
            if not isinstance(found, list):
                raise ValueFailed(label, "null" if found is None else "is not a list")
            for index, element in enumerate(found):
                limits.spend(0)
                facts.rounds[0] += 1
                if facts.rounds[0] > MOST_ROUNDS:
                    raise ValueFailed(label, f"more than {MOST_ROUNDS} rounds of loops")
                layer = Layer(facts, facts.rounds)
                layer[name] = element
                layer["loop"] = {
                    "index": index + 1,
                    "first": index == 0,
                    "last": index == len(found) - 1,
                    "length": len(found),
                }
                body(layer, writer)
            if not found:
                otherwise(facts, writer)

        return loop

    def assignment(self, node: nodes.Assign) -> Callable[[Layer, Writer], None]:
        name = self.new_name(node.target)
        run = self.expressions.part(node.node).strict
        self.expressions.variables[name] = Variable()

        def assign(facts: Layer, writer: Writer) -> None:
            facts[name] = run(facts)

        return assign


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression if the template is exactly one `{{ … }}`, apart from line ends after it; else None."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    first, *others = tree.body[0].nodes
    if isinstance(first, nodes.TemplateData):
        return None
    if any(not isinstance(each, nodes.TemplateData) or each.data.strip("\n") for each in others):
        return None
    return first
