"""What an answer means.

Takes an Answer and the exceptions that a destination knows of its own; returns None for done, or the Failed to raise.
Never sends and never quotes a body: bodies hold people. Of a refusal it keeps names of fields, codes, and which of the
sentences that we know it holds.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workers.destinations.base import dig
from workers.http import HttpAnswer
from workers.outcome import Failed, Failure

#: Server errors that say the request was not carried out: overloaded (503), and a CDN that never reached the server.
NOT_CARRIED_OUT = frozenset({503, 521, 522, 523, 525, 526})

#: Status -> class and code, where there is more to say than the hundred it stands in.
BY_STATUS: Mapping[int, tuple[Failure, str]] = {
    400: ("permanent", "bad_request"),
    401: ("credential", "unauthorised"),
    402: ("credential", "payment_required"),
    403: ("credential", "forbidden"),
    404: ("permanent", "not_found"),
    405: ("permanent", "not_allowed"),
    407: ("credential", "unauthorised"),
    408: ("transient", "request_timeout"),
    409: ("permanent", "conflict"),
    410: ("permanent", "gone"),
    412: ("permanent", "conflict"),
    413: ("permanent", "too_large"),
    415: ("permanent", "unsupported"),
    421: ("transient", "unavailable"),  # a proxy led it to the wrong server, which did nothing
    422: ("permanent", "invalid"),
    423: ("transient", "locked"),
    425: ("transient", "too_early"),
    429: ("limited", "limited"),
    501: ("permanent", "not_implemented"),
    505: ("permanent", "not_implemented"),
}

HINTS: Mapping[str, str] = {
    "unauthorised": "the key is missing, wrong or has expired",
    "payment_required": "the contract with the vendor does not cover this",
    "forbidden": "the key has no right to do this",
    "not_found": "the address or the object does not exist; look at base and paths",
    "bad_answer": "it said success, and the answer is none: a page, or text that is no JSON",
    "error_in_body": "it said success, and its body says error; see `success:` and `errors:` of a rest destination",
    "redirected": "the address answers with a redirect, which is not followed; look at base",
}


#: Seconds after which a quota of a day that is used up is asked for again, should its day begin earlier than we think.
LONGEST_REST = 3_600.0

#: Keys of what tells of an error. Others are never looked into: some vendors show what was sent, and that is a person.
TELLING = frozenset({"error", "errors", "detail", "details", "issuelist", "violations", "fielderrors", "context"})
#: Keys under which vendors put the name of a field, and a code of theirs. Under `errors` the keys themselves are names.
NAMING = frozenset({"field", "fields", "source", "property", "propertyname", "attribute", "param", "loc", "pointer"})
CODING = frozenset({"code", "category", "violation", "i18nkey", "error_code", "errorcode", "subcategory", "type"})
#: Of these a refused contact, shown at the top of an answer, has none of its own.
PLAIN = frozenset({"error_code", "errorcode", "subcategory"})
#: How a field or code looks: never like an address, a number or a text.
WORD = re.compile(r"/?[A-Za-z](?:[./\[\]_A-Za-z]|(?<=[\[./])\d{1,3}){0,79}", re.ASCII)
MOST_NAMED = 5
DEEPEST_EXPLAINED = 6
LONGEST_EXPLAINED = 20_000  # characters
#: What is found in a refusal -> what we say of it. Their own sentences quote values.
SENTENCES: Mapping[re.Pattern[str], str] = {
    re.compile(theirs): ours
    for theirs, ours in {
        r"\brequired\b|\bmissing\b|\bmust not be (?:null|empty|blank)|pflichtfeld|\bnotnull\b": "something is missing",
        r"already exist|must be unique|\bduplicate|existiert bereits|bereits vorhanden": "there is one already",
        r"number of digits|too many (?:digits|decimals)|nachkommastellen": "a number has more digits than they take",
        r"too long|maximum length|at most \d+ characters|zu lang": "a text is too long",
        r"not valid|not a valid|\binvalid\b|ung(?:ü|\\u00fc)ltig": "a value is not valid",
        r"does not exist|not found|\bunknown\b|nicht gefunden": "something that is named is not there",
        r"not allowed|permission|not authori[sz]ed|keine berechtigung": "the key or user may not do this",
        r"already (?:posted|paid|cancell?ed|finali[sz]ed)|is locked|modify": "its state does not allow this",
    }.items()
}


#: How a page for people begins, or a piece of one.
_PAGE = re.compile(
    rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|title|meta|h[1-6]|div|p|center|span|br|style|script"
    rb"|table|form|pre|b|font|errors?|fault)\b",
    re.IGNORECASE | re.DOTALL,
)
#: XML that was not cut: what is opened first is closed last.
_WHOLE_XML = re.compile(rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<([\w:.-]+)[^>]*(?:/>|>.*</\1\s*>)", re.DOTALL)


class ErrorRule(BaseModel):
    """An exception from the table: all that is said must hold; the first one that holds decides."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", populate_by_name=True)

    #: Any of these. Absent: any status.
    status: tuple[int, ...] = ()
    #: The type without parameters: `text/html`.
    content_type: str | None = None
    #: This text is in the body; capital or small letters are the same.
    contains: str | None = None
    #: The JSON at `path` is `equals`.
    path: str | None = None
    #: What stands at `path` then.
    equals: str | int | bool | None = None
    #: What it is: a class of failure, or `done`.
    means: Failure | Literal["done"] = Field(alias="is")
    #: The code that shows in log, metric and dead letter.
    code: str = Field(default="told_by_rule", pattern=r"^[a-z][a-z0-9_]*$")

    @model_validator(mode="after")
    def _says_something(self) -> "ErrorRule":
        if not self.status and self.content_type is None and self.contains is None and self.path is None:
            raise ValueError("needs at least one of status, content_type, contains, path")
        return self

    def holds(self, answer: HttpAnswer, parsed: Any) -> bool:
        """Tell whether the answer is one of these."""
        return (
            (not self.status or answer.status in self.status)
            and (self.content_type is None or answer.content_type == self.content_type)
            and (self.contains is None or self.contains.lower() in answer.text.lower())
            and (self.path is None or dig(parsed, self.path) == self.equals)
        )


