"""The tables of what exists, made from the code: `python -m tests.reference` writes them into README and docs.

Comes in: a Catalogue, the presets. Goes out: the lines of the tables. Never touches another part of a page.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from console import catalogue, starter_book
from console.render import abilities
from receiver import payload, presets
from rules.catalogue import Catalogue
from rules.compiler import json_schema, loader
from rules.compiler.systems_section import SourceKeys
from rules.rulebook import Rulebook
from rules.source.units import DAY, DURATION, HOUR, MINUTE, SECOND
from rules.tools import testing
from tests import manual
from tests.kept import kept_table
from workers.destinations.contacts import CRM_ACTIONS
from workers.destinations.invoices import INVOICING_ACTIONS

README = Path(__file__).parents[1] / "README.md"
GENERIC = Path(__file__).parents[1] / "docs" / "sources" / "generic.md"
REFERENCE = Path(__file__).parents[1] / "docs" / "destinations" / "reference.md"
MATRIX = Path(__file__).parents[1] / "docs" / "starter-book.md"
KEPT = Path(__file__).parents[1] / "docs" / "data-kept.md"
SOURCES = Path(__file__).parents[1] / "docs" / "sources" / "reference.md"
#: What every source may say, and what stands for some of it.
SOURCE_KEYS = frozenset(SourceKeys.model_fields) | {"preset"}
UNITS = (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND))


def sources_table(everything: Catalogue) -> list[str]:
    """Return the table of the kinds of sources."""
    rows = [f"| `{kind.name}` | {kind.about} |" for kind in everything.sources.values()]
    return ["| kind | |", "|---|---|", *rows]


def destinations_table(everything: Catalogue) -> list[str]:
    """Return the table of the kinds of destinations, with their actions."""
    rows = [
        f"| `{kind.name}` | {kind.about} | {', '.join(f'`{action}`' for action in kind.actions)} |"
        for kind in everything.destinations.values()
    ]
    return ["| kind | | actions and look-ups |", "|---|---|---|", *rows]


def abilities_table(everything: Catalogue) -> list[str]:
    """Return the table of who can what, and what becomes of a delivery whose answer was lost."""
    kinds = everything.destinations.values()
    rows = [f"| `{name}` | {' | '.join(cells)} |" for name, cells in abilities.list_rows(list(kinds))]
    return [f"| action | {' | '.join(f'`{kind.name}`' for kind in kinds)} |", "|---" * (len(kinds) + 1) + "|", *rows]


def shared_table(_: Catalogue) -> list[str]:
    """Return the table of the shared actions: what each takes, and by which names it finds what it writes."""
    rows = []
    for action in (*CRM_ACTIONS, *INVOICING_ACTIONS):
        fields = action.arguments.model_fields
        told = ", ".join(f"**{name}**" if field.is_required() else name for name, field in fields.items())
        rows.append(f"| `{action.name}` | {action.about} | {told} | {action.touches_about} | {action.once_by_about} |")
    return ["| shared action | | arguments | touches | once by |", "|---|---|---|---|---|", *rows]


def needs_table(everything: Catalogue) -> list[str]:
    """Return the table of what an action needs at the vendor, of its limits, and of what it does not write."""
    rows = []
    for kind in everything.destinations.values():
        for action in kind.actions.values():
            refused = "; ".join(f"`{name}`: {why}" for name, why in action.refuses.items())
            if action.rights or action.limits or refused:
                rows.append(f"| `{kind.name}.{action.name}` | {action.rights} | {action.limits} | {refused} |")
    return ["| action | rights | limits | does not write |", "|---|---|---|---|", *rows]


def cannot_table(everything: Catalogue) -> list[str]:
    """Return the table of what kinds cannot do, and why."""
    rows = [
        f"| `{kind.name}` | {', '.join(f'`{name}`' for name, each in kind.cannot.items() if each == why)} | {why}. |"
        for kind in everything.destinations.values()
        for why in dict.fromkeys(kind.cannot.values())
    ]
    return ["| kind | cannot | why |", "|---|---|---|", *rows]


def matrix_table(everything: Catalogue) -> list[str]:
    """Return what the starter book's own tests expect of each event, destination by destination."""
    book = loader.load(starter_book.starter(), everything)
    asked = list_tested(book)
    owners = [name for name in book.destinations if name != "sd_nord_api"]
    own = {(kind, type_) for kind, type_, _, _ in asked}
    rows = []
    for kind in everything.sources.values():
        for type_ in sorted(kind.types | {each for name, each in own if name == kind.name}):
            told = {
                (owner, action) for a_kind, a_type, owner, action in asked if (a_kind, a_type) == (kind.name, type_)
            }
            cells = [", ".join(f"`{action}`" for name, action in sorted(told) if name == owner) for owner in owners]
            rows.append(f"| `{kind.name}` | `{type_}` | {' | '.join(cells)} |")
    head = "| source | event | " + " | ".join(f"`{owner}`" for owner in owners) + " |"
    return [head, "|---" * (len(owners) + 2) + "|", *rows]


def list_tested(book: Rulebook) -> set[tuple[str, str, str, str]]:
    """Return kind of source, type, destination and action of each action that a test of a book expects."""
    found = set()
    for test in book.tests:
        kind = book.sources[test.given.source].kind
        types = {event.type for event in testing.events_of(book, starter_book.starter(), payload.read_payload, test)}
        expected = list(test.expect)
        while expected:
            one = expected.pop()
            expected += one.next or ()
            found |= {(kind, type_, one.destination, one.action) for type_ in types}
    return found


