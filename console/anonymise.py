"""Makes invented people of real ones in the bodies of vendors: the same person becomes the same invention each time.

Comes in: bodies as they came, and the words that a platform uses. Goes out: bodies of the same shape without a value of
anybody, and which texts were kept as they are, for a person to look at. Never writes down what became of whom: that
goes with the object.
"""

import hashlib
import hmac
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from console.trigger import FAMILY, GIVEN, PLAIN, Place, RecordedBody

#: What a key says of its value, by a piece of its name in small letters without signs; the first that fits counts.
KINDS = (
    ("secret", re.compile(r"password|passwort|secret|token|apikey|signature|authorization")),
    ("email", re.compile(r"mail$|mailadresse|mailaddress")),
    ("first", re.compile(r"firstname|vorname|givenname|forename|prenom")),
    ("last", re.compile(r"lastname|nachname|familyname|surname|familienname")),
    ("phone", re.compile(r"phone|telefon|^tel$|mobil|handy|fax|caller|callee|msisdn")),
    ("birthday", re.compile(r"birth|geburt")),
    ("street", re.compile(r"street|strasse|straße|addressline|address1|address2")),
    ("zip", re.compile(r"zip|postalcode|postcode|plz")),
    ("city", re.compile(r"city|town|^ort$|wohnort|place")),
    ("full", re.compile(r"name$|company|firma|organi[sz]ation|^an$|^von$")),
    ("id", re.compile(r"id$|uuid|reference|referenz|number$|nummer$")),
)
EMAIL = re.compile(r"[^\s<>\"',;:()]+@[^\s<>\"',;:()]+\.[^\s<>\"',;:()]+")
PHONE = re.compile(r"(?:\+|00?)[1-9][\d ()/.-]{6,20}\d")
TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
IP = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){3,7}")
#: A word of a program: a type, a state, a language. With five digits or more it is an id.
CODE = re.compile(r"(?=[^0-9]*(?:[0-9][^0-9]*){0,4}\Z)(?:[a-z0-9_.:/-]{1,40}|[A-Z0-9_.-]{1,40})")
AMOUNT = re.compile(r"[+-]?\d{1,9}(?:[.,]\d{1,4})?")
FILLER = ("Beispiel", "Text", "Muster", "Absatz", "Zeile", "Wort", "Inhalt", "Angabe")
CITIES = ("Musterstadt", "Beispielhausen", "Probedorf", "Vorlingen", "Exempeln")
#: Numbers below this are settings of the vendor (a label, a field); from here on they may stand for somebody.
LEAST_ID = 10_000
#: Texts that are shorter are found in others by chance.
LEAST_FOUND = 4


