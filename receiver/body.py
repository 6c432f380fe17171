"""Parses a body: JSON, a form or multipart/form-data, one record or several, each with its own bytes.

Comes in: the body of a verified request, packed or not. Goes out: records, each with the bytes it stood in, so that an
event keeps the vendor's own text. What came is judged by its first sign; the label decides only what that leaves open.
Raises RequestRefused, and nothing else whatever the bytes are.
"""

import codecs
import contextlib
import json
import re
import zlib
from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, TypeVar

import pydantic_core

from receiver import errors
from receiver.field_names import SPELLED, Names
from receiver.request import MOST_PARAMETERS, split_form
from receiver.verification import VerifiedRequest
from rules import addresses

T = TypeVar("T")

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
#: With more opening brackets the depth is checked: what is nested too deeply cannot be serialised again.
MANY_BRACKETS = 100
#: Packings of one body, one in the other, and members of one gzip file.
MOST_PACKINGS, MOST_MEMBERS = 2, 100
#: Levels of `a[b][c]`; a name with more stays as it is.
MOST_LEVELS = 16
#: What an event says of itself where characters were replaced, or files left out.
CHARACTERS, FILES = "(characters)", "(files)"

BLANKS = re.compile(r"[ \t\n\r]*")
OPENING = re.compile(r"[ \t\n\r]*\{[ \t\n\r]*")
COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
SIGN = re.compile(r"[ \t\n\r]*([,}\]])[ \t\n\r]*")

