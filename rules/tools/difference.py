"""What one book does otherwise than another, in words.

Comes in: the files of two books. Goes out: the sources, destinations, rules and tests that came, went or changed, each
with the sentences that say how. Never compiles a book, so that one with errors can be compared; and never shows what is
written about how a system is reached or verified, since a secret may stand there.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from rules.compiler import loader
from rules.matching import pattern as patterns
from rules.matching.field_types import FieldScope
from rules.source.finding import Finding

#: Keys of sources, destinations and alerts whose values are no secret and are shown.
SHOWN: Final = frozenset(
    {
        *(
            "kind",
            "limit",
            "concurrency",
            "breaker",
            "timeout",
            "pool",
            "retain",
            "api",
            "on_invalid",
            "same_id",
            "dedupe",
            "country",
        ),
        *("echoes", "echo_within"),
    }
)
#: Sections whose values are shown as they are.
OPEN: Final = frozenset({"rules", "tests", "vars", "defaults", "country", "business_hours"})
#: The parts of a rule that are conditions.
CONDITIONS: Final = ("when", "unless")
#: Characters of a value that are shown.
LONGEST: Final = 120


@dataclass(frozen=True)
class Change:
    """One thing that came, went or changed."""

    #: `rule`, `source`, `destination`, `test`, `var`, or another section.
    kind: str
    name: str
    #: added, removed, changed, moved.
    what: str
    #: How it changed, a sentence each.
    lines: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def compare(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Change, ...]:
    """Return what the new files say otherwise than the old ones."""
    before, after = loader.parse(old), loader.parse(new)
    sections = [*dict.fromkeys((*before, *after))]
    return tuple(
        change for section in sections for change in _section(section, before.get(section, {}), after.get(section, {}))
    )


def _section(section: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    kind = section.removesuffix("s") if section in ("sources", "destinations", "rules", "tests", "vars") else section
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield Change(kind, name, "removed")
        elif name not in before:
            yield Change(kind, name, "added")
        elif before[name] != after[name]:
            yield Change(kind, name, "changed", tuple(_lines(section, before[name], after[name])))
    if section == "rules":
        yield from _moved([name for name in before if name in after], [name for name in after if name in before])


def _moved(before: list[str], after: list[str]) -> Iterator[Change]:
    """Yield each rule that stands behind another one than before, apart from those that moved before it."""
    remaining = list(before)
    for name in after:
        if remaining[0] != name:
            yield Change("rule", name, "moved", (f'stands before "{remaining[0]}" now',))
        remaining.remove(name)


def _lines(section: str, before: Any, after: Any) -> Iterator[str]:
    if section == "rules":
        yield from _rule(before, after)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in _changed(before, after):
            shown = section in OPEN or key in SHOWN
            yield _value(key, before.get(key), after.get(key)) if shown else f"{key} is another"
    else:
        yield _value("it", before, after) if section in OPEN else "it is another"


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]


def _value(name: str, before: Any, after: Any) -> str:
    if after is None:
        return f"{name} is gone (was {_short(before)})"
    return f"{name} is {_short(after)}" + (f" (was {_short(before)})" if before is not None else ", and was not there")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


# Rules. --------------------------------------------------------------------------------------------------------------


def _rule(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key in _changed(before, after):
        old, new = before.get(key), after.get(key)
        if key in CONDITIONS:
            yield from _conditions(key, old or {}, new or {})
        elif key == "then":
            yield from _actions(old, new)
        elif key == "mode":
            if "observe" in (old, new):
                yield "is only observed now, and sends nothing" if new == "observe" else "is no longer only observed"
        else:
            yield _value(key, old, new)


def _conditions(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    word = "asks" if key == "when" else "is held back where"
    for path in _changed(before, after):
        if path not in after:
            yield f"no longer {word} {_says(path, before[path])}"
        elif path not in before:
            yield f"also {word} {_says(path, after[path])}"
        else:
            yield f"{word} {_says(path, after[path])} (before: {_says(path, before[path])})"


def _says(path: str, asked: Any) -> str:
    """Return a condition in words; as it is written, where it refers to what only its own book knows."""
    findings: list[Finding] = []
    said = patterns.compile_pattern({path: asked}, FieldScope(), findings).says
    return said if not any(each.severity == "error" for each in findings) else f"{path}: {_short(asked)}"


def _actions(before: Any, after: Any) -> Iterator[str]:
    old, new = _by_action(before), _by_action(after)
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            yield f"no longer sends {name}"
        elif name not in old:
            yield f"also sends {name}"
        elif old[name] != new[name]:
            yield from (f"{name}: {line}" for line in _action(old[name], new[name]))
    if list(old) != list(new) and sorted(old) == sorted(new):
        yield f"sends in another order: {', '.join(new)}"


def _by_action(then: Any) -> dict[str, Mapping[str, Any]]:
    """Return the entries under `then:` or `next:` by action; a second one of a name gets a number."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in then if isinstance(then, list) else ():
        name = next((key for key in entry if "." in key), "?")
        twins = sum(each.split(" ")[0] == name for each in found)
        found[f"{name} ({twins + 1})" if twins else name] = entry
    return found


def _action(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key in _changed(before, after):
        old, new = before.get(key), after.get(key)
        if key == "next":
            yield from (f"then {line}" for line in _actions(old, new))
        elif key == "only_if":
            yield from _conditions("when", old or {}, new or {})
        else:
            yield from (
                _value(name, (old or {}).get(name), (new or {}).get(name)) for name in _changed(old or {}, new or {})
            )
