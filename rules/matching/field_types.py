"""The types of the fields that a pattern or a value may refer to.

Comes in: the models of the event types a rule can see, its look-ups, and the fields a source declares. Goes out: the
type of a field, or what is wrong with a path and how to mend it. Never sees an event.
"""

import json
import re
import types
from collections import abc
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache
from typing import Annotated, Any, Final, Literal, NewType, TypeVar, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, FutureDatetime, NaiveDatetime, PastDatetime

from rules.matching import path as paths
from rules.matching.path import AnyElement, Path, PathWrong, Step, WhereStep
from rules.snake_case import to_snake_case
from rules.source.problem import did_you_mean

Kind = Literal["text", "number", "boolean", "instant", "list", "object", "null", "any"]

#: What each kind is called in a sentence.
WORDS: Final[Mapping[str, str]] = {
    "text": "text",
    "number": "a number",
    "boolean": "true or false",
    "instant": "an instant",
    "list": "a list",
    "object": "a group of fields",
    "null": "null",
    "any": "anything",
}

#: The root of paths into the element that `some:` looks at.
ELEMENT: Final = "element"

#: What may stand behind a field under `fields:` of a source.
FIELD_WORDS: Final = frozenset({"text", "number", "boolean", "instant", "list", "object", "any"})


@dataclass(frozen=True)
class FieldType:
    """The type of a field: the kinds of values it may have, and their structure."""

    kinds: frozenset[Kind]
    #: For a list: the type of an element; None: not known.
    element: "FieldType | None" = None
    #: For an object: its models, or the type of every value in it.
    models: tuple[type[BaseModel], ...] = ()
    values: "FieldType | None" = None
    #: The only values it may have; None: not restricted.
    choices: frozenset[Any] | None = None

    @property
    def is_open(self) -> bool:
        """Return whether any value is allowed."""
        return "any" in self.kinds

    def may_be(self, *kinds: Kind) -> bool:
        """Return whether a value of one of these kinds is allowed."""
        return self.is_open or not self.kinds.isdisjoint(kinds)

    @property
    def words(self) -> str:
        """Return the type in words, for messages: `a number`."""
        return " or ".join(WORDS[kind] for kind in sorted(self.kinds - {"null"})) or WORDS["null"]


OPEN: Final = FieldType(frozenset({"any"}))


def _of(*kinds: Kind, element: FieldType | None = None, values: FieldType | None = None) -> FieldType:
    return FieldType(frozenset(kinds), element=element, values=values)


#: The fields of the event itself. The type of `data` depends on the event type; `raw` has no model.
EVENT_FIELDS: Final[Mapping[str, FieldType]] = {
    "source": _of("text"),
    "type": _of("text"),
    "id": _of("text"),
    "subject": _of("text"),
    "order_key": _of("text"),
    "time": _of("instant"),
    "received_at": _of("instant"),
    "raw": OPEN,
}


