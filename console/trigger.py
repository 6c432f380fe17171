"""Makes up webhooks: a recorded body of a source, changed so that it tells of somebody or something else.

Comes in: a source of the book, one of our event types, what the event should say. Goes out: bodies that this source
reads as such an event. Never knows how a vendor names a field: it changes one value after the other, and
keeps the change after which the source reads what was asked for.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from console import replay
from console.errors import UserError
from receiver import errors, payload
from rules.event import Event
from rules.rulebook import Source
from rules.source.problem import did_you_mean, listed

#: Where the value stands in a body: names and indexes of JSON, or the number of a field of a form.
Place = tuple[str | int, ...]

#: The field that makes a body another one where the platform gives it no id.
ADDED = "relais_trigger"
#: How a field of the body is said, where the event has none of that name.
OF_BODY = "of the vendor's body: --set body.NAME=VALUE"
#: Fields of our event types that say how somebody is called.
NAME_FIELDS = {"first_name": 0, "last_name": 1, "full_name": 2, "name": 2}
GIVEN = ("Eva", "Luc", "Amélie", "Jürgen", "Zoé", "Kim", "Anaïs", "Björn", "Ida", "Noël", "Rosa", "Till")
FAMILY = (
    "Muster",
    "Exemple",
    "Beispiel",
    "Dupont",
    "Vorlage",
    "Modèle",
    "Probe",
    "Essai",
    "Schablone",
    "Martin",
    "Weiß",
)
#: Letters of these names that stand in no address.
PLAIN = str.maketrans("éüëïöß", "eueios")


@dataclass(frozen=True)
class RecordedBody:
    """A recorded body, as values that can be changed one by one."""

    #: JSON values, or the fields of a form or a query as pairs.
    values: Any
    is_json: bool

    @classmethod
    def read(cls, content: bytes) -> "RecordedBody":
        """Read bytes that begin like JSON as JSON, others as a form or a query. Raises ValueError."""
        if content.lstrip()[:1] in (b"{", b"["):
            return cls(json.loads(content), True)
        return cls([list(pair) for pair in parse_qsl(content.decode().strip(), keep_blank_values=True)], False)

    def encode(self) -> bytes:
        """Return the body as it is sent."""
        if self.is_json:
            return json.dumps(self.values, ensure_ascii=False).encode()
        return urlencode([(name, value) for name, value in self.values]).encode()

    @cached_property
    def places(self) -> Mapping[Place, Any]:
        """Where each single value stands, and what it is."""
        if self.is_json:
            return dict(_list_values(self.values, ()))
        return {(n, 1): pair[1] for n, pair in enumerate(self.values)}

    def add(self, value: str) -> "RecordedBody":
        """Return the body with one more field, so that it is no other body sent again."""
        if not self.is_json:
            return RecordedBody([*self.values, [ADDED, value]], False)
        first = (0,) if isinstance(self.values, list) else ()
        return RecordedBody(_with(self.values, (*first, ADDED), value), True)

    def replace(self, place: Place, value: Any) -> "RecordedBody":
        """Return the body with another value at a place."""
        return RecordedBody(_with(self.values, place, value), self.is_json)

    def put(self, place: Place, value: str) -> "RecordedBody":
        """Return the body with another value at a place: of the former kind, if it can be read as that."""
        before = self.places.get(place)
        new: Any = value
        if self.is_json and (before is None or isinstance(before, bool | int | float)):
            try:
                new = json.loads(value)
            except ValueError:
                new = value
        return self.replace(place, new)


def _list_values(value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        yield place, value
        return
    for name, part in parts:
        yield from _list_values(part, (*place, name))


def _with(value: Any, place: Place, new: Any) -> Any:
    if not place:
        return new
    name, rest = place[0], place[1:]
    if isinstance(value, list) and isinstance(name, int):
        return [*value[:name], _with(value[name], rest, new), *value[name + 1 :]]
    held = value if isinstance(value, dict) else {}
    return {**held, name: _with(held.get(name), rest, new)}


@dataclass(frozen=True)
class RecordedEvent:
    """A recorded body in which a source tells of one event of the type that was asked for."""

    file: Path
    body: RecordedBody
    event: Event
    read: Callable[[RecordedBody], Event | None]

    def find_place(self, name: str, value: str) -> Place | None:
        """Return where to write a value so that a field of the event changes: of several, where least else does."""
        before, least, found = flatten(self.event.data), 0, None
        for place in self.body.places:
            event = self.read(self.body.put(place, value))
            if event is None:
                continue
            after = flatten(event.data)
            changed = {each for each in before.keys() | after.keys() if before.get(each) != after.get(each)}
            if name in changed and after.get(name) is not None and (found is None or len(changed) < least):
                least, found = len(changed), place
        return found

    def find_mark(self) -> Place | None:
        """Return where to write something new so that it is another event of the same person. None: it is without.

        Best a value that the event does not show; else the one that changes least, an id before a time.
        """
        again = self.read(self.body)
        if again is None or again.id != self.event.id:
            return None  # It has no id of the platform: each time it is another event.
        before = flatten(self.event.data)
        found: list[tuple[Any, ...]] = []
        for place, value in self.body.places.items():
            event = self.read(self.body.put(place, invent_id(value)))
            if event is not None and event.id != self.event.id:
                after = flatten(event.data)
                changed = [each for each in before.keys() | after.keys() if before.get(each) != after.get(each)]
                other_person = event.identities != self.event.identities
                no_id = "id" not in str(place[-1]).lower()
                found.append(
                    (other_person, event.sender_id == self.event.sender_id, len(changed), no_id, len(found), place)
                )
        return min(found)[-1] if found else None

    def find_person(self) -> Mapping[Place, str]:
        """Return where it stands whom the event is about: place -> `email`, `id`, or the field with a name."""
        found: dict[Place, str] = {}
        for place, value in self.body.places.items():
            is_address = isinstance(value, str) and "@" in value
            event = self.read(self.body.put(place, "nobody@example.org" if is_address else invent_id(value)))
            if event is None:
                continue
            if set(event.identities) != set(self.event.identities):
                found[place] = "email" if is_address else "id"
        for name in NAME_FIELDS:
            if self.event.data.get(name) and (spot := self.find_place(name, "Nobody")) and spot not in found:
                found[spot] = name
        return found


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Return each single value of an event's data under its full name: `items.0.text`."""
    if isinstance(value, Mapping):
        parts: Any = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        return {name: value}
    return {
        key: each
        for word, part in parts
        for key, each in flatten(part, f"{name}.{word}" if name else f"{word}").items()
    }