#: Codecs of Python that are charsets of texts. A label of Latin-1 or ASCII means Windows-1252, as browsers have it.
CHARSETS = re.compile(
    r"utf-8|utf-16(-[bl]e)?|utf-32(-[bl]e)?|ascii|iso8859-\d+|cp\d+|koi8-[rtu]|mac-[a-z0-9]+|big5\w*|gb\w+|euc_\w+|shift_\w+"
)
LATIN = frozenset({"ascii", "iso8859-1"})
#: What begins so is in that charset, whatever the label says. The longer ones come first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: JSON begins with two ASCII signs; the zeros around them tell how wide a sign is.
WIDE = (
    (re.compile(rb"\0\0\0[^\0]"), "utf-32-be"),
    (re.compile(rb"[^\0]\0\0\0"), "utf-32-le"),
    (re.compile(rb"\0[^\0]"), "utf-16-be"),
    (re.compile(rb"[^\0]\0"), "utf-16-le"),
)
GZIP = b"\x1f\x8b"
#: What JSON that is an object or array begins with, in UTF-8.
FIRST_SIGN = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[{\[]")
#: What a form begins with: a name and `=`.
FORM_LIKE = re.compile(rb"[\w.%+\-\[\]*~]{1,200}=")

#: Escapes in JSON that write a control character.
CONTROL_ESCAPE = re.compile(rb"\\(?:[bf]|u00[01789])")
#: The one control character that JSON writes as it is.
DELETE = b"\x7f"
#: The same escapes, and those that may be half a character.
DOUBTFUL_ESCAPE = re.compile(r"\\(?:[bf]|u(?:00[01789]|[dD][89a-fA-F]))")
#: Nobody's name has one, and data bases refuse them. Tab and line ends are text.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
HALF = re.compile(r"[\ud800-\udfff]")

#: A time whose zone lost its `+`.
BLANK_ZONE = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (\d\d:?\d\d)", re.ASCII)
#: `data[email]`, `data[merges][FNAME]`, `tags[]`.
NESTED = re.compile(r"([^\[\]\s]+)((?:\[[\w.-]*\])+)\Z")
_INDEX = re.compile(r"\[([^\[\]]*)\]")
#: A parameter of the head of a part.
_PART_PARAMETER = re.compile(rb';\s*(name|filename\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE)
_BOUNDARY = re.compile(rb';\s*boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;,]{1,200}))', re.IGNORECASE)


class BodyRecord(NamedTuple):
    """One object of the body."""

    #: As it stood in the body; of a form, and where characters were replaced: the same as JSON.
    body: bytes
    fields: dict[str, Any]
    #: Why it is no object, for an element of an array that is none.
    unfit: str = ""
    #: What was not read as it came: CHARACTERS, FILES.
    unread: tuple[str, ...] = ()


class _NoValue(ValueError):
    """A word that Python takes for a number: NaN, Infinity."""


def _refuse_constant(word: str) -> NoReturn:
    raise _NoValue(word)


#: NaN and Infinity are no JSON, though Python parses them.
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
#: Also takes control characters inside texts, which are no JSON, but are sent.
_lenient_decoder = json.JSONDecoder(parse_constant=_refuse_constant, strict=False)


def bad_json(why: Exception | None = None) -> errors.NotParseable:
    """Return the refusal of a body that is no JSON; `why`: what the parser said."""
    said = ""
    if isinstance(why, json.JSONDecodeError):
        said = f": {why.msg} at character {why.pos + 1}"
    elif isinstance(why, _NoValue):
        said = f": {why} is no value of JSON (null is)"
    elif isinstance(why, RecursionError):
        said = " (it is nested more than 200 deep)"
    elif why is not None:  # of Python's errors this one is left
        said = ": it holds a number of thousands of digits"
    return errors.NotParseable("bad_json", f"the body is not valid JSON{said}")


# -- packed bodies


def unpack(request: VerifiedRequest) -> bytes:
    """Return the body without its Content-Encoding. Raises Unsupported, NotParseable, TooLarge."""
    label = request.raw.header("content-encoding")
    if label is None and request.body[:2] != GZIP:
        return request.body
    body, most = request.body, request.raw.most
    words = [each.strip().lower() for each in (label or b"gzip").decode("latin-1").split(",")]
    # Some write the charset there.
    packings = [each for each in words if each not in ("", "identity") and find_codec(each) is None]
    if len(packings) > MOST_PACKINGS:
        raise errors.Unsupported("unsupported_encoding", f"the body is packed {len(packings)} times; pack it once")
    for packing in reversed(packings):
        if FIRST_SIGN.match(body) or not body:
            continue  # a proxy has unpacked it and left the label
        if packing not in ("gzip", "x-gzip", "deflate"):
            raise errors.Unsupported(
                "unsupported_encoding", f"Content-Encoding is {told(packing)}; send gzip, deflate, or the body as it is"
            )
        body = _inflate(body, packing, most)
    return body


def _inflate(body: bytes, packing: str, most: int) -> bytes:
    """Return what gzip or deflate packed, at most `most` bytes."""
    if body[:2] == GZIP:
        wbits = 31
    else:  # deflate is zlib by its standard; some send it bare
        wbits = 15 if len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0 else -15
    found: list[bytes] = []
    left = most + 1
    try:
        for _ in range(MOST_MEMBERS):
            member = zlib.decompressobj(wbits)
            found.append(member.decompress(body, left))
            left -= len(found[-1])
            if left <= 0:
                raise errors.TooLarge("too_large", f"a body may have {most} bytes when it is unpacked")
            if not member.eof:
                raise zlib.error("cut short")
            body = member.unused_data.lstrip(b"\0") if wbits == 31 else b""
            if not body:
                return b"".join(found)
    except zlib.error as exc:
        hint = f"the label says Content-Encoding: {packing}, but the body cannot be unpacked, or was cut short"
        raise errors.NotParseable("bad_packing", hint) from exc
    raise errors.NotParseable("bad_packing", f"the body is more than {MOST_MEMBERS} gzip files")


# -- labels and charsets


def told(text: str) -> str:
    """Return what somebody sent as it may stand in a hint: short, without control characters."""
    return f'"{CONTROL.sub("?", text)[:80]}"'


def media_type(request: VerifiedRequest) -> tuple[str, str]:
    """Return the type of the body, in lower case, and its charset (empty: not said)."""
    return _media_type(request.raw.header("content-type") or b"")


@lru_cache(maxsize=256)
def _media_type(given: bytes) -> tuple[str, str]:
    kind, _, parameters = given.decode("latin-1").lower().partition(";")
    charset = ""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            charset = value.strip().strip("\"'")
    return kind.strip(), charset


@lru_cache(maxsize=256)
def find_codec(charset: str) -> str | None:
    """Return Python's name of a charset: `latin1`, `utf8`, `windows-1252`; None where we know none of that name."""
    try:
        name = codecs.lookup(charset).name.removesuffix("-sig")
    except (LookupError, ValueError):
        return None
    if name in LATIN:
        return "cp1252"
    return name if CHARSETS.fullmatch(name) else None


def choose_charset(body: bytes, charset: str) -> tuple[str, str]:
    """Return codec and error handler for texts: what is UTF-8 is read so, whatever the label says.

    Raises NotParseable, Unsupported.
    """
    for handler in ("strict", "surrogatepass"):  # the latter: halves of characters, each written out by itself
        try:
            body.decode("utf-8", handler)
        except UnicodeDecodeError:
            continue
        return "utf-8", handler
    codec = find_codec(charset) if charset else "utf-8"
    if codec is None:
        raise errors.Unsupported("unsupported_charset", f"there is no charset {told(charset)}; send UTF-8")
    if codec != "utf-8":
        for name in (codec, "latin-1") if codec == "cp1252" else (codec,):
            try:
                body.decode(name)
            except UnicodeDecodeError:
                continue
            return name, "strict"
    elif _is_damaged(body):
        return "utf-8", "replace"
    why = f"is not in {charset}, as its label says" if charset else "is not UTF-8, and its label names no other charset"
    raise errors.NotParseable("bad_encoding", f"the body {why}")


def _is_damaged(body: bytes) -> bool:
    """Say whether it is UTF-8 in which characters were cut, not something else that nobody named."""
    text = body.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = len(text) - bad - sum(map(str.isascii, text))
    lost = len(body) - len(text.replace("\ufffd", "").encode())
    return good > bad or lost >= 2 * bad


def text_of(body: bytes, charset: str = "") -> str:
    """Return the text of a JSON body; half a character in it stands as its escape. Raises NotParseable, Unsupported."""
    text = ""
    if b"\0" not in body[:4]:
        with contextlib.suppress(UnicodeDecodeError):
            text = body.removeprefix(codecs.BOM_UTF8).decode()
    if not text:
        text = _decode_unusual(body, charset)
    if not text or text.isspace():
        raise errors.NotParseable("empty_body", "the body is empty")
    return text


def _decode_unusual(body: bytes, charset: str) -> str:
    found = next(((len(mark), name) for mark, name in MARKS if body.startswith(mark)), None)
    size, codec = found or (0, next((name for pattern, name in WIDE if pattern.match(body)), ""))
    if codec in ("", "utf-8"):
        codec, handler = choose_charset(body[size:], charset)
    else:  # a byte too few at the end is no text
        handler = "surrogatepass" if len(body) % 2 == 0 else "replace"
    try:
        text = body[size:].decode(codec, handler)
    except UnicodeDecodeError as exc:
        raise errors.NotParseable("bad_encoding", f"the body begins as {codec}, but is not") from exc
    if handler == "replace":
        text = text.replace("\ufffd", "\ud800")
    return HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def json_text(request: VerifiedRequest, body: bytes | None = None) -> str:
    """Return the text of a body that must be JSON; `body`: unpacked already."""
    body = unpack(request) if body is None else body
    kind, charset = media_type(request)
    if not is_json(kind, body) and (kind or body.strip()):
        raise errors.Unsupported("unsupported_type", f"this source reads {JSON}; what came is {_described(kind, body)}")
    return text_of(body, charset)


def is_json(kind: str, body: bytes) -> bool:
    """Say whether a body is JSON, by its first sign; where that says nothing, by its type."""
    if FIRST_SIGN.match(body):
        return True
    if kind in (FORM, MULTIPART) or FORM_LIKE.match(body):
        return False
    if body.startswith(tuple(mark for mark, _ in MARKS)) or b"\0" in body[:4]:
        return True
    return kind in (JSON, "text/json") or (kind.startswith("application/") and kind.endswith("+json"))


def _described(kind: str, body: bytes) -> str:
    looks = "a form" if FORM_LIKE.match(body) else "XML or HTML" if body.lstrip()[:1] == b"<" else "something else"
    return f"labelled {told(kind)} and looks like {looks}" if kind else f"without a label and looks like {looks}"


# -- JSON


def parse_json(text: str, parse: Callable[[str], T]) -> tuple[T, tuple[str, ...]]:
    """Return what `parse` makes of a JSON text, and what was replaced in it. Raises NotParseable.

    Halves of characters become U+FFFD, control characters are taken out: sent once more they would be the same.
    """
    if not DOUBTFUL_ESCAPE.search(text) and "\x7f" not in text and text.count("{") + text.count("[") <= MANY_BRACKETS:
        try:
            return parse(text), ()
        except errors.NotParseable as exc:
            if exc.code != "bad_json" or not CONTROL.search(text.replace("\n", "\0").replace("\t", "\0")):
                raise
    mended, replaced = _mend(text)
    return parse(mended), (CHARACTERS,) if replaced else ()


def _mend(text: str) -> tuple[str, bool]:
    """Return JSON that can be written out again, and whether characters were replaced. Raises NotParseable."""
    try:
        pydantic_core.from_json(text)
    except ValueError as exc:
        if "recursion" in str(exc):
            raise bad_json(RecursionError()) from exc
    else:
        if not CONTROL_ESCAPE.search(text.encode()) and "\x7f" not in text:
            return text, False
    try:
        # Python parses lone surrogates and any depth, but neither can be serialised again.
        value, end = _lenient_decoder.raw_decode(text, _blank(text, 0))
        _nothing_after(text, end)
        cleaned = clean(value)
        mended = json.dumps(cleaned, ensure_ascii=False)
        pydantic_core.from_json(mended)
        return mended, cleaned != value
    except (ValueError, RecursionError) as exc:
        raise bad_json(exc) from exc


def clean(value: Any) -> Any:
    """Return a JSON value whose texts and names can be written everywhere: no halves of characters, no controls."""
    if isinstance(value, str):
        return CONTROL.sub("", HALF.sub("\ufffd", value))
    if isinstance(value, dict):
        return {clean(name): clean(each) for name, each in value.items()}
    return [clean(each) for each in value] if isinstance(value, list) else value


def _blank(text: str, at: int) -> int:
    found = BLANKS.match(text, at)
    return found.end() if found else at


def value_at(text: str, at: int) -> tuple[Any, int]:
    """Return the JSON value that begins here, and where it ends. Raises NotParseable."""
    try:
        return _decoder.raw_decode(text, at)
    except (ValueError, RecursionError) as exc:
        raise bad_json(exc) from exc


def members(text: str) -> Generator[tuple[str, int], int, None]:
    """Yield name and position of each value of the object; the caller sends the position of its end back."""
    opened = OPENING.match(text)
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


def cut(text: str, steps: Sequence[str]) -> str | None:
    """Return the text of the value at some steps into a JSON text, as it stands there; None where there is none.

    Of a name that stands twice the last value counts. A text that holds JSON is looked into.
    """
    text = _inside(text)
    for step in steps:
        found: str | None = None
        if text[:1] == "[" and step.isdecimal():
            entries, _ = elements(text, 0)
            found = entries[int(step)][1] if int(step) < len(entries) else None
        elif text[:1] == "{":
            walk = members(text)
            with contextlib.suppress(StopIteration):
                name, at = next(walk)
                while True:
                    _, end = value_at(text, at)
                    found = text[at:end] if name == step else found
                    name, at = walk.send(end)
        if found is None:
            return None
        text = _inside(found)
    return text


def _inside(text: str) -> str:
    """Return the JSON that a JSON text holds (a form's field `payload`); what holds none as it is."""
    text = text.strip(" \t\r\n")
    if text[:1] == '"':
        inner = str(value_at(text, 0)[0]).strip()
        if inner[:1] in ("{", "["):
            with contextlib.suppress(errors.NotParseable):
                mended, _ = parse_json(inner, lambda each: (value_at(each, 0), each)[1])
                return mended.strip()
    return text


def _sign(text: str, at: int) -> tuple[str, int]:
    """Return the character after a value (`,`, `}` or `]`), and the position behind it and the blanks around it."""
    found = SIGN.match(text, at)
    if found is None:
        raise bad_json()
    return found[1], found.end()


def _nothing_after(text: str, at: int) -> None:
    at = _blank(text, at)
    if at != len(text):
        words = (
            "more begins behind its end; send one object, or an array of them," if text[at] in "{[" else "Extra data"
        )
        raise bad_json(json.JSONDecodeError(words, text, at))


# -- records


def records(request: VerifiedRequest, names: Names = SPELLED, *, merge_query: bool = True) -> list[BodyRecord]:
    """Return the records of a body that may be a JSON object, an array of them, a form, or parameters of the URL.

    `names`: a field's name -> ours, to know which field is an e-mail address. `merge_query`: whether parameters of the
    URL are fields, too.
    """
    query = nest(restore_plus(request.query, names)) if merge_query and request.raw.query_string else {}
    body = unpack(request)
    if query and not body.strip():
        return [_to_record(query)]
    if (found := _one_object(body)) is None:
        found = _slow_records(request, body, names)
    if not query:
        return found
    return [each if each.unfit else _to_record({**query, **each.fields}, each.unread) for each in found]


def _one_object(body: bytes) -> list[BodyRecord] | None:
    """Return the record of a body that is one JSON object; None: it has to be looked at more closely.

    Nearly every body is one object, and pydantic parses it in an eighth of the time; it refuses all that Python
    refuses.
    """
    if body[:1] != b"{" or (b"\\" in body and CONTROL_ESCAPE.search(body)) or DELETE in body:
        return None
    try:
        # Only names of fields are worth caching: the values are another person's each time.
        fields = pydantic_core.from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return None
    return [BodyRecord(body.rstrip(), fields)]


def _slow_records(request: VerifiedRequest, body: bytes, names: Names) -> list[BodyRecord]:
    kind, charset = media_type(request)
    if not body.strip():
        raise errors.NotParseable("empty_body", "the body is empty")
    if is_json(kind, body):
        return json_records(text_of(body, charset))
    if kind == MULTIPART:
        return _form_records(*_read_multipart(request, body, charset), names)
    if kind == FORM or FORM_LIKE.match(body):
        return _form_records(_read_form(body, charset), (), names)
    raise errors.Unsupported(
        "unsupported_type", f"this source reads {JSON}, {FORM} and {MULTIPART}; what came is {_described(kind, body)}"
    )


def json_records(text: str) -> list[BodyRecord]:
    """Return the records of a JSON text: an object or an array of objects; what is none is a record that says so."""
    values, unread = parse_json(text, _split)
    if not any(isinstance(value, dict) for value, _ in values):
        came = "an array without one" if text.lstrip()[:1] == "[" else type(values[0][0]).__name__
        came = {"str": "a text", "NoneType": "null", "bool": "true or false"}.get(came, came)
        came = "a number" if came in ("int", "float") else came
        raise errors.NotParseable(
            "not_an_object", f"the body must be a JSON object, or an array of objects; what came is {came}"
        )
    return [
        BodyRecord(each.encode(), value, unread=unread)
        if isinstance(value, dict)
        else BodyRecord(each.encode(), {}, "must be an object, as every element of the array", unread)
        for value, each in values
    ]


def _split(text: str) -> list[tuple[Any, str]]:
    at = _blank(text, 0)
    if text[at : at + 1] == "[":
        values, end = elements(text, at)
        _nothing_after(text, end)
        if not values:
            raise errors.NotParseable("empty_body", "the array holds nothing")
        return values
    value, end = value_at(text, at)
    _nothing_after(text, end)
    return [(value, text[at:end])]


def _to_record(fields: dict[str, Any], unread: tuple[str, ...] = ()) -> BodyRecord:
    cleaned = clean(fields)
    if cleaned != fields and CHARACTERS not in unread:
        unread = (*unread, CHARACTERS)
    return BodyRecord(json.dumps(cleaned, ensure_ascii=False).encode(), cleaned, unread=unread)


# -- forms

#: Names and values of a form, in their order.
Pairs = list[tuple[str, str]]


def _read_form(body: bytes, charset: str) -> Pairs:
    parts = split_form(body.removeprefix(codecs.BOM_UTF8).strip(b" \t\r\n"))
    if parts is None:
        raise errors.NotParseable("too_many_fields", f"the form has more than {MOST_PARAMETERS} fields")
    return _decode_pairs([(name, value, b"") for name, value in parts], charset)


def _read_multipart(request: VerifiedRequest, body: bytes, charset: str) -> tuple[Pairs, tuple[str, ...]]:
    """Return names and values, and FILES where files came along: they are left out. Raises NotParseable."""
    boundary = _BOUNDARY.search(request.raw.header("content-type") or b"")
    if boundary is None:
        raise errors.NotParseable("bad_form", f"the label {MULTIPART} names no boundary")
    line = rb"(?:\A|\r?\n)--" + re.escape(boundary[1] or boundary[2]) + rb"(?:--)?[ \t]*(?=\r?\n|\Z)"
    found: list[tuple[bytes, bytes, bytes]] = []
    unread: tuple[str, ...] = ()
    for part in re.split(line, body)[1:]:
        head, blank, value = _head_and_value(part)
        parameters = {each[1].lower(): each[2] or each[3] or b"" for each in _PART_PARAMETER.finditer(head)}
        if b"filename" in parameters or b"filename*" in parameters:
            unread = (FILES,)
        elif blank and b"name" in parameters:
            label = re.search(rb"(?mi)^content-type:[^\r\n]*charset\s*=\s*[\"']?([\w.:-]{1,40})", head)
            found.append((_plain(parameters[b"name"]), value, label[1] if label else b""))
        if len(found) > MOST_PARAMETERS:
            raise errors.NotParseable("too_many_fields", f"the form has more than {MOST_PARAMETERS} fields")
    if unread and not found:
        raise errors.NotParseable("empty_body", "the form holds files only; send the body as a field, or by itself")
    return _decode_pairs(found, charset), unread


def _head_and_value(part: bytes) -> tuple[bytes, bytes, bytes]:
    """Return head, blank line and value of a part; a part without a head begins with the blank line."""
    part = part.removeprefix(b"\r").removeprefix(b"\n")
    for blank in (b"\r\n\r\n", b"\n\n"):
        if blank in part:
            return part.partition(blank)
    return part, b"", b""


def _plain(name: bytes) -> bytes:
    """Return the name of a part: browsers write quotes and line ends in it with %, others with a backslash."""
    return re.sub(rb"\\(.)", rb"\1", name).replace(b"%22", b'"').replace(b"%0D%0A", b"")


def _decode_pairs(parts: list[tuple[bytes, bytes, bytes]], charset: str) -> Pairs:
    if not parts:
        raise errors.NotParseable("empty_body", "the form holds nothing")
    try:
        codec, handler = choose_charset(
            b"\n".join([part for name, value, _ in parts for part in (name, value)]), charset
        )
    except errors.NotParseable as exc:
        own = {label.decode("ascii") for _, _, label in parts if label}
        if charset or len(own) != 1:
            raise errors.NotParseable("bad_form", exc.hint.replace("the body", "the form")) from exc
        return _decode_pairs([(name, value, b"") for name, value, _ in parts], own.pop())
    return [(name.decode(codec, handler), value.decode(codec, handler)) for name, value, _ in parts]


def _form_records(pairs: Pairs, unread: tuple[str, ...], names: Names) -> list[BodyRecord]:
    if len(pairs) == 1 and pairs[0][1].lstrip()[:1] in ("{", "["):
        try:  # `payload={…}`: a form of one field that is JSON is that JSON
            return json_records(pairs[0][1].strip())
        except errors.NotParseable:
            pass
    return [_to_record(nest(restore_plus(pairs, names)), unread)]


def restore_plus(pairs: Pairs, names: Names = SPELLED) -> Pairs:
    """Return a form or query with the `+` of addresses and times put back, which unencoded is read as a blank."""
    return [(name, _restore(value, name, names) if " " in value else value) for name, value in pairs]


def _restore(value: str, name: str, names: Names) -> str:
    if names[name.rpartition("[")[2].rstrip("]")] == "email":
        return addresses.restore_plus(value)
    return restore_zone(value)


def restore_zone(text: str) -> str:
    """Return a time of a form or query with the `+` of its zone put back; any other text as it is."""
    found = BLANK_ZONE.fullmatch(text)
    return f"{found[1]}+{found[2]}" if found else text


def nest(pairs: Pairs) -> dict[str, Any]:
    """Return the fields of a form: `data[email]` stands inside `data`, `tags[]` is a list.

    Of a name that stands twice the last value counts, as most programs have it.
    """
    fields: dict[str, Any] = {}
    nested = False
    for name, value in pairs:
        path = NESTED.match(name) if "[" in name else None
        if path is None or path[2].count("[") > MOST_LEVELS or not _put(fields, path, value):
            fields[name] = value
        else:
            nested = True
    return {name: _make_lists(each) for name, each in fields.items()} if nested else fields


def _put(fields: dict[str, Any], path: "re.Match[str]", value: str) -> bool:
    """Put a value at its place; return whether it is free for it."""
    *above, last = [path[1], *_INDEX.findall(path[2])]
    at = fields
    for step in above:
        inner = at.setdefault(step or str(len(at)), {})
        if not isinstance(inner, dict):
            return False
        at = inner
    at[last or str(len(at))] = value
    return True


def _make_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _make_lists(each) for name, each in value.items()}
    is_list = list(inner) == [str(each) for each in range(len(inner))]
    return list(inner.values()) if is_list else inner
