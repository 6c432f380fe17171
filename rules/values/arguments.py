"""Compiles the arguments of an action: literals, and templates that are rendered for each event.

Comes in: the YAML under an action, and the scope of fields it may read. Goes out: a Value or CompiledArguments, which
render plain JSON values from facts. Never puts a value into an error, and reads no secret, file or clock.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rules.errors import ValueFailed
from rules.matching.field_types import OPEN, FieldScope, FieldType
from rules.matching.path import Facts
from rules.source import look_alikes
from rules.source.finding import Finding, looks_typed
from rules.values import template as templates
from rules.values.expression import TemplateWrong
from rules.values.template import OMIT

__all__ = ["COMPUTED", "OMIT", "CompiledArguments", "Value", "compile_arguments", "compile_value"]

#: Bounds on the values under one action, far above what rules need.
DEEPEST: Final = 10
MOST_NODES: Final = 2_000


class Computed:
    """The `literal` of a value that depends on the event."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "computed"


COMPUTED: Final = Computed()

#: Template syntax of other languages, for a warning: `${…}`, and `{data.email}`.
_OTHER_BRACES: Final = re.compile(r"(\$\{|(?<!\{)\{(?=\s*data\.))\s*(data\.[\w.]+)?")

#: A path without its braces. Beside values, a book writes paths so.
_BARE_PATH: Final = re.compile(r"(data(?:\.[A-Za-z_]\w*(?:\[\d+\])?)+)(?:\s*\|.*)?\Z")

#: The filter, without the country that it may be given.
_PHONE: Final = re.compile(r"\|\s*phone\b(?!\s*\(\s*\S*[^\s)])")

_Run = Callable[[Facts], Any]


@dataclass(frozen=True)
class Value:
    """One compiled value."""

    #: Renders it. Raises ValueFailed; may return OMIT.
    run: _Run
    #: The fields it reads.
    paths: frozenset[str] = frozenset()
    #: The value itself if it does not depend on the event, else COMPUTED.
    literal: Any = COMPUTED
    #: True: it may evaluate to OMIT, which leaves the argument out.
    may_omit: bool = False
    #: The type of the result, as far as it is known at compile time.
    kind: FieldType = OPEN

    def render(self, facts: Facts) -> Any:
        """Return the value for an event. Raises ValueFailed."""
        try:
            return self.run(facts)
        except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError) as exc:
            raise _wrap_bug(exc) from None


class CompiledArguments:
    """The compiled arguments of one action."""

    __slots__ = ("_runs", "paths", "values")

    def __init__(self, values: Mapping[str, Value]) -> None:
        #: By name.
        self.values = dict(values)
        #: The fields they read.
        self.paths = frozenset().union(*(value.paths for value in values.values()))
        self._runs = tuple((name, value.run) for name, value in values.items())

    def render(self, facts: Facts) -> dict[str, Any]:
        """Return the arguments for an event, without omitted ones. Raises ValueFailed."""
        made: dict[str, Any] = {}
        try:
            for name, run in self._runs:
                value = run(facts)
                if value is not OMIT:
                    made[name] = value
        except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError) as exc:
            raise _wrap_bug(exc) from None
        return made


def _wrap_bug(exc: Exception) -> ValueFailed:
    # Compiled functions raise ValueFailed themselves. This is for a bug in one: the event fails, the worker goes on.
    return ValueFailed("", f"cannot be computed ({exc.__class__.__name__})")


def compile_value(node: Any, scope: FieldScope, problems: list[Finding]) -> Value:
    """Compile one value. Findings are added to `problems`."""
    return _ArgumentCompiler(scope, problems).value(node, (), 0)


def compile_arguments(node: Any, scope: FieldScope, problems: list[Finding]) -> CompiledArguments:
    """Compile the arguments of an action. Findings are added to `problems`."""
    if not isinstance(node, Mapping):
        problems.append(Finding((), "arguments are names with values", "write email: …", "bad_arguments"))
        return CompiledArguments({})
    compiling = _ArgumentCompiler(scope, problems)
    return CompiledArguments({str(name): compiling.member(name, each, (), 0) for name, each in node.items()})