@dataclass(frozen=True)
class FieldScope:
    """The names that one rule can refer to, with their types."""

    #: The models of `data` for the event types that the rule can fire for; empty: `data` may be anything.
    data_models: Sequence[type[BaseModel]] = ()
    #: The names at the root of a path, beside look-ups and `result`.
    names: frozenset[str] = frozenset({*EVENT_FIELDS, "data"})
    #: Look-ups by name, with the model of their result; None: it may be anything.
    look_ups: Mapping[str, type[BaseModel] | None] = field(default_factory=dict)
    #: The model of `result` in `next:`; where it may be anything, put `result` into `names`.
    result: type[BaseModel] | None = None
    #: The fields that a source declares (`fields:`), as paths inside `data`, and a word of FIELD_WORDS for each.
    extra_fields: Mapping[str, str] = field(default_factory=dict)
    #: Where the telephone numbers of a source belong that have no `+`: source -> `DE`; None: nobody says.
    countries: Mapping[str, str | None] = field(default_factory=dict)
    #: The type of the element inside `some:`; None: there is none here.
    element: FieldType | None = None

    def check(self, path: str | Path) -> tuple[str, str] | None:
        """Return what is wrong with a path, and how to mend it; None: nothing is."""
        try:
            self._find(paths.parse(path) if isinstance(path, str) else path)
        except PathWrong as exc:
            return exc.text, exc.mend
        return None

    def field_type(self, path: str | Path) -> FieldType:
        """Return the type of a field; OPEN where the path is wrong or leads into data without a model."""
        try:
            return self._find(paths.parse(path) if isinstance(path, str) else path)
        except PathWrong:
            return OPEN

    @cached_property
    def roots(self) -> frozenset[str]:
        """Return all names that a path may begin with."""
        beside = {"result"} if self.result else set()
        if self.element is not None:
            beside.add(ELEMENT)
        return self.names | frozenset(self.look_ups) | beside

    def _root_type(self, root: str) -> FieldType:
        if root == ELEMENT and self.element is not None:
            return self.element
        if root in self.look_ups:
            model = self.look_ups[root]
            return _of_models((model,)) if model else OPEN
        if root == "data":
            return _of_models(tuple(self.data_models)) if self.data_models else OPEN
        if root == "result" and self.result:
            return _of_models((self.result,))
        return EVENT_FIELDS.get(root, OPEN)

    @cached_property
    def _extra(self) -> Mapping[tuple[Step, ...], FieldType]:
        found: dict[tuple[Step, ...], FieldType] = {}
        for name, word in self.extra_fields.items():
            try:
                steps = paths.parse(name if name.startswith(("data.", "data[")) else f"data.{name}").steps
            except PathWrong:
                continue  # a wrong path under `fields:` simply declares nothing
            found[steps] = _of_word(word)
        return found

    @cached_property
    def _known(self) -> dict[str, FieldType]:
        """The types found so far: most rules ask for the same few fields."""
        return {}

    def _find(self, path: Path) -> FieldType:
        found = self._known.get(path.text)
        if found is None:
            found = self._known[path.text] = self._look_for(path)
        return found

    def _look_for(self, path: Path) -> FieldType:
        if path.root not in self.roots:
            raise PathWrong(f'there is no "{path.root}" here', self._mend_root(path))
        kind = self._root_type(path.root)
        if path.root == "data" and kind.is_open:
            _refuse_foreign_names(path)
        if path.root == "data" and self._extra:
            declared = self._declared(path)
            if declared is not None:
                return declared
        for count, step in enumerate(path.steps):
            kind = _into(kind, step, Path(path.root, path.steps[:count]), path.steps[count + 1 :])
        return kind

    def _declared(self, path: Path) -> FieldType | None:
        """Return the type of a path that equals, leads to or lies inside a declared field; else None."""
        for steps, kind in self._extra.items():
            if path.steps == steps[: len(path.steps)] and len(path.steps) < len(steps) and path.steps:
                return _of("object", "list", "null", element=OPEN, values=OPEN)
            if path.steps[: len(steps)] == steps:
                for count in range(len(steps), len(path.steps)):
                    kind = _into(kind, path.steps[count], Path("data", path.steps[:count]), path.steps[count + 1 :])
                return kind
        near = [Path("data", steps).text for steps in self._extra if path.steps[:1] == steps[:1]]
        if near and not any(path.steps[0] in fields_of(model) for model in self.data_models):
            raise PathWrong(f"there is no field {path}", did_you_mean(path.text, near))
        return None

    def _mend_root(self, path: Path) -> str:
        if path.root == "null":
            return "write none"
        inside = Path("data", (path.root, *path.steps))
        if path.root.lower() in _NAMED_ELSEWHERE and path.steps:
            first, *steps = path.steps
            inside = Path(first, tuple(steps)) if first in self.names else Path("data", path.steps)
        if (self.data_models or inside.root != "data") and self.check(inside) is None:
            return f'did you mean "{inside}"?'
        for name in self.look_ups:
            answer = Path(name, (path.root, *path.steps))
            if self.look_ups[name] is not None and self.check(answer) is None:
                return f'did you mean "{answer}"?'
        open_data = "" if self.data_models else f'what a source sends stands under data: did you mean "{inside}"?'
        return did_you_mean(path.root, self.roots, otherwise=open_data)


