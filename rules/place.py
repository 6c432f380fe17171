"""A value of a book and where it stands, so that a complaint about it needs no more than its text.

Comes in: a document and a path. Goes out: the parts of the value, and problems with file, line and column. Never
goes on silently: what is not of the expected shape is noted.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rules.document import Document, Path, Where
from rules.finding import Finding
from rules.problem import Problem, Severity, did_you_mean

Model = TypeVar("Model", bound=BaseModel)

#: What each shape is called in a sentence.
_WORDS = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def shape_of(value: Any) -> str:
    """Return what a value is, as a sentence says it."""
    return _WORDS.get(type(value), "empty")


@dataclass(frozen=True)
class Place:
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
    def where(self) -> Where:
        """Where it stands."""
        return self.doc.where(self.path)

    @property
    def line(self) -> int:
        """The line on which it begins."""
        return self.where.line

    def at(self, step: str | int) -> "Place":
        """Return the place one step further in."""
        return Place(self.doc, (*self.path, step), self.value[step], self.problems)

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
        where = self.doc.where(self.path + inner, key=key)
        self.problems.append(Problem(where.file, where.line, where.column, text, mend, code, severity))

    def note(self, findings: Iterable[Finding], *, about: str = "") -> None:
        """Note what the compilers of patterns and values found inside this node."""
        for finding in findings:
            text = f"{about}: {finding.text}" if about else finding.text
            self.wrong(text, finding.mend, finding.code, inner=finding.at, severity=finding.severity)

    def mapping(self, known: Collection[str] | None = None, what: str = "") -> "dict[str, Place]":
        """Return the parts of a mapping; keys beside `known` are problems. Empty where it is none."""
        if not isinstance(self.value, dict):
            what = what or self.name
            mend = "" if self.value is not None else "write something below it, or take it out"
            self.wrong(f"{what} must be a mapping, not {shape_of(self.value)}", mend, "wrong_shape")
            return {}
        for key in self.value:
            if known is not None and key not in known:
                self.wrong(f'"{key}" is unknown here', did_you_mean(key, known), "unknown_key", inner=(key,), key=True)
        return {key: self.at(key) for key in self.value if known is None or key in known}

    def items(self, what: str = "") -> "list[Place]":
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
        numeric = isinstance(self.value, int | float)
        mend = "put it in quotes" if numeric else ""
        self.wrong(f"{what or self.name} must be text, not {shape_of(self.value)}", mend, "wrong_type")
        return None

    def flag(self, what: str = "") -> bool:
        """Return true or false; False where it is neither."""
        if isinstance(self.value, bool):
            return self.value
        mend = ""
        if isinstance(self.value, str) and self.value.lower() in ("yes", "no", "on", "off", "true", "false"):
            mend = f"write {'true' if self.value.lower() in ('yes', 'on', 'true') else 'false'}, without quotes"
        self.wrong(f"{what or self.name} must be true or false, not {shape_of(self.value)}", mend, "wrong_type")
        return False

    def model(self, kind: type[Model], values: dict[str, Any], also: Sequence[str] = ()) -> Model | None:
        """Return the values as a record; `also` are keys that stand here beside those of the record."""
        known = fields_of(kind)
        unknown = [key for key in values if key not in known and kind.model_config.get("extra") != "allow"]
        for key in unknown:
            mend = did_you_mean(key, [*known, *also])
            self.wrong(f'"{key}" is unknown here', mend, "unknown_key", inner=(key,), key=True)
        try:
            return kind.model_validate({key: value for key, value in values.items() if key not in unknown})
        except ValidationError as exc:
            self.refused(exc)
        return None

    def refused(self, exc: ValidationError) -> None:
        """Note what pydantic has against a value, without showing the value."""
        for error in exc.errors(include_input=False, include_url=False):
            inner = self.walk(error["loc"])
            rest = [step for step in error["loc"][len(inner) :] if isinstance(step, str)]
            self.wrong(*sentence(error["type"], error["msg"], error["loc"], rest, error.get("ctx", {})), inner=inner)

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


def sentence(
    kind: str, message: str, loc: Sequence[str | int], rest: Sequence[str], context: dict[str, Any]
) -> tuple[str, str, str]:
    """Return text, mend and code of pydantic's complaint."""
    name = next((str(step) for step in reversed(loc) if isinstance(step, str)), "it")
    if kind == "missing":
        return f"{name} is missing", "", "missing_key"
    if kind == "extra_forbidden":
        return f'"{name}" is unknown here', "take it out", "unknown_key"
    if kind == "literal_error":
        return f"{name} must be {context.get('expected', 'another word').replace(chr(39), '')}", "", "wrong_type"
    if kind in ("string_type", "string_sub_type"):
        return f"{name} must be text", "put it in quotes", "wrong_type"
    words = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    words = words.replace("Input should be ", "must be ").replace("Input should ", "must ").replace("valid ", "")
    if words.startswith(("must ", "is ", "says ", "needs ", "has ")):
        return f"{name} {words}", "", "wrong_type"
    return (f"{name}: {words[:1].lower()}{words[1:]}" if loc else words), "", "wrong_type"