def presets_table(everything: Catalogue) -> list[str]:
    """Return the table of the presets: what is known of each platform, and by which pages."""
    rows = [
        f"| `{name}` | {preset.about} {' '.join(f'<{page}>' for page in preset.pages)} | {preset.documented} | "
        f"{preset.inferred} | {preset.unknown} |"
        for name, preset in presets.read_presets().items()
    ]
    return ["| preset | | documented | inferred | unknown |", "|---|---|---|---|---|", *rows]


def verify_table(everything: Catalogue) -> list[str]:
    """Return the table of all keys of `verify:`."""
    whole = json_schema.schema(everything)
    rows = list_keys(whole["definitions"]["verify"], whole["definitions"])
    return ["| key of `verify:` | | default |", "|---|---|---|", *rows]


def generic_table(everything: Catalogue) -> list[str]:
    """Return the table of all keys of a generic source beside those that every source has."""
    return ["| key of a generic source | | default |", "|---|---|---|", *list_own_keys(everything, "generic")]


def kinds_table(everything: Catalogue) -> list[str]:
    """Return the table of the keys that only some kinds have."""
    rows = [
        row.replace("| `", f"| {name} | `", 1)
        for name in everything.sources
        if name != "generic"
        for row in list_own_keys(everything, name)
    ]
    return ["| kind | key | | default |", "|---|---|---|---|", *rows]


def every_table(everything: Catalogue) -> list[str]:
    """Return the table of the keys that every source has."""
    whole = json_schema.schema(everything)
    common = {name: told for name, told in _keys_of(whole, "generic").items() if name in SOURCE_KEYS}
    rows = list_keys({"properties": {**common, "verify": {"description": "See above."}}}, whole["definitions"])
    return ["| key of every source | | default |", "|---|---|---|", *rows]


def written_table(everything: Catalogue) -> list[str]:
    """Return the table of what each preset stands for, key by key."""
    rows = [
        f"| `{name}` | {'; '.join(f'`{key}: {value}`' for key, value in _flatten(preset.source))} |"
        for name, preset in presets.read_presets().items()
    ]
    return ["| `preset:` | stands for |", "|---|---|", *rows]


def list_own_keys(everything: Catalogue, kind: str) -> list[str]:
    """Return the rows of the keys of a kind beside those that every source has."""
    whole = json_schema.schema(everything)
    own = {name: told for name, told in _keys_of(whole, kind).items() if name not in SOURCE_KEYS}
    return list_keys({"properties": own}, whole["definitions"])


def _keys_of(whole: json_schema.Schema, kind: str) -> dict[str, Any]:
    choices = whole["properties"]["sources"]["additionalProperties"]["allOf"]
    found = next(each for each in choices if each["if"]["properties"]["kind"]["const"] == kind)
    keys: dict[str, Any] = found["then"]["properties"]
    return keys


def list_keys(model: Mapping[str, Any], definitions: Mapping[str, Any], before: str = "") -> list[str]:
    """Return a row for each key of a model, and for those of the models inside: what it is, and what counts without."""
    rows = []
    for name, told in model["properties"].items():
        about = str(told.get("description", "")).replace("|", "\\|")
        words = " Words: " + ", ".join(f"`{word}`" for word in told["enum"]) + "." if "enum" in told else ""
        default = "**needed**" if name in model.get("required", ()) else _say_default(told)
        rows.append(f"| `{before}{name}` | {about}{words} | {default} |")
        inner = _find_model(told, definitions)
        if inner is not None:
            rows += list_keys(inner, definitions, f"{before}{name}.")
    return rows


def _find_model(told: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the model that a key holds, if it holds one."""
    if not isinstance(told, dict):
        return None
    if "$ref" in told:
        found: Mapping[str, Any] = definitions[told["$ref"].removeprefix("#/definitions/")]
        return found if found.get("properties") else None
    parts = [part for key in ("anyOf", "allOf") for part in told.get(key, ())]
    return next((inner for part in parts if (inner := _find_model(part, definitions)) is not None), None)


def _say_default(told: Mapping[str, Any]) -> str:
    """Return what counts without a key, as a book would write it; empty: nothing does."""
    value = told.get("default")
    if value is None or value in ("", [], {}) or (isinstance(value, dict) and "limit" not in value):
        return ""
    if DURATION in str(told) and isinstance(value, int):
        unit, size = next(((unit, size) for unit, size in UNITS if value % size == 0), ("ms", 1))
        return f"`{value // size}{unit}`" if value else "`0`"
    return f"`{value['limit'] if isinstance(value, dict) else json.dumps(value)}`"


def _flatten(source: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in source.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value if isinstance(value, str) else json.dumps(value)


def find(lines: Sequence[str], head: str) -> tuple[int, int]:
    """Return where the table with this head begins and where it ends; a head may have got another column."""
    first = head[: head.index("|", 1) + 1]
    start = next((at for at, line in enumerate(lines) if line == head), None)
    if start is None:
        start = next(at for at, line in enumerate(lines) if line.startswith(first))
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return start, end


#: Each table with the page on which it stands.
TABLES = (
    (sources_table, README),
    (destinations_table, README),
    (presets_table, GENERIC),
    (abilities_table, REFERENCE),
    (shared_table, REFERENCE),
    (needs_table, REFERENCE),
    (cannot_table, REFERENCE),
    (matrix_table, MATRIX),
    (verify_table, SOURCES),
    (every_table, SOURCES),
    (generic_table, SOURCES),
    (kinds_table, SOURCES),
    (written_table, SOURCES),
    (kept_table, KEPT),
)


def main() -> None:
    """Write each table into its page, and the pages that are made whole."""
    for page, text in manual.PAGES.items():
        page.write_text(text(), encoding="utf-8")
    for make, page in TABLES:
        lines, table = page.read_text().splitlines(), make(catalogue.build())
        start, end = find(lines, table[0])
        lines[start:end] = table
        page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