#: What others call the thing that a webhook tells.
_NAMED_ELSEWHERE: Final = frozenset({"event", "body", "payload", "json", "item", "message", "trigger", "request"})
#: Under them stand names that people gave; all other names of `data` are in snake_case, whoever sends them.
_NAMED_BY_PEOPLE: Final = "additional_fields"
_IDENTIFIER: Final = re.compile(r"[A-Za-z]\w{0,63}\Z", re.ASCII)


def _refuse_foreign_names(path: Path) -> None:
    """Raise PathWrong where a name is as the sender writes it (`firstName`): nothing can be found there."""
    steps: list[Step] = []
    for step in path.steps:
        if step == _NAMED_BY_PEOPLE:
            return
        name = step if isinstance(step, str) and _IDENTIFIER.match(step) else ""
        steps.append(to_snake_case(name) if name else step)
    if tuple(steps) != path.steps:
        raise PathWrong(
            f"{path} can never be found: names in data are in snake_case", f"write {Path(path.root, tuple(steps))}"
        )


def _into(kind: FieldType, step: Step, before: Path, after: Sequence[Step]) -> FieldType:
    """Return the type that one step leads to. Raises PathWrong."""
    if kind.is_open:
        return OPEN
    if isinstance(step, str):
        return _into_key(kind, step, before, after)
    if "list" not in kind.kinds:
        what = "[]" if isinstance(step, AnyElement) else Path("x", (step,)).text[1:]
        raise PathWrong(
            f"{before} is {kind.words}, not a list", f"leave out {what}: {Path(before.root, (*before.steps, *after))}"
        )
    element = kind.element or OPEN
    if isinstance(step, WhereStep):
        key = _into(element, step.key, Path(before.root, (*before.steps, paths.ANY)), ())
        if not admits(key, step.literal):
            raise PathWrong(
                f"{before}[].{step.key} is {key.words}, "
                f"{format_literal(step.literal)} is {WORDS[kind_of(step.literal)]}",
                mend_of_literal(key, step.literal),
            )
    return element


def _into_key(kind: FieldType, key: str, before: Path, after: Sequence[Step]) -> FieldType:
    known: set[str] = set()
    found: list[FieldType] = []
    for model in kind.models:
        fields = fields_of(model)
        if key in fields:
            found.append(fields[key])
        known.update(fields)
    if kind.values is not None:
        found.append(kind.values)
    if found:
        return merge_types(found)
    here = Path(before.root, (*before.steps, key))
    if "list" in kind.kinds:
        several = Path(before.root, (*before.steps, paths.ANY, key, *after))
        raise PathWrong(f"{before} is a list", f"write {several} for any element, or name one: {before}[id=12]")
    if not kind.models:
        raise PathWrong(f"{before} is {kind.words}, it has no fields", f"write {before}")
    raise PathWrong(f"there is no field {here}", _mend_key(before, key, known, after))


def _mend_key(before: Path, key: str, known: Collection[str], after: Sequence[Step]) -> str:
    mend = did_you_mean(key, known)
    if mend.startswith("did you mean"):
        near = mend.split('"')[1]
        return f'did you mean "{Path(before.root, (*before.steps, near, *after))}"?'
    declare = "; or declare it under fields: of the source" if before.root == "data" else ""
    return mend.replace("there is ", f"{before} has ", 1) + declare


def _of_word(word: str) -> FieldType:
    match word:
        case "text" | "number" | "boolean" | "instant":
            return _of(word, "null")
        case "list":
            return _of("list", "null", element=OPEN)
        case "object":
            return _of("object", "null", values=OPEN)
    return OPEN


def _of_models(models: tuple[type[BaseModel], ...]) -> FieldType:
    return FieldType(frozenset({"object"}), models=models)


@lru_cache(maxsize=1024)
def fields_of(model: type[BaseModel]) -> Mapping[str, FieldType]:
    """Return the fields of a model by the names that they have in `data`."""
    found = {name: _of_annotation(info.annotation, tuple(info.metadata)) for name, info in model.model_fields.items()}
    for name, computed in model.model_computed_fields.items():
        found[name] = _of_annotation(computed.return_type)
    return found


