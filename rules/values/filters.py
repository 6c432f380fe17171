"""The filters of templates: `{{ data.email | email }}`.

Comes in: one value, present and not null, and the arguments of the filter. Goes out: a plain JSON value. Never reads
anything else, never takes more than linear time, and never puts the value into an error.
"""

import html
import inspect
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from rules import addresses
from rules.addresses import AddressRefused
from rules.matching import operators
from rules.matching.path import ABSENT, DEEPEST, WhereStep
from rules.source.look_alikes import nfc
from rules.source.units import zones

Filter = Callable[..., Any]

#: The longest text that a value may become.
LONGEST: Final = 65_536  # characters
#: Signs such as `&amp;` that are read in one text; each costs some microseconds.
MOST_ENTITIES: Final = 20_000
#: The largest number. Without a bound, Python's integers could grow until arithmetic takes hours.
LARGEST: Final = 10**18


class FilterFailed(Exception):
    """A filter cannot be applied to this value. The text says why, without the value."""


class UnreadableValue(FilterFailed):
    """The value is none that the filter can read: `default`, `omit` and `clear` may say what to do."""


#: A text in which nobody sees anything: blanks, controls, signs without a width.
_BLANK = re.compile(rf"[\s{addresses.IGNORABLE}\x00-\x1f\x7f-\x9f\u2800]*\Z")


def is_blank(value: Any) -> bool:
    """Return whether a value is a text in which nobody sees anything."""
    return isinstance(value, str) and _BLANK.match(value) is not None


def text_of(value: Any) -> str:
    """Return a value as part of a text. Raises FilterFailed for null, lists and mappings."""
    if value.__class__ is str:
        return value
    if value is None:
        raise UnreadableValue("is null inside a text; add | default('')")
    if isinstance(value, bool | int | float):
        return write_scalar(bounded(value))
    if isinstance(value, Mapping):
        raise UnreadableValue("is a group of fields inside a text; name one of them")
    if isinstance(value, list):
        raise UnreadableValue("is a list inside a text; add | join(', ')")
    return str(value)


