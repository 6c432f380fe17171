"""Flat records whose values need no reading: what their model would make of them is what came.

Comes in: a type's model and an item's fields. Goes out: its data, or its model, made past pydantic; None
where any value is not surely the same afterwards, and then pydantic reads it. Most contacts come so, and each is read
when it arrives and when it is routed. Never reads anything otherwise than the model does (a test compares them).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, cast, get_type_hints

from receiver.field_names import SPELLED, Names
from rules import addresses
from rules.addresses import AddressRefused
from rules.event_types.base import EventData, Key, MayHaveEmail, Word, YesNo

#: What a special reader returns of a value that pydantic has to read.
UNUSUAL = object()
#: Classes of values that stay as they are: in a field of these types, in one of another type, in one of no model.
_TYPES: Mapping[Any, frozenset[type]] = {
    str | None: frozenset({str, type(None)}),
    float | None: frozenset({float, type(None)}),
    bool | None: frozenset({bool, type(None)}),
    YesNo: frozenset({bool, type(None)}),
}
_NOTHING, _NONE, _UNKNOWN = frozenset({type(None)}), frozenset[type](), frozenset({str, int, bool, type(None)})
#: Shapes that are kept of a model, and letters of all names of one: a stranger could fill the memory with them.
_MOST_SHAPES, _MOST_LETTERS = 256, 4_000
#: The largest id, as the models have it.
_MOST = 2**63
#: Sets what pydantic's own way would look at first.
_set = object.__setattr__


class _ShapePlan(NamedTuple):
    """How fields of some names are read, whose values are of some classes."""

    #: Their names with us, in the same order.
    names: tuple[str, ...]
    #: Takes the texts out of a list of the values.
    texts: Callable[[list[Any]], Sequence[str]]
    #: What reads the values that do not stay as they are, by our name.
    readers: tuple[tuple[str, Callable[[Any], Any]], ...]


#: Model, names of fields as they came, and the classes of their values.
_Shape = tuple[type[EventData], tuple[str, ...], tuple[type, ...]]


@dataclass(frozen=True, slots=True)
class _PlainFields:
    """How the fields of a model are read past it."""

    #: Name -> classes of values that stay as they are.
    same: Mapping[str, frozenset[type]]
    #: Name -> what reads the others.
    special: Mapping[str, Callable[[Any], Any]]
    #: Names that must be there.
    needed: frozenset[str]
    defaults: dict[str, Any]

    def plan(self, names: tuple[str, ...], kinds: tuple[type, ...]) -> _ShapePlan | None:
        """Return how values of these classes are read under our names; None: only the model can tell."""
        if not self.needed <= set(names) or len(set(names)) < len(names):
            return None
        readers: list[tuple[str, Callable[[Any], Any]]] = []
        for name, kind in zip(names, kinds, strict=True):
            if kind in self.same.get(name, _NONE):
                continue
            if name in self.special:
                readers.append((name, self.special[name]))
            elif name in self.same or kind not in _UNKNOWN or SPELLED[name] != name:
                return None
        return _ShapePlan(names, _pick_texts(kinds), tuple(readers))


class PlainReader:
    """Reads the fields of one vendor's objects: its names for them are ours already, or `names` says which are.

    With `names`, an empty text says that there is nothing, as in `field_names.looked_up`.
    """

    def __init__(self, names: Names | None = None) -> None:
        self.names = names
        #: What is known of the shapes that came: a vendor's objects have few.
        self._plans: dict[_Shape, Any] = {}

    def read(self, kind: type[EventData], fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the data of fields, as `ours(model.data())` is; None: only the model can tell."""
        values = list(fields.values())
        plan = self._plan(kind, fields, values)
        if plan is None:
            return None
        if self.names is not None and not all(map(str.strip, plan.texts(values))):
            values = [value if value.__class__ is not str or value.strip() else None for value in values]
            plan = self._plan(kind, fields, values)
            if plan is None:
                return None
        data = dict(zip(plan.names, values))  # noqa: B905 - they are as many, and it costs as much again
        for name, reader in plan.readers:
            value = reader(data[name])
            if value is UNUSUAL:
                return None
            data[name] = value
        return data

    def _plan(self, kind: type[EventData], fields: Mapping[str, Any], values: list[Any]) -> _ShapePlan | None:
        shape = (kind, tuple(fields), tuple(map(type, values)))
        found = self._plans.get(shape, UNUSUAL)
        return self._make_plan(shape) if found is UNUSUAL else found

    def _make_plan(self, shape: _Shape) -> _ShapePlan | None:
        kind, names, kinds = shape
        how, ours = _plain(kind), names if self.names is None else tuple([self.names[name] for name in names])
        found = None if how is None else how.plan(ours, kinds)
        if len(self._plans) < _MOST_SHAPES and sum(map(len, names)) <= _MOST_LETTERS:
            self._plans[shape] = found
        return found


