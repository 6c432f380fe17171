"""`dedupe:` of a source: what makes two messages the same, beside the sender's id, and for how long.

Comes in: the options of the book, an event. Goes out: a text that is the same for two such messages. Never holds a
value of a person in clear: it is a hash, and the mailroom hashes it again with its key.
"""

import hashlib
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import to_json

from rules.event import Event
from rules.matching import path as paths
from rules.matching.path import ABSENT, PathWrong
from rules.rule import Facts
from rules.source.units import DAY, SECOND, Duration

#: What a key may begin with.
ROOTS = ("data", "raw", "subject", "time", "order_key")


def _is_field(value: str) -> str:
    try:
        path = paths.parse(value)
    except PathWrong as exc:
        raise ValueError(f"is no field of an event: {exc.text}") from None
    if path.root not in ROOTS or (path.root in ("data", "raw")) is not bool(path.steps):
        raise ValueError("must be a field of the event as rules name it: data.…, raw.…, subject, time or order_key")
    if path.list_steps:
        raise ValueError("names any element of a list; a key is one value")
    return value


def _is_window(value: int) -> int:
    if not SECOND <= value <= 31 * DAY:
        raise ValueError("must be between 1s and 31d")
    return value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


FieldName = Annotated[str, AfterValidator(_is_field)]


class DedupeOptions(BaseModel):
    """What makes two messages the same, and how long the first of them is remembered."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: So long after the first one the others are dropped: 1s to 31d.
    window: Annotated[Duration, AfterValidator(_is_window)]
    #: The fields in which they are the same, as rules name them: raw.order.id, data.email. Without it the content.
    key: Annotated[
        tuple[FieldName, ...],
        BeforeValidator(_listed),
        Field(max_length=20),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = ()

    @cached_property
    def _readers(self) -> list[paths.Reader]:
        return [paths.reader_of(paths.parse(each)) for each in self.key]

    @property
    def reads_data(self) -> bool:
        """Whether a key stands in `data`, which is derived from the body."""
        return any(each.startswith("data") for each in self.key)

    def mark(self, event: Event, content: bytes) -> str:
        """Return what is the same for two messages; empty where a field of the key is not there, or null."""
        facts = Facts(event, {})
        values = [read(facts) for read in self._readers]
        if any(value is ABSENT or value is None for value in values):
            return ""
        what = to_json(values) if self.key else content
        return hashlib.blake2b(f"{event.type}\0".encode() + what, digest_size=16).hexdigest()