def invent_id(value: Any) -> str:
    """Return a new id of the kind of a former one: digits stay digits, and a time is one of the last day."""
    if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()):
        return str(1_000_000 + secrets.randbelow(2_000_000_000 - 1_000_000))
    if isinstance(value, str) and (at := _read_time(value)) is not None:
        recent = datetime.now(at.tzinfo) - timedelta(milliseconds=secrets.randbelow(86_400_000))
        return recent.isoformat(value[10], "auto" if "." in value else "seconds")
    return secrets.token_hex(12)


def _read_time(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if len(value) > 10 else None
    except ValueError:
        return None


def find_folder() -> Path:
    """Return the folder of the recorded bodies: beside this module in a wheel, else of the checkout."""
    beside = Path(__file__).parent / "examples"
    return beside if beside.is_dir() else Path(__file__).parents[1] / "tests" / "fixtures"


def list_examples(
    source: Source, type: str, file: Path | None = None, fixtures: Path | None = None
) -> list[RecordedEvent]:
    """Return the recorded bodies of a type; `file`: a body of one's own. Raises UserError where there is none.

    `fixtures`: those of the book. They come first: what its rules ask for stands in them.
    """
    own = [fixtures / name for name in (source.name, source.kind)] if fixtures else []
    folders = [folder for folder in (*own, find_folder() / source.kind) if folder.is_dir()]
    files = [file] if file else [each for folder in folders for each in replay.list_bodies(folder)]
    found, types = [], set()
    for each in files:
        example = _read_example(source, each)
        if example is not None:
            types.add(example.event.type)
            if example.event.type == type:
                found.append(example)
    if found:
        return found
    if file:
        told = f"it tells of {', '.join(types)}" if types else f"{source.name} cannot read it as one event"
        raise UserError(f"{file} is no {type}: {told}", mend="see what it makes of it: relais rules explain FILE")
    raise UserError(
        f"there is no recorded {type} of {source.kind}",
        mend=did_you_mean(type, types) or "send a body of your own: --from FILE",
    )


def _read_example(source: Source, file: Path) -> RecordedEvent | None:
    name = replay.find_event(source, file)

    def read(body: RecordedBody) -> Event | None:
        try:
            events = payload.read_payload(source, body.encode(), name)
        except (errors.RequestRefused, ValueError):
            return None
        return events[0] if len(events) == 1 else None

    try:
        body = RecordedBody.read(file.read_bytes())
    except ValueError:
        return None
    event = read(body)
    return None if event is None else RecordedEvent(file, body, event, read)


def make_up(
    examples: Sequence[RecordedEvent], fields: Mapping[str, str], *, count: int = 1, people: int = 0
) -> tuple[RecordedEvent, list[bytes]]:
    """Return an example and bodies made of it: each another event, about so many people in turn (0: as recorded).

    `fields`: field of the event -> what it should be. `body.a.b`: where in the vendor's body. Raises UserError.
    """
    for example in examples:
        body, missing = example.body, ""
        for name, value in fields.items():
            place = _find_in_body(body, name) if name.startswith("body.") else example.find_place(name, value)
            if place is not None:
                body = body.put(place, value)
            elif str(flatten(example.event.data).get(name)) != value:
                missing = name
                break
        if not missing:
            changed = RecordedEvent(example.file, body, example.read(body) or example.event, example.read)
            return changed, list(_list_bodies(changed, count, people))
    known = {name for example in examples for name, value in flatten(example.event.data).items() if value is not None}
    raise UserError(
        f"no recorded {examples[0].event.type} has a place for {missing!r}",
        mend=did_you_mean(missing, known, otherwise=f"it has {_list_fields(missing, known)}\n{OF_BODY}"),
    )


def _list_fields(missing: str, known: Set[str]) -> str:
    """Return the fields that are called like the missing one, then those that lie least deep."""
    last = missing.rpartition(".")[2]
    near = sorted(known, key=lambda name: (name.rpartition(".")[2] != last, name.count("."), name))
    return listed(near)


def _find_in_body(body: RecordedBody, name: str) -> Place | None:
    words = name.split(".")[1:]
    if not body.is_json:
        return next(((n, 1) for n, pair in enumerate(body.values) if pair[0] == ".".join(words)), None)
    place: list[str | int] = []
    value = body.values
    for word in words:
        if isinstance(value, list):
            if not (word.isdigit() and int(word) < len(value)):
                return None
            place.append(int(word))
            value = value[int(word)]
        else:
            place.append(word)
            value = value.get(word) if isinstance(value, dict) else None
    return tuple(place)


def _list_bodies(example: RecordedEvent, count: int, people: int) -> Iterator[bytes]:
    mark, person = example.find_mark(), example.find_person() if people else {}
    for n in range(count):
        body = example.body
        for place, what in person.items():
            body = body.put(place, invent(what, n % people, example.body.places[place]))
        body = body.put(mark, invent_id(example.body.places[mark])) if mark else body.add(secrets.token_hex(4))
        yield body.encode()


def invent(what: str, n: int, before: Any) -> str:
    """Return the address, the id or a name of the n-th invented person: the same each time."""
    given, family = GIVEN[n % len(GIVEN)], FAMILY[(n // len(GIVEN) + n) % len(FAMILY)]
    if what == "email":
        return f"{given}.{family}.{n}@example.org".lower().translate(PLAIN)
    if what == "id":
        is_number = isinstance(before, int) or (isinstance(before, str) and before.isdigit())
        return str(880_000 + n) if is_number else f"person-{n}"
    return (given, family, f"{given} {family}")[NAME_FIELDS[what]]
