"""What an optional field that does not fit costs: itself, and nothing else.

Comes in: an item's fields and what its model says of them. Goes out: the model without the optional fields that cannot
be read, and their names, never a value. What the type cannot be without stays an error.
"""

import copy
import re
from functools import reduce
from typing import Any, Literal

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from rules.event_types.base import EventData, means_nothing

#: How the names of fields are written: as most platforms do, or as we do.
Spelling = Literal["camelCase", "snake_case"]
#: Parts of a pydantic location that name a type, not a field.
TYPE_NAME = re.compile(r"(?:int|str|float|bool|none|list|dict)\Z|.*[^A-Za-z0-9_]")
#: Each round climbs a level: from a field that nothing can be without to what it stands in.
MOST_ROUNDS = 12

#: Where a field stands: names in our spelling, and positions in lists.
Place = tuple[str | int, ...]


def fit(
    kind: type[EventData], fields: Any, spelling: Spelling, error: ValidationError
) -> tuple[EventData, tuple[str, ...]]:
    """Return the model of fields that do not fit as they are, and the names of what was left out.

    A value that only says that there is none (an empty text, year 1) is null, and no field that was left out.
    Raises ValidationError: what is wrong with fields that cannot be left out.
    """
    if not isinstance(fields, dict):
        raise error
    first, rest, names = error, copy.deepcopy(fields), dict[str, None]()
    for _ in range(MOST_ROUNDS):
        before = len(names)
        changed = False
        for each in error.errors(include_url=False, include_input=False, include_context=False):
            at = tuple(part for part in each["loc"] if isinstance(part, int) or not TYPE_NAME.match(part))
            at = _as_sent(rest, at[:-1] if each["type"] == "missing" else at)
            nulled = _leave_out(rest, _can_go(kind, at), names)
            changed = changed or nulled
        if not changed and len(names) == before:
            raise first if "email" in names else error
        try:
            model = kind.__pydantic_validator__.validate_python(
                rest, by_alias=spelling == "camelCase", by_name=spelling == "snake_case"
            )
        except ValidationError as exc:
            error = exc
        else:
            return model, tuple(each for each in names if not any(each.startswith(f"{other}.") for other in names))
    raise error


def _as_sent(fields: Any, at: Place) -> Place:
    """Return the place of a text by language without its language: such texts come as a list, which has no names."""
    return at[:-1] if at and isinstance(at[-1], str) and isinstance(reduce(_inner, at[:-1], fields), list) else at


def _can_go(kind: type[EventData], at: Place) -> Place:
    """Return the place of what can be left out for the sake of a field: a whole list for its element."""
    named = _name(at)
    if any(named == each or named.startswith(f"{each}.") for each in kind.read_whole):
        at = at[:1]
    while at and isinstance(at[-1], int):
        at = at[:-1]
    if len(at) == 1 and (at[0] in kind.never_left_out or kind.model_fields[str(at[0])].is_required()):
        return ()
    return at


def _leave_out(fields: Any, place: Place, names: dict[str, None]) -> bool:
    """Make a value null, which is told, or take it out and add its name to `names`."""
    if not place:
        return False
    *above, last = place
    holder = reduce(_inner, above, fields)
    key = _key(holder, last)
    if not isinstance(holder, dict) or key not in holder:
        return False
    if holder[key] is not None and means_nothing(holder[key]):
        holder[key] = None
        return True
    del holder[key]
    names[_name(place)] = None
    return False


def _inner(holder: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return holder[step] if isinstance(holder, list) and step < len(holder) else None
    return holder.get(_key(holder, step)) if isinstance(holder, dict) else None


def _key(holder: Any, name: str | int) -> str:
    camel = to_camel(str(name))
    return camel if isinstance(holder, dict) and camel in holder else str(name)


def _name(place: Place) -> str:
    return ".".join(part for part in place if isinstance(part, str))
