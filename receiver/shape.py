"""The shape of what a source sends: the paths of its fields and the kinds of their values.

Comes in: bodies of events, one of each type and second. Goes out: what was seen, for the store. Never keeps a value:
names that may be values themselves, in an object that is keyed by addresses or numbers, become `*`. Never looks at a
body while its request waits.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from mailroom.shapes import TypeSample

#: Types and bytes that are looked at in one second, and the largest body among them.
MOST_SAMPLES, MOST_BYTES = 32, 262_144
#: Values of one body, levels, and elements of one list that are looked at.
MOST_VALUES, MOST_LEVELS, MOST_ELEMENTS = 2_000, 8, 20
#: An object with more names than this, in one body or over time, is keyed by values.
MOST_MEMBERS = 100
#: Types, and fields of all types, that one process knows of a source.
MOST_TYPES, MOST_FIELDS = 100, 2_000
#: Longer names are values, and so are those with as many digits: a date, a number of an order.
LONGEST_NAME, MOST_DIGITS = 60, 3
#: Seconds between two times that the same fields are written.
WRITE_EVERY = 60.0
#: A name in an object that is keyed by values.
ANY = "*"

KINDS = {str: "text", int: "number", float: "number", bool: "true/false", dict: "object", list: "list"}

#: Path and kind.
FieldKind = tuple[str, str]


class ShapeTally:
    """What was seen of the shapes since it was last written."""

    def __init__(self) -> None:
        #: Source and type -> the body of its latest event.
        self._waiting: dict[tuple[str, str], bytes] = {}
        self._seen: dict[str, dict[str, TypeSample]] = {}
        #: Source -> type -> fields that were seen in this process.
        self._known: dict[str, dict[str, set[FieldKind]]] = defaultdict(dict)
        #: Source, type and path of an object -> its names.
        self._members: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        #: Source -> how many names that are.
        self._names: Counter[str] = Counter()
        self._write_at = 0.0

    def sample(self, source: str, type: str, body: bytes) -> None:
        """Take a body to be looked at, if no later one of its type comes in the same second."""
        if len(body) <= MOST_BYTES and (len(self._waiting) < MOST_SAMPLES or (source, type) in self._waiting):
            self._waiting[source, type] = body

    async def look(self) -> None:
        """Look at what was taken, and let requests pass in between."""
        waiting, self._waiting = self._waiting, {}
        for (source, type), body in waiting.items():
            await asyncio.sleep(0)
            kept = fold_type(type)
            known = self._known[source]
            if kept not in known:
                if len(known) >= MOST_TYPES:
                    continue
                known[kept] = set()
                self._write_at = 0.0
            try:
                value = from_json(body)
            except ValueError:
                continue
            self._add(source, kept, set(self._walk(value, source, kept)))

    def _add(self, source: str, type: str, found: set[FieldKind]) -> None:
        types = self._known[source]
        known = types[type]
        new = found - known
        if new and sum(map(len, types.values())) + len(new) <= MOST_FIELDS:
            known |= new
            self._write_at = 0.0  # what is new is written at once
        sample = self._seen.setdefault(source, {}).setdefault(type, TypeSample())
        sample.n += 1
        for name in found & known:
            n, first, _ = sample.seen.get(name, (0, sample.n, 0))
            sample.seen[name] = (n + 1, first, sample.n)

    def take_due(self, *, last: bool = False) -> dict[str, dict[str, TypeSample]]:
        """Return what is to be written now: source -> type -> what was seen; `last`: all there is."""
        now = time.monotonic()
        if not self._seen or (now < self._write_at and not last):
            return {}
        self._write_at = now + WRITE_EVERY
        seen, self._seen = self._seen, {}
        return seen

    def _walk(self, value: Any, source: str, type: str) -> Iterator[FieldKind]:
        waiting: list[tuple[str, int, Any]] = [("", 0, value)]
        for _ in range(MOST_VALUES):
            if not waiting:
                return
            path, level, each = waiting.pop()
            if path:
                yield path, KINDS.get(each.__class__, "null")
            if level >= MOST_LEVELS:
                continue
            if each.__class__ is list:
                waiting.extend((f"{path}[]", level + 1, one) for one in each[:MOST_ELEMENTS])
            elif each.__class__ is dict:
                members = self._members[source, type, path]
                for name, inner in each.items():
                    kept = fold_name(name, inner, top=not path) if len(each) <= MOST_MEMBERS else ANY
                    if kept not in members:
                        kept = self._admit(source, kept, members)
                    waiting.append((f"{path}.{kept}" if path else kept, level + 1, inner))

    def _admit(self, source: str, name: str, members: set[str]) -> str:
        """Return a new name of an object, or `*` where it has too many, or its source."""
        if len(members) >= MOST_MEMBERS or self._names[source] >= MOST_FIELDS:
            name = ANY
        if name not in members:
            members.add(name)
            self._names[source] += 1
        return name


def fold_name(name: str, value: Any, *, top: bool) -> str:
    """Return the name of a field, or `*` where it may be a value: an address, a date, a number, somebody's name.

    A name with blanks is one that a person gave to a field of a form where it stands at the top and holds no object.
    """
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "@" in name or "%40" in name:
        return ANY
    if name.isdigit() or sum(map(str.isdigit, name)) > MOST_DIGITS:
        return ANY
    if any(map(str.isspace, name)) and (not top or value.__class__ in (dict, list)):
        return ANY
    return name


def fold_type(type: str) -> str:
    """Return a type without parts that may be values."""
    return ".".join(fold_name(part, None, top=True) for part in type.split("."))