class SuccessTest(BaseModel):
    """What the body of a success says, for vendors that answer 200 to everything: `{path: success, equals: true}`."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    #: Where it stands in the answer: success.
    path: str
    #: What stands there after a success: true.
    equals: str | int | bool | None


def classify(
    answer: HttpAnswer,
    *,
    creates: bool = False,
    rules: Sequence[ErrorRule] = (),
    success: SuccessTest | None = None,
    xml: bool = False,
    by_status_alone: bool = False,
) -> Failed | None:
    """Return what the answer means: None for done, else the failure to raise.

    `creates`: an answer after which something may have been created is ambiguous. `xml`: the vendor answers in XML.
    `by_status_alone`: 2xx is done whatever the body says, where no rule says otherwise.
    """
    parsed = answer.json() if rules or answer.ok else None
    for rule in rules:
        if rule.holds(answer, parsed):
            return None if rule.means == "done" else _failed(rule.means, rule.code, answer)
    if answer.ok and by_status_alone:
        return None
    if answer.ok:
        if success is not None and dig(parsed, success.path) != success.equals:
            return _failed("permanent", "refused_in_body", answer)
        if (parsed is None or answer.cut) and not looks_like_success(answer, xml=xml):
            return _failed("ambiguous" if creates else "transient", "bad_answer", answer)
        if success is None and says_error(parsed):
            return _failed("ambiguous" if creates else "transient", "error_in_body", answer)
        return None
    return _failed(*by_status(answer.status, creates=creates), answer)


def is_page(answer: HttpAnswer) -> bool:
    """Tell whether the body is a page for people, as a web server answers at an address that no API has."""
    return _PAGE.match(answer.body.strip()) is not None


def looks_like_success(answer: HttpAnswer, *, xml: bool = False) -> bool:
    """Tell whether the body of a success is one: JSON, or nothing at all. A login page says 200, too."""
    body = answer.body.strip()
    if not body:
        return True
    if xml and body.startswith(b"<"):
        return not _PAGE.match(body) and (answer.cut or _WHOLE_XML.fullmatch(body) is not None)
    if answer.cut:
        return body.startswith((b"{", b"["))
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def says_error(parsed: Any) -> bool:
    """Tell whether JSON says at its top that something went wrong: `{"success": false}`, `{"errors": [...]}`.

    Nobody promises more: whether anything was done is unknown, unless the book says what success looks like.
    """
    if not isinstance(parsed, dict):
        return False
    if parsed.get("success") is False or parsed.get("ok") is False:
        return True
    return bool(parsed.get("error") or parsed.get("errors")) and parsed.get("id") is None


def by_status(status: int, *, creates: bool) -> tuple[Failure, str]:
    """Return class and code of a status that is no success."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status < 400:
        return "transient", "redirected"
    if status < 500:
        return "permanent", "refused"
    if creates and status not in NOT_CARRIED_OUT:
        return "ambiguous", "server_error"
    return "transient", "unavailable" if status in NOT_CARRIED_OUT else "server_error"


