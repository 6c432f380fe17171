"""The shapes of what sources send: which fields of which kinds a type has, since when, and what has changed in it.

Comes in: what receivers saw in samples, or the store. Goes out: the fields of each type, changes. Paths of fields and
kinds of values only, never a value. Never grows without end: a source has at most so many names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mailroom.client import MailroomClient

DAY = 86_400_000  # ms
#: Days after its last event that the shape of a source is forgotten: some send once a year.
KEEPS = 400
#: Names (field and kind) that are kept of one source.
MOST_NAMES = 2_000
#: Samples of a type that teach what is usual, and samples without a field after which it is gone.
ENOUGH = 10
#: A field was mostly there if it was in this part of the samples.
MOSTLY = 0.9

#: Kind of a JSON value: text, number, true/false, null, list, object.
Kind = str
Path = str
What = Literal["new type", "new field", "gone", "other kind"]


@dataclass
class TypeSample:
    """What a receiver saw of one type since it last wrote it down."""

    n: int = 0
    #: Field and kind -> in how many samples it was, and the numbers of the first and the last one.
    seen: dict[tuple[Path, Kind], tuple[int, int, int]] = field(default_factory=dict)

    def merge(self, later: "TypeSample") -> None:
        """Add what was seen after this."""
        for name, (n, first, last) in later.seen.items():
            before, begins, _ = self.seen.get(name, (0, self.n + first, 0))
            self.seen[name] = (before + n, begins, self.n + last)
        self.n += later.n


@dataclass(frozen=True)
class Sighting:
    """When something was seen: the first and the last time, each in ms and as the number of the sample."""

    n: int
    first: int
    first_number: int
    last: int
    last_number: int


@dataclass
class TypeShape:
    """What is known of one type."""

    n: int = 0
    fields: dict[Path, dict[Kind, Sighting]] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """When the first sample of it was taken, ms."""
        return min((each.first for kinds in self.fields.values() for each in kinds.values()), default=0)

    @property
    def last(self) -> int:
        """When the last one was."""
        return max((each.last for kinds in self.fields.values() for each in kinds.values()), default=0)


@dataclass(frozen=True)
class SourceShape:
    """What is known of one source."""

    types: Mapping[str, TypeShape] = field(default_factory=dict)
    #: When a person accepted what it sends, ms; 0: never.
    accepted: int = 0
    #: How often a name was seen that is not kept, because there are too many.
    left_out: int = 0


@dataclass(frozen=True)
class ShapeChange:
    """Something that is not as it was."""

    what: What
    type: str
    #: Empty for a type.
    path: Path
    #: `text, now number`; `in 98 % once, not in the last 120`.
    says: str
    #: ms.
    first: int
    last: int


async def write(mailroom: MailroomClient, source: str, samples: Mapping[str, TypeSample], at: int) -> None:
    """Add what was seen of a source; `at`: ms. Raises StoreUnavailable."""
    key = mailroom.key(f"shape:{source}")
    names = [f"{type}|{kind}|{path}" for type, its in samples.items() for path, kind in its.seen]
    pipe = mailroom.store.pipeline(transaction=False)
    pipe.hlen(key)
    pipe.hmget(key, [f"n|{name}" for name in names] or ["n"])
    for type, its in samples.items():
        pipe.hincrby(key, f"of|{type}", its.n)
    pipe.expire(key, KEEPS * DAY // 1000)
    size, known, *totals, _ = await mailroom.read(pipe.execute())
    there = {name for name, n in zip(names, known, strict=False) if n is not None}
    free = MOST_NAMES - int(size) // 3
    for (type, its), total in zip(samples.items(), totals, strict=True):
        before = int(total) - its.n
        for (path, kind), (n, first, last) in its.seen.items():
            name = f"{type}|{kind}|{path}"
            if name not in there and (free := free - 1) < 0:
                pipe.hincrby(key, "left_out", n)
                continue
            pipe.hincrby(key, f"n|{name}", n)
            pipe.hsetnx(key, f"first|{name}", f"{at} {before + first}")
            pipe.hset(key, f"last|{name}", f"{at} {before + last}")
    await mailroom.read(pipe.execute())


async def read(mailroom: MailroomClient, source: str) -> SourceShape:
    """Return what is known of a source. Raises StoreUnavailable."""
    stored = await mailroom.read(mailroom.store.hgetall(mailroom.key(f"shape:{source}")))
    found = {name.decode(): value.decode() for name, value in stored.items()}
    types: dict[str, TypeShape] = {}
    for name, value in found.items():
        word, _, rest = name.partition("|")
        if word == "of":
            types.setdefault(rest, TypeShape()).n = int(value)
        elif word == "n" and f"last|{rest}" in found:
            type, kind, path = rest.split("|", 2)
            times = (*found[f"first|{rest}"].split(), *found[f"last|{rest}"].split())
            seen = Sighting(int(value), *map(int, times))
            types.setdefault(type, TypeShape()).fields.setdefault(path, {})[kind] = seen
    return SourceShape(types, int(found.get("accepted", 0)), int(found.get("left_out", 0)))


async def accept(mailroom: MailroomClient, source: str, at: int) -> int:
    """Take what a source sends now as usual, ms; return how many changes that ends. Raises StoreUnavailable."""
    key = mailroom.key(f"shape:{source}")
    shape = await read(mailroom, source)
    changes = list(find_changes(shape))
    gone = [
        f"{word}|{change.type}|{kind}|{path}"
        for change in changes
        if change.what == "gone"
        for path, kinds in shape.types[change.type].fields.items()
        if path == change.path or _is_below(path, change.path)
        for kind in kinds
        for word in ("n", "first", "last")
    ]
    if not shape.types:
        return 0
    pipe = mailroom.store.pipeline(transaction=False)
    if gone:
        pipe.hdel(key, *gone)
    pipe.hset(key, "accepted", str(at))
    await mailroom.read(pipe.execute())
    return len(changes)


def find_changes(shape: SourceShape) -> Iterator[ShapeChange]:
    """Yield what is not as it was when a person accepted it, or else in the first samples; of fields the outermost."""
    began = min((its.first for its in shape.types.values() if its.fields), default=0)
    for type, its in sorted(shape.types.items()):
        if its.first > (shape.accepted or began + DAY):
            yield ShapeChange("new type", type, "", f"{its.n} samples", its.first, its.last)
        else:
            found = list(_find_in_type(type, its, shape.accepted))
            for one in found:
                if not any(one.what == other.what and _is_below(one.path, other.path) for other in found):
                    yield one


def _find_in_type(type: str, its: TypeShape, accepted: int) -> Iterator[ShapeChange]:
    for path, kinds in sorted(its.fields.items()):
        new = {kind for kind, seen in kinds.items() if _is_new(seen, accepted)}
        first = min(seen.first for seen in kinds.values())
        last = max(seen.last for seen in kinds.values())
        if len(new) == len(kinds):
            yield ShapeChange("new field", type, path, ", ".join(sorted(kinds)), first, last)
        elif (came := new - {"null"}) and (before := sorted(kinds.keys() - new - {"null"})):
            since = min(kinds[kind].first for kind in came)
            until = max(kinds[kind].last for kind in came)
            says = f"{', '.join(before)}, now {', '.join(sorted(came))}"
            yield ShapeChange("other kind", type, path, says, since, until)
        if gone := _find_gone(its, kinds, accepted):
            yield ShapeChange("gone", type, path, gone, first, max(s.last for k, s in kinds.items() if k != "null"))


def _is_new(seen: Sighting, accepted: int) -> bool:
    return seen.first > accepted if accepted else seen.first_number > ENOUGH


def _find_gone(its: TypeShape, kinds: Mapping[Kind, Sighting], accepted: int) -> str:
    """Return in words that a field which was mostly there is missing, or null; empty: it is not."""
    filled = [seen for kind, seen in kinds.items() if kind != "null"]
    if not filled:
        return ""
    n, last = sum(seen.n for seen in filled), max(seen.last_number for seen in filled)
    share = min(1.0, n / max(1, last - min(seen.first_number for seen in filled) + 1))
    without = its.n - last
    if n < ENOUGH or share < MOSTLY or without < ENOUGH or max(seen.last for seen in filled) <= accepted:
        return ""
    return f"in {share:.0%} once, not in the last {without}"


def _is_below(path: Path, other: Path) -> bool:
    return path.startswith((f"{other}.", f"{other}[]"))