class _ArgumentCompiler:
    def __init__(self, scope: FieldScope, problems: list[Finding]) -> None:
        self.scope = scope
        self.problems = problems
        self.count = 0

    def value(self, node: Any, at: tuple[str | int, ...], depth: int) -> Value:
        self.count += 1
        if self.count > MOST_NODES or depth > DEEPEST:
            if self.count <= MOST_NODES + 1:
                self.wrong(at, "too many values in one action", "", "too_large")
                self.count = MOST_NODES + 1
            return _literal(None)
        if isinstance(node, str):
            return self.text(node, at)
        if isinstance(node, Mapping):
            return _mapping({str(key): self.member(key, each, at, depth) for key, each in node.items()})
        if isinstance(node, list):
            return _list([self.value(each, (*at, index), depth + 1) for index, each in enumerate(node)])
        return _literal(node)

    def member(self, key: Any, node: Any, at: tuple[str | int, ...], depth: int) -> Value:
        if not isinstance(key, str):
            self.wrong((*at, key), f"the name {key} is not text", f'write "{key}"')
        elif templates.is_template(key):
            self.wrong((*at, key), "a name cannot be a template", "write the name itself")
        return self.value(node, (*at, key), depth + 1)

    def wrong(self, at: tuple[str | int, ...], text: str, mend: str, code: str = "bad_template") -> None:
        self.problems.append(Finding(at, text, mend, code))

    def text(self, text: str, at: tuple[str | int, ...]) -> Value:
        if found := _OTHER_BRACES.search(text):
            sign, path = found[1], found[2]
            mend = f'write "{{{{ {path} }}}}"' if path else "secrets belong under sources and destinations"
            self.problems.append(Finding(at, f"{sign}…}} stays as it is here", mend, "secret", "warning"))
        if not templates.is_template(text):
            meant = look_alikes.typed_mend(text)
            if meant in ("true", "false", "null"):
                self.problems.append(looks_typed(at, text, meant, "sent as it stands"))
            if (bare := _BARE_PATH.match(text.strip())) and self.scope.check(bare[1]) is None:
                mend = f'write "{{{{ {bare[0]} }}}}"'
                self.problems.append(Finding(at, f"{bare[1]} is sent as it stands", mend, "no_braces", "warning"))
            return _literal(text)
        try:
            made = templates.compile_template(text, self.scope)
        except TemplateWrong as exc:
            self.wrong(at, exc.text, exc.mend, exc.code)
            return Value(_raise_failed)
        if any(path == "raw" or path.startswith(("raw.", "raw[")) for path in made.paths):
            self.problems.append(
                Finding(at, "raw is not checked: it has no model", "use data where it can", "raw", "warning")
            )
        if None in self.scope.countries.values() and _PHONE.search(text):
            self.problems.append(
                Finding(
                    at,
                    "nobody says where a number without + belongs, so this fails for it",
                    "write country: DE in the book or at its source, or | phone('DE')",
                    "no_country",
                    "warning",
                )
            )
        return Value(made.run, made.paths, may_omit=made.may_omit, kind=made.kind)


def _raise_failed(facts: Facts) -> Any:
    raise ValueFailed("", "this value did not compile")


def _literal(literal: Any) -> Value:
    return Value(lambda facts: literal, literal=literal)


def _mapping(values: Mapping[str, Value]) -> Value:
    runs = tuple((name, value.run) for name, value in values.items())

    # A new dict for each event, also for literals, so that deliveries never share mutable arguments.
    def run(facts: Facts) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, each in runs:
            value = each(facts)
            if value is not OMIT:
                made[name] = value
        return made

    literal: Any = COMPUTED
    if all(value.literal is not COMPUTED for value in values.values()):
        literal = {name: value.literal for name, value in values.items()}
    return Value(run, _paths(list(values.values())), literal, kind=FieldType(frozenset({"object"}), values=OPEN))


def _list(values: Sequence[Value]) -> Value:
    runs = tuple(value.run for value in values)

    def run(facts: Facts) -> list[Any]:
        return [value for each in runs if (value := each(facts)) is not OMIT]

    literal: Any = COMPUTED
    if all(value.literal is not COMPUTED for value in values):
        literal = [value.literal for value in values]
    return Value(run, _paths(values), literal, kind=FieldType(frozenset({"list"}), element=OPEN))


def _paths(values: Sequence[Value]) -> frozenset[str]:
    return frozenset().union(*(value.paths for value in values))