def write_scalar(value: float) -> str:
    """Return true, false or a number as text: `true`, `5` and not `5.0`, never with an exponent."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    return str(value)


def bounded(number: float) -> float:
    """Return the number if it is within LARGEST and finite. Raises FilterFailed."""
    if not -LARGEST < number < LARGEST:  # also false for NaN
        raise UnreadableValue("is too large a number")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UnreadableValue("is not text")
    return value


def _word(argument: Any) -> str:
    if not isinstance(argument, str):
        raise FilterFailed("needs texts between its brackets")
    return argument


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableValue("is not a list")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnreadableValue("is not a number")
    return bounded(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, str) and operators.NUMERIC.match(value.strip()):
        return Decimal(value.strip())
    try:
        return Decimal(str(_number(value)))
    except InvalidOperation:  # pragma: no cover - a finite number has a decimal text
        raise UnreadableValue("is not a number") from None


_WHOLE = re.compile(r"[+-]?\d{1,18}\Z", re.ASCII)


# People. -------------------------------------------------------------------------------------------------------------


def email(value: Any) -> str:
    """Return the key of an e-mail address: bare and in lower case, so that one person is written in one way."""
    try:
        return addresses.key(_text(value))
    except AddressRefused as exc:
        raise UnreadableValue(str(exc)) from None


def phone(value: Any, country: Any = None) -> str:
    """Return a telephone number as `+4930123456`; without `+` it belongs to the country, else the source's or book's.

    An extension stands behind it: `+4930123456;ext=12`.
    """
    try:
        return addresses.phone_key(_text(value), _country(country))
    except AddressRefused as exc:
        raise UnreadableValue(str(exc)) from None


def _country(country: Any = None) -> str | None:
    if country is None:
        return None
    found = addresses.country_of(str(country))
    if found is None:
        raise FilterFailed("needs a country such as 'DE', or its code 49")
    return found


#: Titles and salutations, which are not part of a name.
_TITLES: Final = frozenset(
    {"dr", "prof", "professor", "herr", "frau", "hr", "fr", "mr", "mrs", "ms", "miss", "mx", "dipl-ing", "mag", "ing"}
)
#: Particles that begin a last name.
_PARTICLES: Final = frozenset(
    {"von", "van", "vom", "zu", "zum", "zur", "de", "den", "der", "del", "della", "di", "da", "dos", "du", "la", "ter"}
)


def _names(value: Any) -> tuple[str, str]:
    text = " ".join(_text(value).split())
    last, comma, first = text.partition(",")
    if comma:
        return " ".join(_untitled(first.split())), " ".join(_untitled(last.split()))
    words = _untitled(text.split())
    index = len(words) - 1
    for count, word in enumerate(words[:-1]):
        if count and word.lower() in _PARTICLES:
            index = count
            break
    return " ".join(words[: max(index, 0)]), " ".join(words[max(index, 0) :])


def _untitled(words: list[str]) -> list[str]:
    index = 0
    while index < len(words) - 1 and words[index].lower().replace(".", "") in _TITLES:
        index += 1
    return words[index:]


def first_name(value: Any) -> str | None:
    """Return the first names of a full name; null where there is only one word."""
    return _names(value)[0] or None


def last_name(value: Any) -> str | None:
    """Return the last name of a full name, with `von` and `van`; null of an empty text."""
    return _names(value)[1] or None


# Time. ---------------------------------------------------------------------------------------------------------------


def from_epoch_ms(value: Any) -> str:
    """Return the instant of a number of milliseconds since 1970, as number or text."""
    return _from_epoch(value, 1)


def from_epoch(value: Any) -> str:
    """Return the instant of a number of seconds since 1970, as number or text."""
    return _from_epoch(value, 1000)


def _from_epoch(value: Any, milliseconds: int) -> str:
    if isinstance(value, str) and _WHOLE.match(value.strip()):
        value = int(value.strip())
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=_number(value) * milliseconds)
    except (OverflowError, ValueError):
        raise UnreadableValue("is no instant") from None
    return _rfc3339(moment)


def instant(value: Any, zone: Any = "UTC") -> str:
    """Return an ISO 8601 text as an instant in UTC; a text without an offset is in the zone."""
    return _rfc3339(_moment(value, zone))


def _moment(value: Any, zone: Any) -> datetime:
    text = _text(value).strip()
    if len(text) > 40:
        raise UnreadableValue("is no instant")
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=_zone(zone)) if moment.tzinfo is None else moment
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnreadableValue("is no instant") from None


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


#: Directives of strftime that do not depend on the locale.
_FORMAT = re.compile(r"(?:[^%]|%[dmYyHMSjVGu%])*\Z", re.DOTALL)


def date_(value: Any, format: Any = "%Y-%m-%d", zone: Any = "UTC") -> str:
    """Return an instant as a date in a zone, in a format of `%d %m %Y %y %H %M %S %j %V %G %u`."""
    _check_date(format, zone)
    text = _text(value).strip()
    try:
        day = date.fromisoformat(text) if len(text) == 10 else _moment(text, zone).astimezone(_zone(zone))
        return day.strftime(format)
    except (ValueError, OverflowError):
        raise UnreadableValue("is no date") from None


def _check_date(format: Any = "%Y-%m-%d", zone: Any = "UTC") -> None:
    if not isinstance(format, str) or len(format) > 100 or not _FORMAT.match(format):
        raise FilterFailed("needs a format of %d %m %Y %y %H %M %S %j %V %G %u")
    _zone(zone)


@lru_cache(maxsize=64)
def _zone(name: Any) -> ZoneInfo:
    if not isinstance(name, str) or name not in zones():
        raise FilterFailed("needs a zone such as Europe/Berlin")
    return ZoneInfo(name)


# Money and numbers. --------------------------------------------------------------------------------------------------

#: The separators of thousands and of decimals.
_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "": ("", "."),
    "de": (".", ","),
    "en": (",", "."),
    "fr": ("\u202f", ","),
    "ch": ("’", "."),
}


def money(value: Any, currency: Any = "", language: Any = "") -> str:
    """Return an amount with two decimals: `1234.50`, `1234.50 EUR`, `1.234,50 EUR`."""
    _check_money(currency, language)
    thousands, point = _SIGNS[language]
    amount = f"{_cents(value):,}".replace(",", "t").replace(".", point).replace("t", thousands)
    return f"{amount} {currency}" if currency else amount


def _check_money(currency: Any = "", language: Any = "") -> None:
    if not isinstance(currency, str) or len(currency) > 3:
        raise FilterFailed("needs a currency such as EUR")
    if not isinstance(language, str) or language not in _SIGNS:
        raise FilterFailed("knows the languages de, en, fr and ch")


def cents(value: Any) -> int:
    """Return an amount in cents, as a whole number."""
    return int(_cents(value) * 100)


def _cents(value: Any) -> Decimal:
    return _decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP)


def int_(value: Any) -> int:
    """Return a whole number; of a text its digits, of a number what is before the point."""
    if isinstance(value, str):
        if not _WHOLE.match(value.strip()):
            raise UnreadableValue("is no whole number")
        return int(value.strip())
    return int(_number(value))


def float_(value: Any) -> float:
    """Return a number, of a text such as `12.50`."""
    return float(_decimal(value))


def round_(value: Any, digits: Any = 0) -> float:
    """Return a number rounded to so many digits, halves away from zero."""
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 12:
        raise FilterFailed("rounds to 0 to 12 digits")
    rounded = _decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return float(rounded) if digits else int(rounded)


def abs_(value: Any) -> float:
    """Return a number without its sign."""
    return abs(_number(value))


def sum_(value: Any, attribute: Any = None) -> float:
    """Return the sum of a list of numbers, or of one field of its elements; exact to the cent."""
    numbers = _list(value) if attribute is None else map_(value, attribute)
    total = bounded(float(sum((_decimal(number) for number in numbers), Decimal(0))))
    return int(total) if total.is_integer() and all(isinstance(number, int) for number in numbers) else total


# Records and lists. --------------------------------------------------------------------------------------------------


def localized(value: Any, language: Any, *fallbacks: Any) -> str | None:
    """Return a text in a language, else in the next one named, else in any; null where there is none.

    Takes `{"de": "Yoga"}` as `data` has it, and `[{"language": "DE", "value": "Yoga"}]` as vendors send it.
    """
    if isinstance(value, str):
        return value
    texts = _texts_by_language(value)
    for wanted in (language, *fallbacks):
        if isinstance(wanted, str) and texts.get(wanted.lower()):
            return texts[wanted.lower()]
    return next((text for text in texts.values() if text), None)


def _texts_by_language(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {key.lower(): text for key, text in value.items() if isinstance(text, str)}
    texts: dict[str, str] = {}
    for entry in _list(value):
        if not isinstance(entry, Mapping):
            raise UnreadableValue("is no text in several languages")
        language, text = entry.get("language"), entry.get("value")
        if isinstance(language, str) and isinstance(text, str):
            texts.setdefault(language.lower(), text)
    return texts


def external_reference(value: Any, system: Any) -> Any:
    """Return the id that another system has for it, by that system's number or name; null where it has none."""
    for reference in _list(value):
        if not isinstance(reference, Mapping):
            continue
        of = reference.get("system")
        known = (of.get("id"), of.get("name")) if isinstance(of, Mapping) else (of,)
        if any(_same(system, each) for each in known):
            return reference.get("external_id", reference.get("externalId"))
    return None