class Anonymiser:
    """One recording: whoever was met keeps its invention."""

    def __init__(self, words: Iterable[str] = (), keep: Iterable[str] = ()) -> None:
        #: Texts that the platform itself uses, as recorded bodies of its kind show.
        self._words = frozenset(word for word in words if not re.search(r"\s", word))
        self._keep = frozenset(keep)
        self._key = secrets.token_bytes(32)
        self._met: dict[tuple[str, str], str] = {}
        self._count: Counter[str] = Counter()
        #: What was replaced, in small letters: it must stand nowhere.
        self._originals: set[str] = set()
        #: Path -> texts that were kept as they are.
        self.kept: dict[str, set[str]] = defaultdict(set)
        #: What was replaced: kind -> how often.
        self.replaced: Counter[str] = Counter()

    def change(self, body: RecordedBody) -> RecordedBody:
        """Return a body of invented people."""
        for place, value in body.places.items():
            path = name_place(body, place)
            new = value if path in self._keep else self._change_value(path, value)
            if new != value:
                body = body.replace(place, new)
        return body

    def find_left(self, body: RecordedBody) -> list[str]:
        """Return the places at which something still stands that was replaced elsewhere."""
        return [
            path
            for place, value in body.places.items()
            if isinstance(value, str) and (path := name_place(body, place)) not in self._keep
            if any(original in value.lower() for original in self._originals)
        ]

    def change_text(self, body: RecordedBody, paths: Iterable[str]) -> RecordedBody:
        """Return a body whose texts at some places are replaced, whatever they look like."""
        for place, value in body.places.items():
            if name_place(body, place) in set(paths) and isinstance(value, str):
                self.kept[name_place(body, place)].discard(value)
                body = body.replace(place, self._invent("text", value))
        return body

    def _change_value(self, path: str, value: Any) -> Any:
        kind = find_kind(path)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            return int(self._invent("id", str(value))) if kind in ("id", "phone") and value >= LEAST_ID else value
        if isinstance(value, float) or not value.strip():
            return value
        found = self._recognise(kind, value)
        if not found:
            self.kept[path].add(value)
            return value
        return self._invent(found, value)

    def _recognise(self, kind: str, value: str) -> str:
        """Return as what a text is to be replaced; empty: it is kept."""
        if EMAIL.fullmatch(value.strip()):
            return "email"
        if kind in ("secret", "first", "last", "street", "city", "zip", "birthday"):
            return kind
        if EMAIL.search(value):
            return "text"
        if TIME.fullmatch(value):
            return ""
        if IP.fullmatch(value):
            return "ip"
        if PHONE.fullmatch(value.strip()) or (kind == "phone" and re.search(r"\d{3}", value)):
            return "phone"
        if value in self._words:
            return ""
        if value.startswith(("http://", "https://")):
            return "url"
        if kind == "full":
            return "full"
        if CODE.fullmatch(value) or AMOUNT.fullmatch(value):
            return "id" if kind == "id" and sum(sign.isdigit() for sign in value) > LEAST_FOUND else ""
        return "text" if re.search(r"\s", value) or not re.search(r"\d", value) else "id"

    def _invent(self, kind: str, value: str) -> str:
        same = re.sub(r"\D", "", value)[-7:] if kind == "phone" else value.strip().lower()
        if kind not in ("id", "text", "zip") or len(same) > LEAST_FOUND:
            self._originals |= {same} if len(same) >= LEAST_FOUND and kind != "phone" else set()
        self.replaced[kind] += 1
        if kind == "phone":
            return self._shape(value, "phone", same)
        if (kind, same) not in self._met:
            self._met[kind, same] = self._make(kind, value)
        return _cased(self._met[kind, same], value)

    def _make(self, kind: str, value: str) -> str:
        n = self._count[kind]
        self._count[kind] += 1
        given, family = GIVEN[n % len(GIVEN)], FAMILY[(n // len(GIVEN) + n) % len(FAMILY)]
        match kind:
            case "email":
                return f"{given}.{family}.{n + 1}@example.org".lower().translate(PLAIN)
            case "first":
                return given
            case "last":
                return family
            case "full":
                return f"{given} {family}" if " " in value.strip() else family
            case "street":
                return f"Musterweg {n + 1}" if re.search(r"\d", value) else "Musterweg"
            case "city":
                return CITIES[n % len(CITIES)]
            case "ip":
                return f"2001:db8::{n + 1:x}" if ":" in value else f"192.0.2.{n % 254 + 1}"
            case "url":
                return f"https://example.org/{n + 1}"
            case "birthday":
                return re.sub(r"\d\d(?=\D*\Z)", lambda found: f"{1 + self._number(value) % 28:02}", value)
            case "text":
                return " ".join(FILLER[(n + at) % len(FILLER)] for at, _ in enumerate(value.split()))
            case _:
                return self._shape(value, kind, value)

    def _shape(self, value: str, kind: str, same: str) -> str:
        """Return other digits and letters of the same kinds in the same places; of a number its last seven digits."""
        stream = hmac.new(self._key, f"{kind}|{same}".encode(), hashlib.sha512).digest()
        signs, at = list(value), 0
        for place in range(len(signs) - 1, -1, -1):
            sign, byte = signs[place], stream[at % len(stream)]
            if kind == "phone" and at >= len(same):
                break
            if sign.isdigit():
                first = place == next((n for n, each in enumerate(signs) if each.isalnum()), 0)
                signs[place] = str(1 + byte % 9 if first else byte % 10)
            elif sign.isalpha() and sign.isascii() and kind != "phone":
                hexadecimal = not re.search(r"[g-zG-Z]", value)
                letters = "abcdef" if hexadecimal else "abcdefghijklmnopqrstuvwxyz"
                signs[place] = letters[byte % len(letters)].upper() if sign.isupper() else letters[byte % len(letters)]
            else:
                continue
            at += 1
        return "".join(signs)

    def _number(self, value: str) -> int:
        return int.from_bytes(hmac.new(self._key, value.encode(), hashlib.sha256).digest()[:4], "big")


def find_kind(path: str) -> str:
    """Return what the last name of a path says of its value; empty: nothing."""
    name = re.sub(r"[^a-zäöüß0-9]", "", path.rpartition(".")[2].lower())
    return next((kind for kind, pattern in KINDS if pattern.search(name)), "")


def name_place(body: RecordedBody, place: Place) -> str:
    """Return a place as a path: `guests[].email`, or the name of a field of a form."""
    if not body.is_json:
        return str(body.values[place[0]][0])
    path = ""
    for part in place:
        path += "[]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _cased(new: str, value: str) -> str:
    if value.isupper() and len(value) > 1 and any(sign.isalpha() for sign in new):
        return new.upper()
    return new