def _pick_texts(kinds: tuple[type, ...]) -> Callable[[list[Any]], Sequence[str]]:
    places = [place for place, kind in enumerate(kinds) if kind is str]
    return itemgetter(*places) if len(places) > 1 else lambda values: [values[place] for place in places]


def make(kind: type[EventData], data: dict[str, Any]) -> EventData:
    """Return the model of data that `read` returned."""
    how = cast(_PlainFields, _plain(kind))
    values, given, extra = how.defaults | data, set(data), dict[str, Any]()
    if len(values) > len(how.defaults):  # some are not of the model
        extra = {name: values.pop(name) for name in data if name not in how.defaults}
        given.difference_update(extra)
    model = kind.__new__(kind)
    _set(model, "__dict__", values)
    _set(model, "__pydantic_fields_set__", given)
    _set(model, "__pydantic_extra__", extra)
    _set(model, "__pydantic_private__", None)
    return model


@lru_cache(maxsize=256)
def _plain(kind: type[EventData]) -> _PlainFields | None:
    """Return how a model is read past it; None of one that looks at its fields together, or derives some."""
    base: type[EventData] = MayHaveEmail if issubclass(kind, MayHaveEmail) else EventData
    if _own(kind) - _own(base) or kind.derive is not EventData.derive or kind.model_config != EventData.model_config:
        return None
    if any(field.is_required() or field.default_factory for field in kind.model_fields.values()):
        return None
    same: dict[str, frozenset[type]] = {}
    special: dict[str, Callable[[Any], Any]] = {}
    hints = get_type_hints(kind, include_extras=True)
    for name, field in kind.model_fields.items():
        hint = hints[name]
        same[name] = _TYPES.get(hint, _NOTHING if field.default is None else _NONE)
        if hint in _READERS:
            special[name] = _READERS[hint]
    needed = frozenset[str]()
    if base is MayHaveEmail:  # its model looks at this one, and is more than its type says
        same["email"], special["email"], needed = _NONE, _email, frozenset({"email"})
    return _PlainFields(same, special, needed, {name: field.default for name, field in kind.model_fields.items()})


def _own(kind: type[EventData]) -> set[str]:
    """Return the names of what a model does beside reading one field after the other."""
    found = kind.__pydantic_decorators__
    every = (found.model_validators, found.field_validators, found.root_validators, found.validators)
    return {
        name
        for each in (*every, found.field_serializers, found.model_serializers, found.computed_fields)
        for name in each
    }


def _email(value: Any) -> Any:
    if value.__class__ is not str:
        return UNUSUAL
    try:
        return value if addresses.clean(value) == value else UNUSUAL
    except AddressRefused:
        return UNUSUAL


def _id(value: Any) -> Any:
    return value if value.__class__ is int and 0 <= value < _MOST else UNUSUAL


def _word(value: Any) -> Any:
    return value.lower() if value.__class__ is str and value.isascii() and value.isalpha() else UNUSUAL


#: What reads a value of a type past its model.
_READERS: Mapping[Any, Callable[[Any], Any]] = {Key | None: _id, Word | None: _word}