def _same(system: Any, known: Any) -> bool:
    """Return whether two ids are the same; a numeric id may come as text."""
    if isinstance(known, bool) or not isinstance(known, int | str) or not isinstance(system, int | str):
        return False
    return str(known) == str(system)


def element(value: Any, key: Any, wanted: Any) -> Any:
    """Return the first element of a list whose field is this: `element('id', 12)`; null where there is none."""
    if not isinstance(key, str) or not isinstance(wanted, str | int | float):
        raise FilterFailed("needs a field and a value: element('id', 12)")
    found = WhereStep(key, wanted).finds(_list(value))
    return None if found is ABSENT else found


def map_(value: Any, attribute: Any) -> list[Any]:
    """Return one field of each element of a list: `map('name')`. Elements without it are left out."""
    if not isinstance(attribute, str) or attribute.count(".") > DEEPEST:
        raise FilterFailed("needs the name of a field: map('name')")
    found: list[Any] = []
    for node in _list(value):
        each = node
        for key in attribute.split("."):
            each = each.get(key) if isinstance(each, Mapping) else None
        if each is not None:
            found.append(each)
    return found


def join(value: Any, between: Any = "") -> str:
    """Return the elements of a list as one text: `join(', ')`; null elements are left out."""
    parts = [text_of(part) for part in _list(value) if part is not None]
    glue = _word(between)
    if sum(map(len, parts)) + len(glue) * len(parts) > LONGEST:
        raise UnreadableValue(f"becomes longer than {LONGEST} characters")
    return glue.join(parts)


