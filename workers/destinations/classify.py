"""What an answer means.

Takes an Answer and the exceptions that a destination knows of its own; returns None for done, or the Failed to raise.
Never sends and never quotes a body: bodies hold people.
"""

import json
import re
from collections.abc import Mapping, Sequence
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

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    #: Any of these. Absent: any status.
    status: tuple[int, ...] = ()
    #: The type without parameters: `text/html`.
    content_type: str | None = None
    #: This text is in the body; capital or small letters are the same.
    contains: str | None = None
    #: The JSON at `path` is `equals`.
    path: str | None = None
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

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
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
    except ValueError:
        return False
    return True


def says_error(parsed: Any) -> bool:
    """Tell whether JSON says at its top that something went wrong: `{"success": false}`, `{"errors": [...]}`.

    Nobody promises more: whether anything was done is unknown, unless the book says what success looks like.
    """
    if not isinstance(parsed, Mapping):
        return False
    if any(parsed.get(word) is False for word in ("success", "ok")):
        return True
    return any(bool(parsed.get(word)) for word in ("error", "errors")) and parsed.get("id") is None


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


def _failed(failure: Failure, code: str, answer: HttpAnswer) -> Failed:
    wait = answer.wait() if failure in ("limited", "transient") else 0.0
    return Failed(failure, code, wait=wait, status=answer.status, hint=HINTS.get(code, ""))
