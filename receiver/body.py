"""Parses a body: JSON or a form, one record or several, each with its own bytes.

Comes in: the body of a verified request. Goes out: records, each with the bytes it stood in, so that an event keeps the
vendor's own text. Raises NotParseable and Unsupported, and nothing else whatever the bytes are.
"""

import codecs
import json
import re
from collections.abc import Generator
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl

import pydantic_core

from receiver import errors
from receiver.field_names import SPELLED, Names
from receiver.request import MOST_PARAMETERS
from receiver.verification import VerifiedRequest
from rules import addresses

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
#: Forms of older programs; JSON is UTF-8 always (RFC 8259).
FORM_CHARSETS = frozenset({"utf-8", "iso-8859-1", "windows-1252"})
#: Charsets that JSON may name; most senders name none.
UTF8 = frozenset({"", "utf-8", "utf8"})
#: With more opening brackets the depth is checked: what is nested too deeply cannot be serialised again.
MANY_BRACKETS = 100

BLANKS = re.compile(r"[ \t\n\r]*")
OPENING = re.compile(r"[ \t\n\r]*\{[ \t\n\r]*")
COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
SIGN = re.compile(r"[ \t\n\r]*([,}\]])[ \t\n\r]*")


class BodyRecord(NamedTuple):
    """One object of the body."""

    #: As it stood in the body; of a form: the same as JSON.
    body: bytes
    fields: dict[str, Any]


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("no JSON")


#: NaN and Infinity are no JSON, though Python parses them.
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def bad_json() -> errors.NotParseable:
    """Return the refusal of a body that is no JSON."""
    return errors.NotParseable("bad_json", "the body is not valid JSON in UTF-8 (or is nested more than 200 deep)")


def text_of(body: bytes) -> str:
    """Return the text of a JSON body. Raises NotParseable."""
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as exc:
        raise errors.NotParseable("bad_encoding", "the body is not UTF-8") from exc
    if not text or text.isspace():
        raise errors.NotParseable("empty_body", "the body is empty")
    # Python parses lone surrogates and any depth, but neither can be serialised again.
    if text.count("{") + text.count("[") > MANY_BRACKETS or "\\ud" in text or "\\uD" in text:
        try:
            pydantic_core.from_json(text)
        except ValueError as exc:
            raise bad_json() from exc
    return text


def _blank(text: str, at: int) -> int:
    found = BLANKS.match(text, at)
    return found.end() if found else at


def value_at(text: str, at: int) -> tuple[Any, int]:
    """Return the JSON value that begins here, and where it ends. Raises NotParseable."""
    try:
        return _decoder.raw_decode(text, at)
    except (ValueError, RecursionError) as exc:
        raise bad_json() from exc


def members(text: str, at: int = 0) -> Generator[tuple[str, int], int, None]:
    """Yield name and position of each value of the object at `at`; the caller sends the position of its end back."""
    opened = OPENING.match(text, at)
    if opened is None:
        raise bad_json()
    at = opened.end()
    if text[at : at + 1] == "}":
        _nothing_after(text, at + 1)
        return
    while True:
        name, at = value_at(text, at)
        colon = COLON.match(text, at)
        if not isinstance(name, str) or colon is None:
            raise bad_json()
        at = yield name, colon.end()
        sign, at = _sign(text, at)
        if sign == "}":
            _nothing_after(text, at)
            return
        if sign != ",":
            raise bad_json()


def elements(text: str, at: int) -> tuple[list[tuple[Any, str]], int]:
    """Return the elements of the array that begins here, each with its text, and where the array ends."""
    found: list[tuple[Any, str]] = []
    at = _blank(text, at + 1)
    if text[at : at + 1] == "]":
        return found, at + 1
    while True:
        value, end = value_at(text, at)
        found.append((value, text[at:end]))
        sign, at = _sign(text, end)
        if sign == "]":
            return found, at
        if sign != ",":
            raise bad_json()


def _sign(text: str, at: int) -> tuple[str, int]:
    """Return the character after a value (`,`, `}` or `]`), and the position behind it and the blanks around it."""
    found = SIGN.match(text, at)
    if found is None:
        raise bad_json()
    return found[1], found.end()


def _nothing_after(text: str, at: int) -> None:
    if _blank(text, at) != len(text):
        raise bad_json()


