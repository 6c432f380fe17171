"""Which object at a vendor a delivery is about.

Comes in: the names of an action, and how one kind of object is searched and read at a vendor. Goes out: the object that
has these names, or none; what the id map learns. Never writes at a vendor, never takes a hit that does not show the
name, never chooses between two people; what it says of them are ids of the vendor, no values.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rules import addresses
from rules.catalogue import Name
from workers.destinations.base import Attempt, Memory
from workers.outcome import Failed

#: Seconds for which the id map is believed, counted from when the object was last seen with the name. Later it is read.
BELIEVED = 600
#: Names of one object that the store takes.
MOST_NAMES = 8
#: Hits of a search that are read one by one because the search leaves out the field that it was asked for.
MOST_READ = 5
#: So often a vendor may say that an object exists which its search does not show; then a person looks.
MOST_UNSEEN = 3
#: Days that this is counted. The last of our waits is half a day.
UNSEEN_DAYS = 7
#: Seconds until the next search after a vendor said that an object exists.
SHORTEST_LAG = 1.0


@dataclass
class FoundObject:
    """An object of a vendor."""

    id: str
    #: As it was read; None: the id map was believed, and nothing was asked.
    record: Any = None
    #: Those of the names that it has.
    names: set[Name] = field(default_factory=set)
    #: The id map did not name it for one of them.
    news: bool = False


class VendorObjects(Protocol):
    """One kind of object at one vendor: how it is searched, read and compared."""

    #: In the id map and in hints: contact, customer, invoice.
    kind: str
    #: Kinds of names that a search takes.
    searched: frozenset[str]
    #: A hit that does not show the field that was searched is believed.
    trust_search: bool
    #: Seconds until a search finds what was just created.
    find_lag: float

    async def search(self, name: Name) -> Sequence[FoundObject]:
        """Return what their search finds, be it fuzzy."""

    async def read(self, id: str) -> FoundObject | None:
        """Return an object, or the one that the vendor names as its successor. None: gone, or not in use any more."""

    def values(self, record: Any, kind: str) -> Sequence[Any] | None:
        """Return what an object shows as its names of a kind. None: it does not have that field at all."""

    def explain_unreadable(self, kind: str) -> str:
        """Return what to do where neither a hit nor the object itself has the field that was searched."""

    def narrow(self, found: Sequence[FoundObject]) -> Sequence[FoundObject]:
        """Return which of several objects with one name are meant; all: that is a person's to say."""
        return found


def same_id(theirs: Any, ours: str) -> bool:
    """Tell whether an id is ours, as exact text: 12 and "12" are one, `ab` and `AB` are not."""
    return isinstance(theirs, str | int) and not isinstance(theirs, bool) and str(theirs).strip() == ours


def equals(name: Name, theirs: Any) -> bool:
    """Tell whether their value is this name, as its kind is compared. Absent, null and empty equal nothing."""
    if name.kind == "email":
        return isinstance(theirs, str) and addresses.same_email(theirs, name.value)
    if name.kind == "phone":
        text = str(theirs) if isinstance(theirs, str | int) and not isinstance(theirs, bool) else ""
        return bool(text.strip()) and addresses.same_phone(text, name.value)
    return bool(name.value) and same_id(theirs, name.value)


async def count_existing(memory: Memory, delivery: Attempt, kind: str, status: int, *, find_lag: float = 0.0) -> Failed:
    """Return the failure of a create that was refused because the object exists, although no search showed it.

    The next attempt searches again; after three of them a person looks.
    """
    mark = f"unseen:{kind}:{delivery.id}"
    times = int(await memory.get(mark) or 0) + 1
    if times >= MOST_UNSEEN:
        await memory.set(mark, "", 1)
        hint = "they say it exists, their search does not show it"
        return Failed("transient", "exists_unseen", status=status, hint=hint)
    await memory.set(mark, str(times), UNSEEN_DAYS)
    hint = "they say it exists; the next attempt searches again"
    return Failed("transient", "exists_already", wait=max(find_lag, SHORTEST_LAG), status=status, hint=hint)


