"""What is the same in a write of ours and in the event by which a platform tells of it.

Comes in: the arguments of an action, the data of an event. Goes out: fields by names that both share, and values as
both write them. Never asks the store, and never decides: `workers.drain.echo_guard` does.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from rules import addresses
from rules.values import filters

#: Names that systems have for one field, as `squash` writes them.
SAME = {
    **dict.fromkeys(("zipcode", "postalcode", "postcode"), "zip"),
    **dict.fromkeys(("streetaddress", "address"), "street"),
    **dict.fromkeys(("sms", "mobile", "phone1", "phone2", "phonenumber", "privatephonenumber", "telephone"), "phone"),
    **dict.fromkeys(("emailaddress", "mail"), "email"),
    "groupname": "group",
    **dict.fromkeys(("newsletterconsent", "issubscribedtonewsletter"), "newsletter"),
}
#: What says when a platform told something, and nothing of what it told.
WHEN = frozenset(
    {"happenedat", "changedat", "updatedat", "modifiedat", "createdat", "timestamp", "eventtime", "objectinfo"}
)
#: What an action is told beside what it writes into fields.
BESIDE = frozenset({"reason"})
#: JSON that nests deeper is not looked into.
DEEPEST = 4


def squash(name: str) -> str:
    """Return the name of a field as all spellings of it share it: `FIRSTNAME`, `first_name` and `firstName`."""
    bare = "".join(sign for sign in name.casefold() if sign.isalnum())
    return SAME.get(bare, bare)


def normalize(name: str, value: Any, country: str | None = None) -> str:
    """Return a value as both sides write it. `country`: where a telephone number without `+` belongs."""
    text = str(filters.write_scalar(value)) if isinstance(value, bool | int | float) else str(value)
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if name == "phone":
        try:
            return addresses.phone_key(text, country)
        except addresses.AddressRefused:
            return text
    return addresses.key_or_text(text)


def list_written(arguments: BaseModel, theirs: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that an action writes: squashed name -> value; what it leaves alone is left out.

    `theirs`: our name of a field, dotted -> the destination's own; empty: it is never sent.
    """
    found: dict[str, Any] = {}
    for path, value in _leaves(arguments.model_dump(mode="json", exclude_unset=True)):
        if value is None:
            continue
        its = theirs.get(path)
        for name in (path, its) if its else (path,) if its is None else ():
            found[squash(name.rpartition(".")[2])] = value
    if "newemail" in found:
        found["email"] = found.pop("newemail")
    return {name: value for name, value in found.items() if name not in BESIDE}


def list_carried(data: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the fields that an event carries: squashed name -> its values; null and the empty text are one."""
    found: dict[str, list[Any]] = {}
    for path, value in _leaves(data):
        found.setdefault(squash(path.rpartition(".")[2]), []).append("" if value is None else value)
    return found


def tell_content(data: Mapping[str, Any]) -> str:
    """Return what an event tells, whenever it was told, as a text that is the same for the same."""
    told = {name: value for name, value in data.items() if squash(name) not in WHEN}
    return to_json(_sort(told)).decode()


def _leaves(value: Mapping[str, Any], above: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        path = f"{above}.{name}" if above else str(name)
        if isinstance(inner, Mapping):
            if depth < DEEPEST:
                yield from _leaves(inner, path, depth + 1)
        elif not isinstance(inner, list):
            yield path, inner


def _sort(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _sort(value[name]) for name in sorted(value)}
    return [_sort(each) for each in value] if isinstance(value, list) else value