def split(value: Any, between: Any = " ") -> list[str]:
    """Return the parts of a text: `split(',')`, each trimmed, empty ones left out."""
    if not _word(between):
        raise FilterFailed("needs a text to split at")
    if _text(value).count(between) > LONGEST:
        raise FilterFailed(f"has more than {LONGEST} parts")
    return [part.strip() for part in _text(value).split(between) if part.strip()]


def first(value: Any) -> Any:
    """Return the first element of a list; null of an empty one."""
    return _list(value)[0] if _list(value) else None


def last(value: Any) -> Any:
    """Return the last element of a list; null of an empty one."""
    return _list(value)[-1] if _list(value) else None


def unique(value: Any) -> list[Any]:
    """Return the texts and numbers of a list, each once."""
    seen: dict[tuple[type, Any], None] = {}
    for each in _list(value):
        if not isinstance(each, str | int | float):
            raise UnreadableValue("takes a list of texts or numbers")
        seen[(type(each), each)] = None
    return [each for _, each in seen]


def length(value: Any) -> int:
    """Return how many elements or characters there are."""
    if not isinstance(value, str | list | Mapping):
        raise UnreadableValue("has no length")
    return len(value)


# Text. ---------------------------------------------------------------------------------------------------------------


def lower(value: Any) -> str:
    """Return the text in lower case."""
    return _text(value).lower()


def upper(value: Any) -> str:
    """Return the text in upper case."""
    return _text(value).upper()


def capitalize(value: Any) -> str:
    """Return the text with a capital letter first; the others stay."""
    text = _text(value)
    return text[:1].upper() + text[1:]


def trim(value: Any) -> str:
    """Return the text without blanks around it."""
    return _text(value).strip()


def replace(value: Any, old: Any, new: Any) -> str:
    """Return the text with all occurrences of a part replaced."""
    text, old, new = _text(value), _word(old), _word(new)
    if not old:
        raise FilterFailed("needs a text to replace")
    if len(text) + text.count(old) * max(len(new) - len(old), 0) > LONGEST:
        raise UnreadableValue(f"becomes longer than {LONGEST} characters")
    return text.replace(old, new)