def _of_annotation(annotation: Any, metadata: tuple[Any, ...] = ()) -> FieldType:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _of_annotation(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return merge_types([_of_annotation(each) for each in get_args(annotation)])
    if origin is Literal:
        choices = frozenset(get_args(annotation))
        return FieldType(frozenset(kind_of(each) for each in choices), choices=choices)
    if annotation is None or annotation is type(None):
        return _of("null")
    if isinstance(annotation, NewType):
        return _of_annotation(annotation.__supertype__)
    if isinstance(annotation, TypeVar) or annotation is Any:
        return OPEN
    if hasattr(annotation, "__value__"):  # `type Name = …`
        return _of_annotation(annotation.__value__)
    return _of_class(origin or annotation, get_args(annotation))


def _of_class(kind: Any, arguments: tuple[Any, ...]) -> FieldType:
    if not isinstance(kind, type):
        return OPEN
    if issubclass(kind, BaseModel):
        return _of_models((kind,))
    if issubclass(kind, Enum):
        choices = frozenset(each.value for each in kind)
        return FieldType(frozenset(kind_of(each) for each in choices), choices=choices)
    if issubclass(kind, bool):
        return _of("boolean")
    if issubclass(kind, int | float | Decimal):
        return _of("number")
    if issubclass(kind, datetime | AwareDatetime | NaiveDatetime | PastDatetime | FutureDatetime):
        return _of("instant")
    if issubclass(kind, date):
        return _of("text", "instant")
    if issubclass(kind, str | bytes):
        return _of("text")
    if issubclass(kind, abc.Mapping):
        return _of("object", values=_of_annotation(arguments[1]) if len(arguments) == 2 else OPEN)
    if issubclass(kind, abc.Collection) or kind in (abc.Iterable, abc.Sequence):
        inner = [_of_annotation(each) for each in arguments if each is not Ellipsis]
        return _of("list", element=merge_types(inner) if inner else OPEN)
    # Addresses, URLs, UUIDs and the like are text in JSON. Of any other class we do not know the JSON form.
    return _of("text") if kind.__module__.partition(".")[0] in ("ipaddress", "uuid", "pydantic") else OPEN


def merge_types(kinds: Iterable[FieldType]) -> FieldType:
    """Return the union of types."""
    known = list(kinds)
    if len(known) == 1:
        return known[0]
    if any(each.is_open for each in known):
        return OPEN
    plain = [each for each in known if each.kinds - {"null", "list", "object"}]
    elements = [each.element for each in known if each.element is not None]
    values = [each.values for each in known if each.values is not None]
    closed = bool(plain) and all(each.choices is not None for each in plain)
    return FieldType(
        frozenset().union(*(each.kinds for each in known)),
        element=merge_types(elements) if elements else None,
        models=tuple(dict.fromkeys(model for each in known for model in each.models)),
        values=merge_types(values) if values else None,
        choices=frozenset().union(*(each.choices or () for each in plain)) if closed else None,
    )


def kind_of(value: Any) -> Kind:
    """Return the kind of a JSON value. An instant is a text here."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case Mapping():
            return "object"
    return "list"


def admits(kind: FieldType, literal: Any) -> bool:
    """Return whether a field of this type may hold a value of the literal's kind."""
    wanted = kind_of(literal)
    return kind.may_be(wanted) or (wanted == "text" and kind.may_be("instant"))


def mend_of_literal(kind: FieldType, literal: Any) -> str:
    """Return how to mend a literal of the wrong kind."""
    if isinstance(literal, int | float) and not isinstance(literal, bool) and "text" in kind.kinds:
        return f'write "{literal}" in quotes'
    if isinstance(literal, str):
        if "boolean" in kind.kinds:
            return "write true or false"
        if "number" in kind.kinds:
            try:
                float(literal)
            except ValueError:
                return "write a number"
            return "write it without quotes, without a leading zero or plus sign"
    return f"write {kind.words}"


def format_literal(literal: Any) -> str:
    """Return a literal as JSON, for messages."""
    return json.dumps(literal, ensure_ascii=False)