def media_type(request: VerifiedRequest) -> tuple[str, str]:
    """Return the type of the body, in lower case, and its charset (empty: not said)."""
    if request.raw.header("content-encoding") not in (None, b"", b"identity"):
        raise errors.Unsupported("unsupported_encoding", "send the body as it is, without Content-Encoding")
    return _media_type(request.raw.header("content-type") or b"")


@lru_cache(maxsize=256)
def _media_type(given: bytes) -> tuple[str, str]:
    kind, _, parameters = given.decode("latin-1").lower().partition(";")
    charset = ""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            charset = value.strip().strip('"')
    return kind.strip(), charset


def is_json(kind: str, body: bytes) -> bool:
    """Say whether a body is JSON, by its type; without a type, by its first character."""
    if kind:
        return kind in (JSON, "text/json") or (kind.startswith("application/") and kind.endswith("+json"))
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def json_text(request: VerifiedRequest) -> str:
    """Return the text of a body that must be JSON."""
    kind, charset = media_type(request)
    if not is_json(kind, request.body) and (kind or request.body.strip()):
        raise errors.Unsupported("unsupported_type", "this source reads application/json")
    if charset not in UTF8:
        raise errors.Unsupported("unsupported_type", "JSON is UTF-8; send it so, or leave the charset away")
    return text_of(request.body)


def records(request: VerifiedRequest, names: Names = SPELLED) -> list[BodyRecord]:
    """Return the records of a body that may be a JSON object, an array of them, a form, or parameters of the URL.

    `names`: a field's name -> ours, to know which field is an e-mail address.
    """
    query = _restore_plus(dict(request.query), names) if request.raw.query_string else {}
    if not request.body.strip() and query:
        return [_to_record(query)]
    kind, charset = media_type(request)
    if kind == FORM:
        return [_to_record({**query, **_restore_plus(_form(request.body, charset), names)})]
    if kind and not is_json(kind, request.body):
        raise errors.Unsupported("unsupported_type", f"this source reads {JSON} and {FORM}")
    found = _one_object(request.body, charset) or json_records(json_text(request))
    return [_to_record({**query, **each.fields}) for each in found] if query else found


def _restore_plus(fields: dict[str, str], names: Names) -> dict[str, str]:
    """Return the fields of a form or query with the `+` of addresses put back, which unencoded is read as a blank."""
    for name, value in fields.items():
        if " " in value and names[name] == "email":
            fields[name] = addresses.restore_plus(value)
    return fields


def _one_object(body: bytes, charset: str) -> list[BodyRecord] | None:
    """Return the record of a body that is one JSON object; None: `json_records` has to parse it.

    Nearly every body is one object, and pydantic parses it in an eighth of the time; it refuses all that Python
    refuses.
    """
    if body[:1] != b"{" or charset not in UTF8:
        return None
    try:
        # Only names of fields are worth caching: the values are another person's each time.
        fields = pydantic_core.from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return None
    return [BodyRecord(body.rstrip(), fields)]


def json_records(text: str) -> list[BodyRecord]:
    """Return the records of a JSON text: an object or an array of objects."""
    at = _blank(text, 0)
    if text[at : at + 1] == "[":
        values, end = elements(text, at)
        _nothing_after(text, end)
        if not values:
            raise errors.NotParseable("empty_body", "the array holds nothing")
    else:
        value, end = value_at(text, at)
        _nothing_after(text, end)
        values = [(value, text[at:end])]
    if not all(isinstance(value, dict) for value, _ in values):
        raise errors.NotParseable("not_an_object", "the body must be a JSON object, or an array of objects")
    return [BodyRecord(each.encode(), value) for value, each in values]


def _form(body: bytes, charset: str) -> dict[str, str]:
    if charset and charset not in FORM_CHARSETS:
        raise errors.Unsupported("unsupported_type", f"forms may be in {', '.join(sorted(FORM_CHARSETS))}")
    encoding = charset or "utf-8"
    try:
        pairs = parse_qsl(
            body.decode(encoding),
            keep_blank_values=True,
            encoding=encoding,
            errors="strict",
            max_num_fields=MOST_PARAMETERS,
        )
    except ValueError as exc:
        raise errors.NotParseable("bad_form", f"the body is not a form in {encoding}") from exc
    if not pairs:
        raise errors.NotParseable("empty_body", "the form holds nothing")
    return dict(pairs)


def _to_record(fields: dict[str, Any]) -> BodyRecord:
    return BodyRecord(json.dumps(fields, ensure_ascii=False).encode(), fields)
