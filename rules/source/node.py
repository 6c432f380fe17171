"""A value of a book together with its position in the file, so that problems can be reported at the right line.

Comes in: a document and a path. Goes out: the parts of the value, and problems with file, line and column. Never
ignores a value of an unexpected shape: it is reported.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rules.source.finding import LOOKS_TYPED, Finding
from rules.source.problem import Problem, Severity, did_you_mean, is_full
from rules.source.yaml_document import Document, Path, Position

Model = TypeVar("Model", bound=BaseModel)

#: The name of each type in messages.
_WORDS = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def shape_of(value: Any) -> str:
    """Return the type of a value in words, for messages."""
    return _WORDS.get(type(value), "empty")


@dataclass(frozen=True)
class Node:
    """A value and its position in a file."""

    doc: Document
    path: Path
    value: Any
    problems: list[Problem]

    @property
    def name(self) -> str:
        """The key or list position of the value."""
        return str(self.path[-1]) if self.path else ""

    @property
    def where(self) -> Position:
        """File, line and column of the value."""
        return self.doc.where(self.path)

    @property
    def line(self) -> int:
        """The line on which it begins."""
        return self.where.line

    def at(self, step: str | int) -> "Node":
        """Return the node of one part of the value."""
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
        """Report a problem at this node, or at `inner` below it; `key`: at the key instead of its value."""
        if is_full(self.problems, severity):
            return
        where = self.doc.where(self.path + inner, key=key)
        self.problems.append(Problem(where.file, where.line, where.column, text, mend, code, severity))

    def note(self, findings: Iterable[Finding], *, keys: Collection[str] = ()) -> None:
        """Report findings inside this node; `keys`: codes of findings that are reported at the key."""
        for finding in findings:
            if finding.code == LOOKS_TYPED and not self.doc.is_typed(self.path + finding.at):
                continue  # it stands in quotes, so the text is meant
            self.wrong(
                finding.text,
                finding.mend,
                finding.code,
                inner=finding.at,
                key=finding.code in keys,
                severity=finding.severity,
            )

    def mapping(
        self, known: Collection[str] | None = None, what: str = "", example: str = "key: value"
    ) -> "dict[str, Node]":
        """Return the nodes of a mapping by key; keys not in `known` are reported. Empty for what is no mapping.

        `example`: what could stand there, for the mend.
        """
        if not isinstance(self.value, dict):
            told = f"{what or self.name} must be a mapping, not {shape_of(self.value)}"
            if self.value is None:
                self.wrong(told, "write something below it, or take it out", "wrong_shape")
            elif isinstance(self.value, list):
                self.wrong(told, "take the dashes before its keys away", "wrong_shape")
            else:
                self.wrong(told, f"write {example}", "wrong_shape")
            return {}
        for key in self.value:
            if known is not None and key not in known and not is_full(self.problems):
                self.wrong(f'"{key}" is unknown here', did_you_mean(key, known), "unknown_key", inner=(key,), key=True)
        return {key: self.at(key) for key in self.value if known is None or key in known}

    def items(self, what: str = "") -> "list[Node]":
        """Return the nodes of a list. Empty where the value is no list, which is reported."""
        if not isinstance(self.value, list):
            self.wrong(
                f"{what or self.name} must be a list, not {shape_of(self.value)}",
                "start each entry with a dash",
                "wrong_shape",
            )
            return []
        return [self.at(number) for number in range(len(self.value))]

    def text(self, what: str = "") -> str | None:
        """Return the text; None where the value is no text or blank, which is reported."""
        if isinstance(self.value, str) and self.value.strip():
            return self.value
        if isinstance(self.value, str):
            self.wrong(f"{what or self.name} is empty", "write something, or take it out", "wrong_type")
            return None
        numeric = isinstance(self.value, int | float)
        mend = "put it in quotes" if numeric else ""
        self.wrong(f"{what or self.name} must be text, not {shape_of(self.value)}", mend, "wrong_type")
        return None

    def flag(self) -> bool:
        """Return the boolean; False where the value is none, which is reported."""
        if isinstance(self.value, bool):
            return self.value
        self.wrong(*describe_non_boolean(self.value, self.name))
        return False

    def model(self, kind: type[Model], values: dict[str, Any], also: Sequence[str] = ()) -> Model | None:
        """Validate values as a model; None where they are wrong, which is reported.

        `also`: further keys that are allowed in this mapping, for suggestions.
        """
        known = fields_of(kind)
        unknown = [key for key in values if key not in known and kind.model_config.get("extra") != "allow"]
        for key in unknown:
            if is_full(self.problems):
                break
            mend = did_you_mean(key, [*known, *also])
            self.wrong(f'"{key}" is unknown here', mend, "unknown_key", inner=(key,), key=True)
        values = {key: value for key, value in values.items() if key not in unknown}
        for path in find_boolean_words(kind, values):
            self.wrong(*describe_non_boolean(self.doc_value(path), str(path[-1])), inner=path)
        try:
            return kind.model_validate(values)
        except ValidationError as exc:
            for error in exc.errors(include_input=False, include_url=False):
                if error["loc"] or not unknown:  # with unknown keys left out, an error about the whole may be wrong
                    self.wrong(
                        *describe_error(dict(error)), inner=self.walk(error["loc"]), key=error["type"] == "missing"
                    )
        return None

    def doc_value(self, path: Path) -> Any:
        """Return the value at a path below this node."""
        value = self.value
        for step in path:
            value = value[step]
        return value

    def walk(self, loc: Iterable[str | int]) -> Path:
        """Return the longest prefix of a path that exists below this node."""
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
    """Return the keys that a model accepts."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


