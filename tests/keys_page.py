"""The pages of all keys that a book may have beside those of sources: destinations, arguments, rules, tests.

Comes in: the JSON Schema of a book. Goes out: the text of two pages, and every name of a key, to compare. Never holds a
sentence about a key: it stands beside the key, in the code.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from console import catalogue
from rules.compiler import json_schema

#: What comes with each value: a template may stand in its place.
TEMPLATE = "template"

BOOK = """\
# Every key of a book

Made from the code (`python -m tests.reference`): every key that `relais rules check` takes, but for sources, which have
[a page of their own](../sources/reference.md). What the keys of a rule mean in full: [rules](../../rules/README.md);
what each destination can do: [destinations](../destinations/reference.md).
"""
ARGUMENTS = """\
# Every argument of every action

Made from the code (`python -m tests.reference`). The action is written `NAME.ACTION`, NAME being that of the
destination in the book; each value may be a template: `"{{ data.email }}"`. **needed** stands where the argument must
be there. An action beside which several kinds stand is the same for all of them.
"""


@functools.cache
def whole() -> json_schema.Schema:
    """Return the schema of a book, made once."""
    return json_schema.schema(catalogue.build())


def rows(model: Mapping[str, Any], before: str = "", *, skip: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield a row for each key of a model and of the models inside it: what it is, and whether it must be there."""
    for name, told in model.get("properties", {}).items():
        if name in skip:
            continue
        told = told if isinstance(told, dict) else {}
        about = " ".join(str(told.get("description", "")).split()).replace("|", "\\|")
        words = _words(told)
        listed = f" Words: {', '.join(f'`{word}`' for word in words)}." if words and "One of" not in about else ""
        needed = "**needed**" if name in model.get("required", ()) else _default(told)
        yield f"| `{before}{name}` | {about}{listed} | {needed} |"
        inner, several = _inner(told)
        if inner is not None and before.count(".") < 4:
            yield from rows(inner, f"{before}{name}{'[]' if several else ''}.")


def _words(told: Mapping[str, Any]) -> list[str]:
    found = told.get("enum") or [word for each in told.get("anyOf", ()) for word in each.get("enum", ())]
    return [word if isinstance(word, str) else json.dumps(word) for word in found]


def _default(told: Mapping[str, Any]) -> str:
    value = told.get("default")
    if value is None or value in ("", [], {}) or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _inner(told: Mapping[str, Any], *, several: bool = False) -> tuple[Mapping[str, Any] | None, bool]:
    """Return the model that a key holds, None if it holds none, and whether it is a list of them."""
    if "$ref" in told:
        name = told["$ref"].removeprefix("#/definitions/")
        if name == TEMPLATE or name.split(".")[0] in (
            "action",
            "pattern",
            "when",
            "look_up",
            "consent",
            "expected",
            "rule",
        ):
            return None, several
        return _inner(whole()["definitions"][name], several=several)
    if told.get("properties"):
        return told, several
    for part in [part for key in ("anyOf", "allOf", "oneOf") for part in told.get(key, ())]:
        found = _inner(part, several=several)
        if found[0] is not None:
            return found
    return _inner(told["items"], several=True) if isinstance(told.get("items"), dict) else (None, several)


def _table(head: str, found: Iterator[str]) -> list[str]:
    return [f"| {head} | | without it |", "|---|---|---|", *found, ""]


def book_page() -> str:
    """Return the page of the keys of a book."""
    schema = whole()
    kinds = {each["if"]["properties"]["kind"]["const"]: each["then"] for each in _choices("destinations")}
    common = set.intersection(*(set(kind["properties"]) for kind in kinds.values()))
    some = next(iter(kinds.values()))
    shared = {"properties": {name: some["properties"][name] for name in some["properties"] if name in common}}
    lines = [BOOK, "## At the top of a file", "", *_table("key", rows(_flat(schema)))]
    lines += ["## Every destination", "", *_table("key", rows(shared))]
    for name, kind in kinds.items():
        own = list(rows(kind, skip=frozenset(common)))
        if own:
            lines += [f"## Destination of kind {name}", "", *_table("key", iter(own))]
    for title, name in (("A rule", "rule"), ("A group of rules", "group"), ("A test", "test")):
        lines += [f"## {title}", "", *_table("key", rows(schema["definitions"][name]))]
    lines += ["## An action and a look-up", "", "Beside `NAME.ACTION` with its [arguments](arguments.md) stand:", ""]
    lines += _table("key of an action", rows(schema["definitions"]["action"]))
    lines += _table("key of a look-up", rows(schema["definitions"]["look_up"]))
    lines += _table("key of what a test expects", rows(schema["definitions"]["expected"]))
    lines += _table("key of a consent", rows(_flat(schema["definitions"]["consent"]["anyOf"][2])))
    return "\n".join(lines).rstrip() + "\n"


def _flat(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a model whose big keys, which have parts of their own on the page, are only named."""
    big = {"sources", "destinations", "rules", "tests", "defaults"}
    told = {
        name: {"description": each["description"]} if name in big else each
        for name, each in model["properties"].items()
    }
    return {**model, "properties": told}


def _choices(what: str) -> list[Mapping[str, Any]]:
    choices: list[Mapping[str, Any]] = whole()["properties"][what]["additionalProperties"]["allOf"]
    return choices


def arguments_page() -> str:
    """Return the page of the arguments of all actions; what several kinds share stands there once."""
    found: dict[tuple[str, str], list[str]] = {}
    for kind in catalogue.build().destinations.values():
        for action in kind.actions.values():
            model = whole()["definitions"][f"arguments.{kind.name}.{action.name}"]
            text = "\n".join(_table("argument", rows(model)))
            about = f"{action.about}\n\n{text}"
            found.setdefault((action.name, about), []).append(kind.name)
    lines = [ARGUMENTS]
    for (name, text), kinds in sorted(found.items(), key=lambda each: each[0][0]):
        lines += [f"## {name}: {', '.join(kinds)}", "", text]
    return "\n".join(lines).rstrip() + "\n"


def names() -> Iterator[tuple[str, str]]:
    """Yield each key of the schema that is somebody's to write, with the definition in which it stands."""
    wanted = ("source", "destination", "arguments", "verify", "rule", "group", "test", "expected", "alerts", "dedupe")
    for place, model in whole()["definitions"].items():
        if place.split(".")[0] in (*wanted, "action", "look_up"):
            yield from ((place, name) for name in model.get("properties", ()))
    for what in ("sources", "destinations"):
        for each in _choices(what):
            yield from ((what, name) for name in each["then"]["properties"])
    for name, model in whole()["properties"].items():
        yield "book", name
        yield from ((name, inner) for inner in model.get("properties", ()))
