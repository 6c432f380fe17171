"""A value of a book and where it stands, so that a complaint about it needs no more than its text.

Comes in: a document and a path. Goes out: the parts of the value, and problems with file, line and column. Never
goes on silently: what is not of the expected shape is noted.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rules.source.finding import Finding
from rules.source.problem import Problem, Severity, did_you_mean, is_full
from rules.source.yaml_document import Document, Path, Position

Model = TypeVar("Model", bound=BaseModel)

#: What each shape is called in a sentence.
_WORDS = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def shape_of(value: Any) -> str:
    """Return what a value is, as a sentence says it."""
    return _WORDS.get(type(value), "empty")


@dataclass(frozen=True)
class Node:
    """A value somewhere in a file."""

    doc: Document
    path: Path
    value: Any
    problems: list[Problem]

    @property
    def name(self) -> str:
        """The key under which it stands."""
        return str(self.path[-1]) if self.path else ""

    @property
    def where(self) -> Position:
        """Where it stands."""
        return self.doc.where(self.path)

    @property
    def line(self) -> int:
        """The line on which it begins."""
        return self.where.line

    def at(self, step: str | int) -> "Node":
        """Return the place one step further in."""
        return Node(self.doc, (*self.path, step), self.value[step], self.problems)

    def wrong(
        self,
        text: str,
        mend: str = "",
        code: str = "wrong",
        *,
        inner: Path = (),
        key: bool = False,
        severity: Severity = "error",
    ) -> None:
        """Note a problem here, or further in; `key`: at the key, not at its value."""
        if is_full(self.problems):
            return
        where = self.doc.where(self.path + inner, key=key)
        self.problems.append(Problem(where.file, where.line, where.column, text, mend, code, severity))

    def note(self, findings: Iterable[Finding], *, keys: Collection[str] = ()) -> None:
        """Note what the compilers of patterns and values found in this node; `keys`: codes that are about a key."""
        for finding in findings:
            self.wrong(
                finding.text,
                finding.mend,
                finding.code,
                inner=finding.at,
                key=finding.code in keys,
                severity=finding.severity,
            )

    def mapping(self, known: Collection[str] | None = None, what: str = "") -> "dict[str, Node]":
        """Return the parts of a mapping; keys beside `known` are problems. Empty where it is none."""
        if not isinstance(self.value, dict):
            what = what or self.name
            mend = "" if self.value is not None else "write something below it, or take it out"
            self.wrong(f"{what} must be a mapping, not {shape_of(self.value)}", mend, "wrong_shape")
            return {}
        for key in self.value:
            if known is not None and key not in known and not is_full(self.problems):
                self.wrong(f'"{key}" is unknown here', did_you_mean(key, known), "unknown_key", inner=(key,), key=True)
        return {key: self.at(key) for key in self.value if known is None or key in known}

    def items(self, what: str = "") -> "list[Node]":
        """Return the parts of a list. Empty where it is none."""
        if not isinstance(self.value, list):
            self.wrong(
                f"{what or self.name} must be a list, not {shape_of(self.value)}",
                "start each entry with a dash",
                "wrong_shape",
            )
            return []
        return [self.at(number) for number in range(len(self.value))]

    def text(self, what: str = "") -> str | None:
        """Return text; None where it is none."""
        if isinstance(self.value, str) and self.value.strip():
            return self.value
        if isinstance(self.value, str):
            self.wrong(f"{what or self.name} is empty", "write something, or take it out", "wrong_type")
            return None
        numeric = isinstance(self.value, int | float)
        mend = "put it in quotes" if numeric else ""
        self.wrong(f"{what or self.name} must be text, not {shape_of(self.value)}", mend, "wrong_type")
        return None

    def flag(self, what: str = "") -> bool:
        """Return true or false; False where it is neither."""
        if isinstance(self.value, bool):
            return self.value
        self.wrong(*not_a_boolean(self.value, what or self.name))
        return False

    def model(self, kind: type[Model], values: dict[str, Any], also: Sequence[str] = ()) -> Model | None:
        """Return the values as a record; `also` are keys that stand here beside those of the record."""
        known = fields_of(kind)
        unknown = [key for key in values if key not in known and kind.model_config.get("extra") != "allow"]
        for key in unknown:
            if is_full(self.problems):
                break
            mend = did_you_mean(key, [*known, *also])
            self.wrong(f'"{key}" is unknown here', mend, "unknown_key", inner=(key,), key=True)
        values = {key: value for key, value in values.items() if key not in unknown}
        for path in words_for_booleans(kind, values):
            self.wrong(*not_a_boolean(self.doc_value(path), str(path[-1])), inner=path)
        try:
            return kind.model_validate(values)
        except ValidationError as exc:
            for error in exc.errors(include_input=False, include_url=False):
                if error["loc"] or not unknown:  # about the whole only where the whole is known
                    self.wrong(*sentence(dict(error)), inner=self.walk(error["loc"]), key=error["type"] == "missing")
        return None

    def doc_value(self, path: Path) -> Any:
        """Return the value further in."""
        value = self.value
        for step in path:
            value = value[step]
        return value

    def walk(self, loc: Iterable[str | int]) -> Path:
        """Return how far a path leads into the value."""
        value: Any = self.value
        path: list[str | int] = []
        for step in loc:
            inside_list = isinstance(value, list) and isinstance(step, int) and step < len(value)
            if not inside_list and not (isinstance(value, dict) and step in value):
                break
            value = value[step]
            path.append(step)
        return tuple(path)


def fields_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys that a record may be written with."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


#: What YAML 1.1 took for true and false, and pydantic still does. Here they are text.
_TRUE = frozenset({"true", "yes", "on", "y", "t", "1"})
_FALSE = frozenset({"false", "no", "off", "n", "f", "0"})


def words_for_booleans(model: type[BaseModel], values: Mapping[str, Any]) -> list[Path]:
    """Return the places of texts such as `on` and `no` that the model would silently take for true or false."""
    suspects = [path for path, text in _texts(values, ()) if text.lower() in _TRUE | _FALSE]
    if not suspects:
        return []
    try:
        model.model_validate(_replaced(values, (), frozenset(suspects)))
    except ValidationError as exc:
        errors = exc.errors(include_input=False, include_url=False)
        refused = [error["loc"] for error in errors if error["type"] == "bool_parsing"]
        return [path for path in suspects if any(loc[: len(path)] == path for loc in refused)]
    return []


def not_a_boolean(value: Any, name: str) -> tuple[str, str, str]:
    """Return text, mend and code for text where true or false belongs."""
    word = str(value).lower()
    mend = f"write {'true' if word in _TRUE else 'false'}, without quotes" if word in _TRUE | _FALSE else ""
    return f"{name} must be true or false, not {shape_of(value)}", mend, "wrong_type"


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _texts(inner, (*path, at))
    elif isinstance(value, str):
        yield path, value


def _replaced(value: Any, path: Path, suspects: frozenset[Path]) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(inner, (*path, key), suspects) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, (*path, at), suspects) for at, inner in enumerate(value)]
    return "neither" if path in suspects else value


#: What pydantic calls a type -> how a sentence ends.
_MUST_BE = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "date": "a date such as 2026-01-31",
    "datetime": "an instant such as 2026-01-31T12:00:00Z",
}


def sentence(error: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return text, mend and code of what pydantic complains about, without the value."""
    kind, loc, context = error["type"], error["loc"], error.get("ctx", {})
    name = next((str(step) for step in reversed(loc) if isinstance(step, str)), "it")
    if kind == "missing":
        return f"{name} is missing", f"write {name}: here", "missing_key"
    if kind == "extra_forbidden":
        return f'"{name}" is unknown here', "take it out", "unknown_key"
    if kind in ("literal_error", "enum"):
        return f"{name} must be {str(context.get('expected', 'another word')).replace(chr(39), '')}", "", "wrong_type"
    if kind == "string_too_short":
        return f"{name} must have at least {context.get('min_length', 1)} characters", "", "wrong_type"
    head, _, tail = kind.partition("_")
    if head in _MUST_BE and tail in (
        "type",
        "parsing",
        "attributes_type",
        "from_float",
        "sub_type",
        "from_date_parsing",
    ):
        return f"{name} must be {_MUST_BE[head]}", "put it in quotes" if head == "string" else "", "wrong_type"
    words = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    words = words.replace("Input should ", "must ").replace("a valid ", "a ")
    if words.startswith(("must ", "is ", "says ", "needs ", "has ", "takes ", "may ")):
        return f"{name} {words}", "", "wrong_type"
    return (f"{name}: {words}" if loc else words), "", "wrong_type"
