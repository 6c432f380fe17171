"""The operators of patterns: equality, `prefix`, `gt`, `cidr`, `days` and the rest.

Comes in: an operator with its argument, as the YAML gives it. Goes out: an OperatorTest, whose function takes a present
value and returns true, false or unknown. Never raises on a value, and never backtracks: time is linear in its length.
"""

import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from rules.matching import field_types
from rules.matching.field_types import Kind
from rules.matching.path import ABSENT
from rules.matching.truth import FALSE, TRUE, UNKNOWN
from rules.source.look_alikes import DASHES, nfc
from rules.source.problem import did_you_mean, name_sign
from rules.source.units import duration, zones

Test = Callable[[Any], int]

#: Longer lists are refused: they would be a database, not a rule.
MOST_LITERALS: Final = 10_000
#: Longer arguments of text operators are refused.
LONGEST: Final = 1_000  # characters

TEXT: Final[frozenset[Kind]] = frozenset({"text"})
NUMBER: Final[frozenset[Kind]] = frozenset({"number"})
INSTANT: Final[frozenset[Kind]] = frozenset({"instant"})
ANYTHING: Final[frozenset[Kind]] = frozenset({"any"})


class ArgumentWrong(Exception):
    """The argument of an operator is wrong."""

    def __init__(self, text: str, mend: str = "", *, operator: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.mend = mend
        #: The key that is wrong, where several keys make one condition (`days`, `between`, `zone`).
        self.operator = operator


@dataclass(frozen=True)
class OperatorTest:
    """One operator with its argument."""

    test: Test
    #: The condition in words, as a statement about the field: `begins with "a"`.
    says: str
    #: The same, negated: `does not begin with "a"`.
    denies: str
    #: The kinds of values it can be applied to; for others it is unknown.
    wants: frozenset[Kind]
    #: For equality: the values, each with its kind, because `True == 1` in Python.
    literals: frozenset[tuple[Kind, Any]] | None = None
    #: For a range of numbers, or of instants in seconds: each bound, and whether it is included.
    low: tuple[float, bool] | None = None
    high: tuple[float, bool] | None = None
    #: For `prefix`: its texts.
    prefixes: tuple[str, ...] = field(default=())


def _quoted(texts: Sequence[Any]) -> str:
    shown = [json.dumps(text, ensure_ascii=False) for text in texts[:5]]
    more = f" or {len(texts) - 5} others" if len(texts) > 5 else ""
    return " or ".join(shown) + more


# Equality: for a value of another kind it is false, never unknown. ----------------------------------------------------


def equal_to(literals: Sequence[Any]) -> OperatorTest:
    """Return the condition that a value is one of these: text, numbers, true, false, null."""
    if len(literals) > MOST_LITERALS:
        raise ArgumentWrong(f"a list of {len(literals)} values", f"a list has at most {MOST_LITERALS}")
    known = frozenset((_kind(literal), literal) for literal in literals)
    texts = frozenset(nfc(value) for kind, value in known if kind == "text")
    numbers = frozenset(value for kind, value in known if kind == "number")
    booleans = frozenset(value for kind, value in known if kind == "boolean")
    shown = _quoted(list(literals))
    denies = f"is not {shown}" if len(known) == 1 else f"is none of {shown.replace(' or ', ', ')}"
    return OperatorTest(
        _equality(texts, numbers, booleans, null=("null", None) in known),
        says=f"is {shown}",
        denies=denies,
        wants=ANYTHING,
        literals=known,
    )


def _kind(literal: Any) -> Kind:
    match literal:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "text"
        case int() | float():
            if not _is_finite(literal):
                raise ArgumentWrong("a number that is none", "write a finite number")
            return "number"
    raise ArgumentWrong("a value is text, a number, true, false or null")


def _equality(texts: frozenset[str], numbers: frozenset[Any], booleans: frozenset[bool], *, null: bool) -> Test:
    if len(texts) == 1 and not (numbers or booleans or null):
        (only,) = texts
        # In Python, text never equals anything but text, as the language requires.
        return lambda value: TRUE if value == only or _is_in(value, texts) else FALSE
    if not (numbers or booleans or null):
        return lambda value: TRUE if _is_in(value, texts) else FALSE

    def test(value: Any) -> int:
        if value is None:
            return TRUE if null else FALSE
        if value.__class__ is str:
            return TRUE if _is_in(value, texts) else FALSE
        if value.__class__ is bool:
            return TRUE if value in booleans else FALSE
        if value.__class__ is int or value.__class__ is float:
            return TRUE if value in numbers else FALSE
        return FALSE

    return test


def _is_in(value: Any, texts: frozenset[str]) -> bool:
    return value.__class__ is str and (value if value.isascii() else nfc(value)) in texts


def is_(argument: Any) -> OperatorTest:
    """`is: number`: a value of that kind; never unknown of a value that is there."""
    words = argument if isinstance(argument, list) else [argument]
    kinds = frozenset[Any]("null" if word is None else word for word in words)
    if not kinds or not kinds <= IS_KINDS:
        raise ArgumentWrong(
            f"is takes {', '.join(sorted(IS_KINDS))}", "for a value write the value itself, without is: before it"
        )
    shown = " or ".join(field_types.WORDS[word] for word in sorted(kinds))

    def test(value: Any) -> int:
        return TRUE if field_types.kind_of(value) in kinds else FALSE

    return OperatorTest(test, f"is {shown}", f"is not {shown}", IS_KINDS if "text" in kinds else kinds)


#: What `is:` takes.
IS_KINDS: Final[frozenset[Any]] = frozenset({"text", "number", "boolean", "list", "object", "null"})


# Views: what is made of a value before it is looked at. ------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """What is looked at instead of the value."""

    name: str
    #: Makes it of a value; ABSENT where that cannot be done.
    make: Callable[[Any], Any]
    #: The kinds of values it can be made of, and of what comes out.
    wants: frozenset[Kind]
    gives: frozenset[Kind]
    #: Words around the statement, before the field, and for a value of which it cannot be made.
    before: str = ""
    after: str = ""
    of: str = ""
    not_made: str = ""
    #: Makes the same of an argument, and of a field that is compared; None: they stay.
    convert: Callable[[Any], Any] | None = None
    convert_field: Callable[[Any], Any] | None = None


def fold(value: Any) -> Any:
    """Return a text without its capitals; anything else as it is."""
    return nfc(value.casefold()) if value.__class__ is str else value


def to_number(value: Any) -> Any:
    """Return a number, also of a text such as `19.99`; else ABSENT."""
    if value.__class__ is str:
        text = value.strip() if len(value) <= _LONGEST_NUMBER else ""
        if not NUMERIC.match(text):
            return ABSENT
        return float(text) if "." in text else int(text)
    return value if _is_number(value) else ABSENT


_LONGEST_NUMBER = 60  # characters, with blanks around
#: A number in a text, as conditions and filters read it.
NUMERIC = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?\Z", re.ASCII)


def count(value: Any) -> Any:
    """Return how many elements or characters there are; ABSENT of what has no length."""
    return len(value) if isinstance(value, list | str) else ABSENT


VIEWS: Final[Mapping[str, View]] = {
    "ignore_case": View("ignore_case", fold, TEXT, TEXT, after=" in any case", convert=fold, convert_field=fold),
    "number": View(
        "number",
        to_number,
        TEXT | NUMBER,
        NUMBER,
        after=", read as a number",
        not_made="no number, nor a text with one",
        convert_field=to_number,
    ),
    "length": View(
        "length",
        count,
        TEXT | frozenset({"list"}),
        NUMBER,
        before="has a length that ",
        of="the length of ",
        not_made="neither a list nor a text",
    ),
}


# Texts. --------------------------------------------------------------------------------------------------------------


def prefix(argument: Any) -> OperatorTest:
    """`prefix: SD-` begins with it."""
    texts = tuple(_texts(argument, "prefix"))

    def test(value: Any) -> int:
        if value.__class__ is not str:
            return UNKNOWN
        return TRUE if nfc(value).startswith(texts) else FALSE

    shown = _quoted(texts)
    return OperatorTest(test, f"begins with {shown}", f"does not begin with {shown}", TEXT, prefixes=texts)


def suffix(argument: Any) -> OperatorTest:
    """`suffix: '@example.org'` ends with it."""
    texts = tuple(_texts(argument, "suffix"))

    def test(value: Any) -> int:
        if value.__class__ is not str:
            return UNKNOWN
        return TRUE if nfc(value).endswith(texts) else FALSE

    shown = _quoted(texts)
    return OperatorTest(test, f"ends with {shown}", f"does not end with {shown}", TEXT)


def wildcard(argument: Any) -> OperatorTest:
    r"""`wildcard: 'yoga*2026'`: a star is any text, also none; `\*` is a star."""
    texts = _texts(argument, "wildcard")
    known = [_pieces(text) for text in texts]

    def test(value: Any) -> int:
        if value.__class__ is not str:
            return UNKNOWN
        value = nfc(value)
        for pieces in known:
            if _fits(pieces, value):
                return TRUE
        return FALSE

    shown = _quoted(texts)
    return OperatorTest(test, f"fits {shown}", f"does not fit {shown}", TEXT)


def _pieces(pattern: str) -> tuple[str, ...]:
    """Return the texts between the stars."""
    pieces: list[str] = []
    signs: list[str] = []
    escaped = False
    for sign in pattern:
        if escaped:
            if sign not in "*\\":
                raise ArgumentWrong(f"wildcard: \\{sign} means nothing", r"write \* for a star, \\ for a backslash")
            signs.append(sign)
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == "*":
            pieces.append("".join(signs))
            signs = []
        else:
            signs.append(sign)
    if escaped:
        raise ArgumentWrong("wildcard: it ends with a backslash", r"write \\ for a backslash")
    pieces.append("".join(signs))
    if len(pieces) > 1 and not any(pieces):
        raise ArgumentWrong("wildcard: it fits every text", "write exists: true, or leave the condition out")
    return tuple(pieces)


def _fits(pieces: tuple[str, ...], value: str) -> bool:
    """Return whether the pieces occur in the value in this order, without overlap.

    Each piece is searched once, from the end of the previous one, without backtracking: no pattern takes long.
    """
    if len(pieces) == 1:
        return value == pieces[0]
    first, last = pieces[0], pieces[-1]
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    position, end = len(first), len(value) - len(last)
    for piece in pieces[1:-1]:
        position = value.find(piece, position, end)
        if position < 0:
            return False
        position += len(piece)
    return position <= end


def _texts(argument: Any, operator: str) -> list[str]:
    """Return the text, or the texts of a list, that an operator was given."""
    texts = argument if isinstance(argument, list) else [argument]
    if not texts:
        raise ArgumentWrong(f"{operator}: an empty list", "write a text, or a list of texts")
    if len(texts) > MOST_LITERALS:
        raise ArgumentWrong(f"{operator}: a list of {len(texts)} texts", f"a list has at most {MOST_LITERALS}")
    for text in texts:
        if not isinstance(text, str):
            raise ArgumentWrong(f"{operator} needs text", "write it in quotes")
        if not text:
            raise ArgumentWrong(
                f"{operator}: the empty text fits every text", "write exists: true, or leave the condition out"
            )
        if len(text) > LONGEST:
            raise ArgumentWrong(f"{operator}: {len(text)} characters", f"write at most {LONGEST}")
    return [nfc(text) for text in texts]


# Numbers. ------------------------------------------------------------------------------------------------------------


def _number(argument: Any, operator: str) -> float:
    if isinstance(argument, bool) or not isinstance(argument, int | float):
        mend = f"write {operator}: 100"
        if isinstance(argument, str):
            try:
                float(argument)
            except ValueError:
                pass
            else:
                mend = "write it without quotes, without a leading zero or plus sign"
            if argument[:1] in tuple(DASHES):
                mend = f"write a plain minus; this is {name_sign(argument[0])}"
        raise ArgumentWrong(f"{operator} needs a number", mend)
    if not _is_finite(argument):
        raise ArgumentWrong(f"{operator} needs a finite number", f"write {operator}: 100")
    return argument


def _is_finite(number: float) -> bool:
    return isinstance(number, int) or math.isfinite(number)


def _is_number(value: Any) -> bool:
    # Not a bool; and not NaN, which JSON does not know but Python's reader lets through.
    return value.__class__ is int or (value.__class__ is float and value == value)


def gt(argument: Any) -> OperatorTest:
    """`gt: 0` is greater."""
    bound = _number(argument, "gt")

    def test(value: Any) -> int:
        if not _is_number(value):
            return UNKNOWN
        return TRUE if value > bound else FALSE

    words = f"greater than {bound}"
    return OperatorTest(test, f"is {words}", f"is not {words}", NUMBER, low=(bound, False))


def gte(argument: Any) -> OperatorTest:
    """`gte: 18` is greater or equal."""
    bound = _number(argument, "gte")

    def test(value: Any) -> int:
        if not _is_number(value):
            return UNKNOWN
        return TRUE if value >= bound else FALSE

    return OperatorTest(test, f"is at least {bound}", f"is not at least {bound}", NUMBER, low=(bound, True))


def lt(argument: Any) -> OperatorTest:
    """`lt: 100` is less."""
    bound = _number(argument, "lt")

    def test(value: Any) -> int:
        if not _is_number(value):
            return UNKNOWN
        return TRUE if value < bound else FALSE

    words = f"less than {bound}"
    return OperatorTest(test, f"is {words}", f"is not {words}", NUMBER, high=(bound, False))


def lte(argument: Any) -> OperatorTest:
    """`lte: 100` is less or equal."""
    bound = _number(argument, "lte")

    def test(value: Any) -> int:
        if not _is_number(value):
            return UNKNOWN
        return TRUE if value <= bound else FALSE

    return OperatorTest(test, f"is at most {bound}", f"is not at most {bound}", NUMBER, high=(bound, True))


def between(argument: Any) -> OperatorTest:
    """`between: [10, 20]`, both included. Times of the day need a `zone` and are read by `when`."""
    low, high = _pair(argument)
    if isinstance(low, str) and _TIME.match(low):
        raise ArgumentWrong("between: times of the day need a zone", "add zone: Europe/Berlin")
    low, high = _number(low, "between"), _number(high, "between")
    if low > high:
        raise ArgumentWrong(f"between: {low} is more than {high}", f"write between: [{high}, {low}]")

    def test(value: Any) -> int:
        if not _is_number(value):
            return UNKNOWN
        return TRUE if low <= value <= high else FALSE

    words = f"between {low} and {high}"
    return OperatorTest(test, f"is {words}", f"is not {words}", NUMBER, low=(low, True), high=(high, True))


def _pair(argument: Any) -> tuple[Any, Any]:
    if not isinstance(argument, list) or len(argument) != 2:
        raise ArgumentWrong("between needs two bounds", "write between: [10, 20]")
    return argument[0], argument[1]


# Addresses. ----------------------------------------------------------------------------------------------------------


def cidr(argument: Any) -> OperatorTest:
    """`cidr: 192.0.2.0/24`: an address of that network."""
    texts = _texts(argument, "cidr")
    networks = [_network(text) for text in texts]

    def test(value: Any) -> int:
        if value.__class__ is not str:
            return UNKNOWN
        address = _address(value)
        if address is None:
            return UNKNOWN
        return TRUE if any(address in network for network in networks) else FALSE

    shown = _quoted(texts)
    return OperatorTest(test, f"is in {shown}", f"is not in {shown}", TEXT)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ArgumentWrong(f'cidr: "{text}" is no network', "write cidr: 192.0.2.0/24") from None
    raise ArgumentWrong(f'cidr: "{text}" is an address inside a network', f'did you mean "{loose}"?')


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if len(text) > 60:  # the longest IPv6 address with a zone is shorter
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


# Instants. -----------------------------------------------------------------------------------------------------------

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d\Z|24:00\Z", re.ASCII)
_ALL_DAY: Final = (0, 24 * 60)
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_UTC: Final = ZoneInfo("UTC")
#: A time of reception with which the argument of an age is tried at compile time.
LONG_AGO: Final = "2000-01-01T00:00:00.000Z"
MOMENTS: Final = ("before", "after")
AGES: Final = ("older_than", "newer_than")
#: The operators that make one condition on an instant, together with `between`.
OF_TIME: Final = frozenset({"days", "zone", *MOMENTS, *AGES})


def when(arguments: Mapping[str, Any]) -> OperatorTest:
    """`days: mon-fri`, `between: [09:00, 18:00]`, `zone: Europe/Berlin`, of an instant.

    The beginning belongs to a range of times, its end does not. A range over midnight belongs to the day on which it
    begins: `days: fri, between: [22:00, 06:00]` holds on Saturday at 2.
    """
    zone_name, zone = zone_of(arguments.get("zone"))
    days = days_of(arguments["days"]) if "days" in arguments else frozenset(range(7))
    start, end = _times(arguments["between"]) if "between" in arguments else _ALL_DAY
    if "days" not in arguments and "between" not in arguments:
        raise ArgumentWrong("zone alone asks nothing", "add days: mon-fri or between: [09:00, 18:00]", operator="zone")

    def test(value: Any) -> int:
        span = span_of(value, zone)
        if span is None or ("between" in arguments and span[0] != span[1]):  # a date has no time of the day
            return UNKNOWN
        try:
            local = span[0].astimezone(zone)
        except OverflowError:  # the first and the last day that there is
            return UNKNOWN
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if start < end:
            inside = start <= minute < end
        else:
            inside = minute >= start or minute < end
            if minute < end:
                day = (day - 1) % 7
        return TRUE if inside and day in days else FALSE

    words = " ".join(
        part
        for part in (
            f"on {', '.join(DAYS[day] for day in sorted(days))}" if "days" in arguments else "",
            f"between {arguments['between'][0]} and {arguments['between'][1]}" if "between" in arguments else "",
            f"in {zone_name}",
        )
        if part
    )
    return OperatorTest(test, f"is {words}", f"is not {words}", INSTANT)


def span_of(value: Any, zone: ZoneInfo | None) -> tuple[datetime, datetime] | None:
    """Return the first and the last instant that a text means: of a date its whole day in the zone; None: of none.

    A text without an offset is an instant only where a zone is known.
    """
    if value.__class__ is not str or len(value) > 40:
        return None
    try:
        begin = datetime.fromisoformat(value)
        if begin.tzinfo is not None:
            return begin, begin
        if zone is None:
            return None
        begin = begin.replace(tzinfo=zone)
        if not DATE.fullmatch(value):
            return begin.astimezone(UTC), begin.astimezone(UTC)
        return begin.astimezone(UTC), (begin + timedelta(days=1)).astimezone(UTC) - timedelta.resolution
    except (ValueError, OverflowError):
        return None


def is_local(value: Any) -> bool:
    """Return whether a value is a date, or a time without an offset."""
    return span_of(value, _UTC) is not None and span_of(value, None) is None


def moment(name: str, zone_name: Any) -> Callable[[Any], OperatorTest]:
    """Return what makes `before:` or `after:` of an instant, or of a date, which is its whole day."""
    zone = zone_of(zone_name)[1] if zone_name is not None else None

    def make(argument: Any) -> OperatorTest:
        span = span_of(argument, zone)
        if zone is None and is_local(argument):
            raise ArgumentWrong(f"{name}: {argument} is another instant in each zone", "add zone: Europe/Berlin")
        if span is None:
            raise ArgumentWrong(f"{name} needs a date or an instant", f"write {name}: 2026-01-31, and zone: beside it")
        says, denies = COMPARES[name]
        if name == "before":
            test = _instants(lambda begin, end: end < span[0], zone, f"{says} {argument}", f"{denies} {argument}")
            return replace(test, high=(span[0].timestamp(), False))
        test = _instants(lambda begin, end: begin > span[1], zone, f"{says} {argument}", f"{denies} {argument}")
        return replace(test, low=(span[1].timestamp(), False))

    return make


def age(name: str, argument: Any, zone_name: Any) -> Callable[[Any], OperatorTest]:
    """Return what makes `older_than: 30d` or `newer_than: 30d` of the instant at which the event was received."""
    zone = zone_of(zone_name)[1] if zone_name is not None else None
    try:
        span = timedelta(milliseconds=duration(argument))
    except ValueError as exc:
        raise ArgumentWrong(f"{name} {exc}", f"write {name}: 30d") from None
    says, denies = COMPARES[name]

    def make(received_at: Any) -> OperatorTest:
        now = instant_of(received_at)
        if now is None:
            raise ArgumentWrong("no instant of reception")
        bound = now - span
        if name == "older_than":
            test = _instants(lambda begin, end: end <= bound, zone, f"{says} {argument}", f"{denies} {argument}")
            return replace(test, high=(bound.timestamp(), True))
        test = _instants(lambda begin, end: begin > bound, zone, f"{says} {argument}", f"{denies} {argument}")
        return replace(test, low=(bound.timestamp(), False))

    return make


def _instants(
    holds: Callable[[datetime, datetime], bool], zone: ZoneInfo | None, says: str, denies: str
) -> OperatorTest:
    def test(value: Any) -> int:
        span = span_of(value, zone)
        if span is None:
            return UNKNOWN
        return TRUE if holds(*span) else FALSE

    return OperatorTest(test, says, denies, INSTANT)


def instant_of(value: Any) -> datetime | None:
    """Return the instant that an RFC 3339 text names, or None."""
    if value.__class__ is not str or len(value) > 40:
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None


def zone_of(name: Any) -> tuple[str, ZoneInfo]:
    """Return the zone of that name. Raises ArgumentWrong."""
    if name is None:
        raise ArgumentWrong("days and times of the day need a zone", "add zone: Europe/Berlin")
    if not isinstance(name, str):
        raise ArgumentWrong("zone needs a name", "write zone: Europe/Berlin", operator="zone")
    if name not in zones():
        mend = did_you_mean(name, zones(), otherwise="write zone: Europe/Berlin")
        raise ArgumentWrong(f'there is no zone "{name}"', mend, operator="zone")
    return name, ZoneInfo(name)


def days_of(argument: Any) -> frozenset[int]:
    """Return the days that `mon-fri` or `[mon, wed]` names, 0 is Monday. Raises ArgumentWrong."""
    found: set[int] = set()
    parts = argument if isinstance(argument, list) else [argument]
    for part in parts:
        if not isinstance(part, str):
            raise ArgumentWrong("days needs names of days", "write days: mon-fri, or [mon, wed]", operator="days")
        first, dash, last = (word.strip() for word in part.partition("-"))
        for word in (first, last) if dash else (first,):
            if odd := next((sign for sign in DASHES if sign in word), None):
                mend = f"write a plain -; this is {name_sign(odd)}"
                raise ArgumentWrong(f'there is no day "{word}"', mend, operator="days")
            if word not in DAYS:
                near = word[:3].lower()
                mend = f'did you mean "{near}"?' if near in DAYS else "days are " + ", ".join(DAYS)
                raise ArgumentWrong(f'there is no day "{word}"', mend, operator="days")
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        found.update((begin + count) % 7 for count in range((end - begin) % 7 + 1))
    if not found:
        raise ArgumentWrong("days: an empty list", "write days: mon-fri", operator="days")
    return frozenset(found)


def _times(argument: Any) -> tuple[int, int]:
    low, high = _pair(argument)
    for time in (low, high):
        if not isinstance(time, str) or not _TIME.match(time):
            raise ArgumentWrong(
                "between with a zone needs two times of the day", "write between: [09:00, 18:00]", operator="between"
            )
    start, end = _minutes(low), _minutes(high)
    if start == end or start == 24 * 60:
        raise ArgumentWrong(
            f"between: from {low} to {high} there is no time", "write between: [00:00, 24:00] for the whole day"
        )
    return start, end


def _minutes(time: str) -> int:
    return int(time[:2]) * 60 + int(time[3:])


#: The operators that take one argument. The others are handled in `condition.py`.
SIMPLE: Final[Mapping[str, Callable[[Any], OperatorTest]]] = {
    "prefix": prefix,
    "suffix": suffix,
    "wildcard": wildcard,
    "is": is_,
    "gt": gt,
    "gte": gte,
    "lt": lt,
    "lte": lte,
    "between": between,
    "cidr": cidr,
}

#: All operators, in the order of rules/README.md.
NAMES: Final = (*SIMPLE, *VIEWS, *MOMENTS, *AGES, "field", "some", "exists", "not", "days", "zone")

#: What a comparison with another field says, and denies.
COMPARES: Final[Mapping[str, tuple[str, str]]] = {
    "field": ("is the same as", "is not the same as"),
    "prefix": ("begins with", "does not begin with"),
    "suffix": ("ends with", "does not end with"),
    "gt": ("is greater than", "is not greater than"),
    "gte": ("is at least", "is not at least"),
    "lt": ("is less than", "is not less than"),
    "lte": ("is at most", "is not at most"),
    "before": ("is before", "is not before"),
    "after": ("is after", "is not after"),
    "older_than": ("is older than", "is not older than"),
    "newer_than": ("is newer than", "is not newer than"),
}

#: Names of operators in other languages, with what to write here.
ELSEWHERE: Final[Mapping[str, str]] = {
    "=": "write the value itself",
    "==": "write the value itself",
    "eq": "write the value itself",
    "equals": "write the value itself",
    "in": "write a list of values",
    "one_of": "write a list of values",
    "or": "write a list of values, or any_of",
    "!=": "write not",
    "ne": "write not",
    "is_not": "write not",
    "anything-but": "write not",
    "anything_but": "write not",
    ">": "write gt",
    ">=": "write gte",
    "greater": "write gt",
    "above": "write gt",
    "min": "write gte",
    "<": "write lt",
    "<=": "write lte",
    "less": "write lt",
    "below": "write lt",
    "max": "write lte",
    "numeric": "write gt, gte, lt, lte or between",
    "range": "write between",
    "starts_with": "write prefix",
    "startswith": "write prefix",
    "begins_with": "write prefix",
    "ends_with": "write suffix",
    "endswith": "write suffix",
    "contains": 'write wildcard: "*text*"',
    "regex": 'write wildcard: "*text*"',
    "matches": 'write wildcard: "*text*"',
    "equals-ignore-case": "write ignore_case",
    "equals_ignore_case": "write ignore_case",
    "any": "write some",
    "contains_any": "write some",
    "size": "write length",
    "count": "write length",
    "type": "write is",
    "since": "write after",
    "until": "write before",
    "later_than": "write after",
    "earlier_than": "write before",
    "within": "write newer_than",
    "same_as": "write field",
    "ref": "write field",
    "present": "write exists",
    "absent": "write exists: false",
    "weekday": "write days",
    "time": "write between and zone",
    "timezone": "write zone",
    "tz": "write zone",
}