def until_midnight(zone: str, now: datetime | None = None) -> float:
    """Return the seconds to leave a vendor alone whose quota of a day is used up: until the day ends in its zone.

    At most an hour: the zone may be wrong, and one request an hour costs nothing. For vendors that do not say when.
    """
    here = (now or datetime.now(ZoneInfo(zone))).astimezone(ZoneInfo(zone))
    ends = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return min(max(1.0, ends.timestamp() - here.timestamp()), LONGEST_REST)


def explain(answer: HttpAnswer) -> str:
    """Return why a request was refused, in words that hold no value of a person.

    A name of a field or a code is one only where it stands under a key for such, and looks like one.
    """
    parsed = answer.json()
    named = list(dict.fromkeys(_find_names(parsed, NAMING, 0)))[:MOST_NAMED]
    coded = list(dict.fromkeys(_find_names(parsed, CODING, 0)))[:MOST_NAMED]
    text = answer.text[:LONGEST_EXPLAINED].lower()
    said = [ours for theirs, ours in SENTENCES.items() if theirs.search(text)]
    parts = [
        *said,
        *([f"fields: {', '.join(named)}"] if named else []),
        *([f"codes: {', '.join(coded)}"] if coded else []),
    ]
    return (
        f"they say: {'; '.join(parts)}" if parts else f"refused with HTTP {answer.status}, and no reason that we know"
    )


def _find_names(value: Any, keys: frozenset[str], depth: int) -> Iterator[str]:
    """Yield what stands under some keys and is a name or code: no blank, no @, no number, a word of a language."""
    if depth > DEEPEST_EXPLAINED:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = key.lower()
            if name in keys and (depth or name in PLAIN):
                yield from _list_words(inner if isinstance(inner, list) else [inner])
            if key == "errors" and keys is NAMING and isinstance(inner, Mapping):
                yield from _list_words(inner)
            if name in TELLING:
                yield from _find_names(inner, keys, depth + 1)
    elif isinstance(value, list):
        for inner in value[:MOST_NAMED]:
            yield from _find_names(inner, keys, depth + 1)


def _list_words(found: Iterable[Any]) -> Iterator[str]:
    return (word for word in found if isinstance(word, str) and WORD.fullmatch(word))


def _failed(failure: Failure, code: str, answer: HttpAnswer) -> Failed:
    wait = answer.wait() if failure in ("limited", "transient") else 0.0
    hint = HINTS.get(code) or (explain(answer) if failure == "permanent" else "")
    return Failed(failure, code, wait=wait, status=answer.status, hint=hint)