def truncate(value: Any, most: Any = 255) -> str:
    """Return at most so many characters of a text."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise FilterFailed("needs a number of characters")
    return _text(value)[:most]


def plain_text(value: Any) -> str:
    """Return a text without HTML tags, with `&amp;` and the like written out and blanks made one."""
    text = _text(value)
    if text.count("&") > MOST_ENTITIES:
        raise FilterFailed(f"has more than {MOST_ENTITIES} &")
    # Behind the last > there is no tag, so that each < before it finds its >, and no part of the text is read twice.
    end = text.rfind(">") + 1
    return " ".join(html.unescape(_TAG.sub(" ", text[:end]) + text[end:]).split())


_TAG = re.compile("<[^>]*>")


def string(value: Any) -> str:
    """Return a number, true or false as text."""
    return text_of(value)


def yes_no(value: Any, yes: Any = "yes", no: Any = "no") -> Any:
    """Return one of two words for true and false: `yes_no('ja', 'nein')`."""
    if not isinstance(value, bool):
        raise UnreadableValue("is neither true nor false")
    return yes if value else no


def translate(value: Any, words: Any) -> Any:
    """Return what a word stands for: `translate({'Frau': 'female'})`; null where it is not named."""
    if not isinstance(words, Mapping):
        raise FilterFailed("needs words: translate({'Frau': 'female'})")
    return words.get(nfc(text_of(value)))


def json_(value: Any) -> str:
    """Return the value as JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        raise UnreadableValue("cannot be written as JSON") from None


def urlencode(value: Any) -> str:
    """Return a text as part of a URL."""
    try:
        return quote(text_of(value), safe="")
    except UnicodeEncodeError:
        raise UnreadableValue("holds half a character, which is no text") from None


#: All filters but `default`, `omit` and `clear`, which see what is not there and belong to `rules.values`.
FILTERS: Final[Mapping[str, Filter]] = {
    "email": email,
    "phone": phone,
    "first_name": first_name,
    "last_name": last_name,
    "from_epoch_ms": from_epoch_ms,
    "from_epoch": from_epoch,
    "instant": instant,
    "date": date_,
    "money": money,
    "cents": cents,
    "localized": localized,
    "external_reference": external_reference,
    "element": element,
    "map": map_,
    "join": join,
    "split": split,
    "first": first,
    "last": last,
    "unique": unique,
    "length": length,
    "sum": sum_,
    "int": int_,
    "float": float_,
    "round": round_,
    "abs": abs_,
    "lower": lower,
    "upper": upper,
    "capitalize": capitalize,
    "trim": trim,
    "replace": replace,
    "truncate": truncate,
    "plain_text": plain_text,
    "string": string,
    "yes_no": yes_no,
    "translate": translate,
    "json": json_,
    "urlencode": urlencode,
}

#: Functions that check the arguments of a filter at compile time, if all are literals.
CHECKS: Final[Mapping[str, Filter]] = {
    "date": _check_date,
    "money": _check_money,
    "instant": lambda zone="UTC": _zone(zone),
    "phone": _country,
    "round": lambda digits=0: round_(0, digits),
    "truncate": lambda most=255: truncate("", most),
    "map": lambda attribute: map_([], attribute),
    "element": lambda key, wanted: element([], key, wanted),
}


@lru_cache(maxsize=256)
def signature(name: str) -> inspect.Signature:
    """Return the signature of a filter without the value."""
    whole = inspect.signature(FILTERS[name])
    return whole.replace(parameters=list(whole.parameters.values())[1:])


#: How to write the filters that do something else without their argument.
_TWO_USAGES: Final = {"phone": "phone or phone('DE')", "sum": "sum or sum('price')"}


def usage(name: str) -> str:
    """Return how to write a filter: `truncate(most=255)`."""
    if name in _TWO_USAGES:
        return _TWO_USAGES[name]
    parameters = signature(name).parameters.values()
    words = [
        str(each).split(":")[0] if each.default is inspect.Parameter.empty else f"{each.name}={each.default!r}"
        for each in parameters
    ]
    return f"{name}({', '.join(words)})" if words else name
