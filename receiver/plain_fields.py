"""Flat records whose values need no reading: what their model would make of them is what came.

Comes in: a type's model and an item's fields in our names. Goes out: its data, or its model, made past pydantic; None
where any value is not surely the same afterwards, and then pydantic reads it. Most contacts come so, and each is read
when it arrives and when it is routed. Never reads anything otherwise than the model does (a test compares them).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast, get_type_hints

from receiver.field_names import SPELLED
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
#: The largest id, as the models have it.
_MOST = 2**63
#: Sets what pydantic's own way would look at first.
_set = object.__setattr__


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


def read(kind: type[EventData], fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the data of fields in snake_case, as `ours(model.data())` is; None: only the model can tell."""
    how = _plain(kind)
    if how is None or not how.needed <= fields.keys():
        return None
    same, special = how.same, how.special
    data = dict(fields)
    for name, value in fields.items():
        if value.__class__ in same.get(name, _NONE):
            continue
        if name in special:
            read = special[name](value)
            if read is UNUSUAL:
                return None
            data[name] = read
        elif name in same or value.__class__ not in _UNKNOWN or SPELLED[name] != name:
            return None
    return data


def make(kind: type[EventData], data: dict[str, Any]) -> EventData:
    """Return the model of data that `read` returned."""
    how = cast(_PlainFields, _plain(kind))
    values = how.defaults.copy()
    extra: dict[str, Any] = {}
    given = set(data)
    if given <= values.keys():
        values.update(data)
    else:
        extra = {name: value for name, value in data.items() if name not in values}
        values.update({name: value for name, value in data.items() if name not in extra})
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
