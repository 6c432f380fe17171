"""How a request is refused, in words that never change.

RequestRefused
  NotFound      404  unknown_source, unknown_event, missing_event, not_found, unknown_contact
  NotAllowed    405  method_not_allowed
  Unverified    401  missing_credentials, wrong_credentials, malformed_credentials, missing_signature,
                     malformed_signature, wrong_signature, missing_timestamp, malformed_timestamp, stale_timestamp,
                     ambiguous_header, ambiguous_parameter
  NotAdmitted   403  address_not_allowed, malformed_forwarded
  NotParseable  400  bad_json, bad_form, bad_query, bad_encoding, bad_packing, bad_length, empty_body, not_an_object,
                     no_notifications, too_many_fields, cut_short, bad_challenge, bad_xml, bad_contact, no_consent
  TooSlow       408  too_slow
  TooLarge      413  too_large
  HeadTooLarge  431  head_too_large
  Unsupported   415  unsupported_type, unsupported_charset, unsupported_encoding
  Invalid       422  invalid
  NotModelled   501  not_modelled
  NotKept       503  store_unavailable, store_full, spool_full, spool_failed, busy, secret_missing, internal

The code is at once the answer, the log field and the metric's label; the hint says what to do, without any value that
was sent.
"""

import json
import logging
from collections.abc import Mapping

log = logging.getLogger("relais.receiver")

#: Seconds after which asking again may help: Valkey is back from a restart in one, a failover takes a few.
RETRY_AFTER = 5


class RequestRefused(Exception):
    """A request that is not taken."""

    status = 400

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(f"{code}: {hint}")
        self.code = code
        self.hint = hint

    @property
    def headers(self) -> Mapping[str, str]:
        """What goes into the head of the answer."""
        return {}

    @property
    def answer(self) -> bytes:
        """The body of the answer, JSON."""
        return json.dumps({"error": self.code, "hint": self.hint}, ensure_ascii=False).encode()


class NotFound(RequestRefused):
    """The URL names no source, or no event of it."""

    status = 404


class NotAllowed(RequestRefused):
    """The method is not POST."""

    status = 405

    @property
    def headers(self) -> Mapping[str, str]:
        """Say what is allowed."""
        return {"allow": "POST"}


class Unverified(RequestRefused):
    """The sender did not prove to be the source, or what proves it cannot be read."""

    status = 401

    @property
    def headers(self) -> Mapping[str, str]:
        """A 401 has to name a scheme (RFC 9110); Basic is the one that platforms know."""
        return {"www-authenticate": 'Basic realm="relais"'}


class NotAdmitted(RequestRefused):
    """It comes from an address that is not on the source's list."""

    status = 403


class NotParseable(RequestRefused):
    """Its body or its URL cannot be parsed."""

    status = 400


class TooSlow(RequestRefused):
    """The body did not arrive in time."""

    status = 408

    @property
    def headers(self) -> Mapping[str, str]:
        """Close the connection: the rest of the body may still come, and would be taken for the next request."""
        return {"connection": "close"}


class TooLarge(TooSlow):
    """Its body is larger than `max_body`."""

    status = 413


class HeadTooLarge(TooSlow):
    """Its head, or the framing of its body, is larger than any platform sends."""

    status = 431


class Unsupported(RequestRefused):
    """Its type, charset or packing is none that this source reads."""

    status = 415


class Invalid(RequestRefused):
    """An item does not fit the model of its event type; only for sources with `on_invalid: refuse`."""

    status = 422

    def __init__(self, field: str, why: str) -> None:
        super().__init__("invalid", f"{field}: {why}" if field else why)
        #: Path of the field, in our names: `booker.id`.
        self.field = field

    @property
    def answer(self) -> bytes:
        """The body of the answer, with the field of its own."""
        return json.dumps({"error": self.code, "field": self.field, "hint": self.hint}, ensure_ascii=False).encode()


class NotModelled(RequestRefused):
    """The API in whose shape a source is addressed can do it, and we cannot."""

    status = 501


class NotKept(RequestRefused):
    """Its events are not on disk, or nobody knows whether they are; the same request may be taken later."""

    status = 503

    @property
    def headers(self) -> Mapping[str, str]:
        """Say when to come again."""
        return {"retry-after": str(RETRY_AFTER)}


def unforeseen(defect: Exception) -> NotKept:
    """Log an exception that nobody expected and return the refusal for it, so that the sender sends again."""
    # The traceback holds no values of the request: Python prints lines of code, not variables.
    log.error("receiver.defect", exc_info=defect)
    return NotKept("internal", "a defect of ours, and nothing is kept; try again later")