#: Texts that YAML 1.1 reads as booleans, and pydantic accepts as such. In a book they are text.
_TRUE = frozenset({"true", "yes", "on", "y", "t", "1"})
_FALSE = frozenset({"false", "no", "off", "n", "f", "0"})


def find_boolean_words(model: type[BaseModel], values: Mapping[str, Any]) -> list[Path]:
    """Return the paths of texts such as `on` and `no` that the model would silently convert to a boolean."""
    suspects = [path for path, text in _texts(values, ()) if text.lower() in _TRUE | _FALSE]
    if not suspects:
        return []
    try:
        model.model_validate(_replace(values, (), frozenset(suspects)))
    except ValidationError as exc:
        errors = exc.errors(include_input=False, include_url=False)
        refused = [error["loc"] for error in errors if error["type"] == "bool_parsing"]
        return [path for path in suspects if any(loc[: len(path)] == path for loc in refused)]
    return []


def describe_non_boolean(value: Any, name: str) -> tuple[str, str, str]:
    """Return text, mend and code of the problem that a value should be a boolean."""
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


def _replace(value: Any, path: Path, suspects: frozenset[Path]) -> Any:
    if isinstance(value, Mapping):
        return {key: _replace(inner, (*path, key), suspects) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replace(inner, (*path, at), suspects) for at, inner in enumerate(value)]
    return "neither" if path in suspects else value


#: pydantic's name of a type -> its name in messages.
_MUST_BE = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number such as 19.99",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "date": "a date such as 2026-01-31",
    "datetime": "an instant such as 2026-01-31T12:00:00Z",
}
#: How pydantic's names of errors end where a value is of another type.
_OF_ANOTHER_TYPE = frozenset(
    {
        "type",
        "parsing",
        "attributes_type",
        "from_float",
        "sub_type",
        "from_date_parsing",
        "from_datetime_parsing",
        "from_datetime_inexact",
    }
)


def describe_error(error: Mapping[str, Any]) -> tuple[str, str, str]:
    """Translate an error of pydantic to text, mend and code, without the value."""
    loc = error["loc"]
    name = next((str(step) for step in reversed(loc) if isinstance(step, str)), "it")
    words = words_of(error)
    if error["type"] == "missing":
        return f"{name} {words}", f"write {name}: here", "missing_key"
    if error["type"] == "extra_forbidden":
        return f'"{name}" {words}', "take it out", "unknown_key"
    mend = {"string_type": "put it in quotes", "too_short": "write at least one"}.get(error["type"], "")
    if words.startswith(("must ", "is ", "says ", "needs ", "has ", "takes ", "may ")):
        return f"{name} {words}", mend, "wrong_type"
    return (f"{name}: {words}" if loc else words), mend, "wrong_type"


def words_of(error: Mapping[str, Any]) -> str:
    """Return what an error of pydantic says of the place where it is, in plain words: `must be a number`."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is unknown here"
    if kind in ("literal_error", "enum"):
        return (
            f"must be {str(context.get('expected', 'another word')).replace(chr(39) * 2, 'empty').replace(chr(39), '')}"
        )
    if kind == "string_too_short":
        least = context.get("min_length", 1)
        return "must not be empty" if least == 1 else f"must have at least {least} characters"
    if kind == "too_short":
        return "is empty"
    if kind == "sequence_str" or (kind == "is_instance_of" and context.get("class") == "Sequence"):
        return "must be a list"
    head, _, tail = kind.partition("_")
    if head in _MUST_BE and tail in _OF_ANOTHER_TYPE:
        return f"must be {_MUST_BE[head]}"
    words = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return words.replace("Input should ", "must ").replace("String should ", "must ").replace("a valid ", "a ")