class ObjectFinder:
    """Finds objects of one kind for one delivery, and keeps the id map.

    `believed`: seconds for which the id map is enough; 0 where the object is needed as it stands now. `prefix`: what
    tells names in the id map apart from those of another kind of object at the same destination.
    """

    def __init__(
        self,
        objects: VendorObjects,
        memory: Memory,
        delivery: Attempt,
        *,
        believed: int = BELIEVED,
        prefix: str = "",
    ) -> None:
        self._objects = objects
        self._memory = memory
        self._delivery = delivery
        self._believed = believed
        self._prefix = prefix

    async def find(self, names: Sequence[Name]) -> FoundObject | None:
        """Return the one object that has these names, None if there is none. Raises Failed."""
        objects, having = await self._gather(names, self._believed)
        if len(objects) > 1 and any(each.record is None for each in objects.values()):
            objects, having = await self._gather(names, 0)  # Nobody is asked about what is only believed.
        if not objects:
            return None
        sets = [set(ids) for ids in having.values() if ids]
        fits = set.intersection(*sets)
        several = self._objects.narrow([each for id, each in objects.items() if id in fits])
        if len(several) == 1:
            return several[0]
        raise self.fail_several(several) if several else self._fail_two(having)

    async def find_or_create(
        self, names: Sequence[Name], make: Callable[[], Awaitable[FoundObject]], given: Sequence[Name]
    ) -> tuple[FoundObject, bool]:
        """Return the one object that has these names, and whether it was made; ready to get something.

        `make` creates it, or returns the one that stood in its way (`news`). `given`: the names that a new one has.
        """
        found, created = await self.find(names), False
        if found is None:
            found = await make()
            created = not found.news
        if created:
            await self.learn(given, found.id)
        elif found.news:
            await self.meet(found)
            await self.learn(names, found.id)
        return found, created

    async def find_all(self, names: Sequence[Name]) -> list[FoundObject]:
        """Return every object that has one of these names: the id map says which one was meant, not that it is alone.

        For what must reach all of them, such as a consent that is withdrawn.
        """
        objects, _ = await self._gather(names, 0, alone=False)
        return list(objects.values())

    async def meet(self, *found: FoundObject) -> None:
        """Say which objects were found, before the first write to them. A warm id map has nothing to say."""
        if self._prefix:
            return  # Names that only the id map has: no other delivery stands under them.
        for each in found:
            if each.news:
                names = list(dict.fromkeys([*sorted(each.names), *self._strong_names(each)]))[:MOST_NAMES]
                await self._delivery.meet([self._key(name) for name in names], self._objects.kind, each.id)

    async def learn(self, names: Sequence[Name], id: str, *, gone: Sequence[Name] = ()) -> None:
        """Remember by which names an object is found, and by which no longer. After a create: before anything else."""
        kept = [self._key(name) for name in names]
        lost = [key for key in map(self._key, gone) if key not in kept]
        if kept or lost:
            await self._memory.learn(kept, self._objects.kind, id, gone=lost)

    async def forget(self, found: FoundObject) -> None:
        """An object turned out to be gone: remember nothing of it."""
        await self._memory.forget_names([self._key(name) for name in found.names])

    async def find_existing(self, names: Sequence[Name], id: str | None, status: int) -> FoundObject:
        """A create was refused because the object exists: return the one that the refusal names, if it is ours.

        Else raises Failed: the next attempt searches again, and after three of them a person looks.
        """
        found = await self._objects.read(id) if id is not None else None
        if found is not None and (fits := [name for name in names if self._shows(found, name)]):
            found.names.update(fits)
            found.news = True
            return found
        raise await count_existing(
            self._memory, self._delivery, self._objects.kind, status, find_lag=self._objects.find_lag
        )

    def fail_several(self, found: Sequence[FoundObject]) -> Failed:
        """Return the failure of one name that several objects have."""
        names = {name for each in found for name in each.names}
        what = " and ".join(sorted({_called(name) for name in names}))
        return Failed(
            "transient",
            "several_objects",
            hint=f"{what} is at {self._objects.kind}s {_listed([each.id for each in found])}: "
            "merge them there, then release",
        )

    def _fail_two(self, having: Mapping[Name, Sequence[str]]) -> Failed:
        kind = self._objects.kind
        told = [f"{_called(name)} is {kind} {_listed(ids)}" for name, ids in having.items() if ids]
        return Failed(
            "transient", "two_objects", hint=f"{', '.join(told)}: nothing was written; mend it there, then release"
        )

    async def _gather(
        self, names: Sequence[Name], believed: int, *, alone: bool = True
    ) -> tuple[dict[str, FoundObject], dict[Name, list[str]]]:
        """Return the objects by their ids, and which of them have which name: of the id map, then of searches.

        `alone`: an object that shows a name is enough, and the name is not searched.
        """
        objects: dict[str, FoundObject] = {}
        having: dict[Name, list[str]] = {name: [] for name in names}
        for id, hinted in (await self._hints(having)).items():
            if (known := await self._confirm(id, hinted, believed)) is not None:
                objects.setdefault(known.id, known).names |= known.names
                for name in known.names:
                    having[name].append(known.id)
        for name, ids in having.items():
            if alone and not ids:
                ids += [each.id for each in objects.values() if self._shows(each, name)]
            if name.kind in self._objects.searched and not (alone and ids):
                for hit in await self._search(name):
                    known = objects.setdefault(hit.id, hit)
                    known.record = known.record if known.record is not None else hit.record
                    ids += [hit.id] if hit.id not in ids else []
            for id in ids:
                if name not in objects[id].names:
                    objects[id].names.add(name)
                    objects[id].news = True
        return objects, having

    async def _hints(self, names: Collection[Name]) -> dict[str, dict[Name, int]]:
        """Return the ids that the id map knows, each with its names and how long ago it was seen with them."""
        known = await self._memory.ids([self._key(name) for name in names])
        hints: dict[str, dict[Name, int]] = {}
        for name in names:
            if (hint := known.get(self._key(name))) is not None:
                id, age = hint
                hints.setdefault(id, {})[name] = age
        return hints

    async def _confirm(self, id: str, hinted: Mapping[Name, int], believed: int) -> FoundObject | None:
        """Return the object that the id map names, with those of the names that it still has; the others are forgotten.

        One request, in place of the searches; none for what was seen just now.
        """
        if believed and max(hinted.values()) <= believed:
            return FoundObject(id, names=set(hinted))
        found = await self._objects.read(id)
        if found is not None:
            found.names = {name for name in hinted if self._shows(found, name) or self._cannot_show(found, name)}
            found.news = found.id != id  # A successor: the id map named the one before.
        has = found.names if found is not None and found.id == id else set()
        await self.learn(sorted(has), id, gone=sorted(hinted.keys() - has))
        return found if found is not None and found.names else None

    def _cannot_show(self, found: FoundObject, name: Name) -> bool:
        """Tell whether nothing but the id map can know a name: objects do not have it, and searches do not take it."""
        return name.kind not in self._objects.searched and self._objects.values(found.record, name.kind) is None

    async def _search(self, name: Name) -> list[FoundObject]:
        """Return the objects that their search finds and that have the name indeed."""
        hits = await self._objects.search(name)
        found = [hit for hit in hits if self._shows(hit, name)]
        blind = [hit for hit in hits if self._objects.values(hit.record, name.kind) is None]
        if not blind or self._objects.trust_search:
            return found + blind
        if len(blind) > MOST_READ:
            raise self._fail_unreadable(name)
        for hit in blind:
            whole = await self._objects.read(hit.id)
            if whole is None:
                continue
            if self._objects.values(whole.record, name.kind) is None:
                raise self._fail_unreadable(name)
            if self._shows(whole, name):
                found.append(whole)
        return found

    def _fail_unreadable(self, name: Name) -> Failed:
        return Failed("permanent", "search_unreadable", hint=self._objects.explain_unreadable(name.kind))

    def _strong_names(self, found: FoundObject) -> list[Name]:
        """Return the names that an object shows; a number is none, colleagues share it."""
        names = []
        for kind in sorted(self._objects.searched - {"phone"}):
            for value in (None if found.record is None else self._objects.values(found.record, kind)) or ():
                text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
                if text:
                    names.append(Name(kind, addresses.key_or_text(text) if kind == "email" else text))
        return names

    def _shows(self, found: FoundObject, name: Name) -> bool:
        values = None if found.record is None else self._objects.values(found.record, name.kind)
        return values is not None and any(equals(name, value) for value in values)

    def _key(self, name: Name) -> str:
        return f"{self._prefix}{name.key}"


def _called(name: Name) -> str:
    words = {"email": "the address", "phone": "the number", "invoice": "the reference"}
    return words.get(name.kind, name.kind)


def _listed(ids: Sequence[str]) -> str:
    first = ", ".join(ids[:-1])
    return f"{first} and {ids[-1]}" if first else ids[-1]
