"""What every action of the catalogue says of the objects that it touches, with arguments of any kind.

A new destination is found by itself; only an argument of a type that is new here needs a strategy.
"""

import functools
import re
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from rules.catalogue import MOST_NAMES, ActionKind
from rules.rule import find_names
from workers.destinations import DESTINATIONS

ACTIONS = [
    pytest.param(action, id=f"{name}.{action.name}")
    for name, destination in sorted(DESTINATIONS.items())
    for action in destination.kind.actions.values()
]
#: Few of each, so that two arguments often share some and differ in others.
EMAILS = ("eva@example.org", "EVA@example.org", "adam@example.org")
TEXTS = ("7", "SD-1", "+4930123456", "030 123456", "+49 30 123456")
#: What a field of text may hold, by its name; anything else has one of TEXTS.
BY_NAME = {
    "to": EMAILS,
    "reply_to": EMAILS,
    "email": EMAILS,
    "new_email": EMAILS,
    "currency": ("EUR",),
    "time": ("2026-11-28T10:00:00Z",),
}


def values(annotation: Any, name: str) -> st.SearchStrategy[Any]:
    """Return values of an argument, by its type and name."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(inner[0], name)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(each, name) for each in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.just({})
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return st.lists(values(inner[0], name), min_size=1, max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return models(annotation)
    plain: Mapping[Any, st.SearchStrategy[Any]] = {
        str: st.sampled_from(BY_NAME.get(name, TEXTS)),
        bool: st.booleans(),
        int: st.integers(1, 3),
        float: st.just(1.5),
        Decimal: st.just("0.5"),
        date: st.just("2026-11-28"),
        datetime: st.just("2026-11-28T10:00:00Z"),
        type(None): st.none(),
        Any: st.sampled_from(TEXTS),
    }
    return plain[annotation]


def models(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Return arguments of a model: what it requires, and any of the rest."""
    given = {
        (field.alias or name): (field.is_required(), values(field.annotation, name))
        for name, field in model.model_fields.items()
    }
    return st.fixed_dictionaries(
        {name: of for name, (required, of) in given.items() if required},
        optional={name: of for name, (required, of) in given.items() if not required},
    )


def validated(action: ActionKind, arguments: Mapping[str, Any]) -> BaseModel | None:
    """Return the arguments as the action's model; None where it refuses them."""
    try:
        return action.arguments.model_validate(arguments)
    except ValidationError:
        return None


@pytest.mark.parametrize("action", ACTIONS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_names(action: ActionKind, data: st.DataObject) -> None:
    """Every action touches at least one name, a strong one first, none twice and eight at the most, for all arguments.

    And what is one effect shares a strong name: the second delivery is sent after the first, and finds what it did.
    """
    taken = models(action.arguments).map(functools.partial(validated, action)).filter(lambda each: each is not None)
    first, second = data.draw(taken), data.draw(taken)
    assert first is not None
    assert second is not None
    names, others = action.touches(first), action.touches(second)
    assert names
    assert not names[0].weak
    assert len(set(names)) == len(names) <= MOST_NAMES
    assert find_names(action, first) == names
    assert all(re.fullmatch(r"[a-z_]+", name.kind) and name.value == name.value.strip() != "" for name in names)
    if action.once_by is not None and action.once_by(first) == action.once_by(second):
        assert any(name in others for name in names if not name.weak)


def test_examples_are_found() -> None:
    """The property sees every destination, and arguments that are one effect although they are not the same."""
    assert len(ACTIONS) == sum(len(each.kind.actions) for each in DESTINATIONS.values())
    upsert = DESTINATIONS["rest"].kind.actions["upsert_contact"]
    assert upsert.once_by is not None
    one, other = (
        upsert.arguments.model_validate({"email": "eva@example.org", "external_id": each}) for each in ("7", "8")
    )
    assert upsert.once_by(one) == upsert.once_by(other)
    assert [name for name in upsert.touches(one) if name in upsert.touches(other)] == [upsert.touches(one)[1]]
