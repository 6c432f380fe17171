"""Events passed on to any receiver of webhooks: as CloudEvents or plain JSON, signed after Standard Webhooks.

Takes the arguments of its one action; returns Done or raises Failed.
Never keeps a message back because it may have been sent before: the receiver knows it by its `webhook-id`.

Facts: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md; github.com/cloudevents/spec,
v1.0.2, cloudevents/bindings/http-protocol-binding.md and formats/json-format.md.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import to_json

from rules import standard_webhooks
from rules.catalogue import ActionKind, DestinationKind, StandIn
from rules.secret import Secret
from rules.verify import Header, Secrets
from workers.destinations.base import (
    ActionArguments,
    Address,
    Client,
    DestinationOptions,
    DestinationType,
    Id,
    Memory,
    Reveal,
    Text,
    Visit,
    drop_nulls,
    list_names,
    open_address,
)
from workers.destinations.classify import ErrorRule, classify
from workers.http import HiddenHeaders, Http
from workers.outcome import Done

JSON = "application/json"
CLOUDEVENTS = "application/cloudevents+json"

#: Headers that every message has: none of the book's may replace them.
OURS = frozenset({"content-length", "content-type", "host", "transfer-encoding", "connection"})
#: What headers of these two conventions begin with.
RESERVED = ("webhook-", "ce-")

#: What an attribute in a header keeps as it is: printable ASCII but blank, quote and percent (binding, 3.1.3.2).
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def _read_headers(headers: Mapping[str, Secret]) -> Mapping[str, Secret]:
    taken = sorted(name for name in headers if name.lower() in OURS or name.lower().startswith(RESERVED))
    if taken:
        raise ValueError(f"{', '.join(taken)}: written by the destination itself")
    return headers


def _read_time(text: str) -> str:
    try:
        there = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        there = False
    if not there:
        raise ValueError("must be a time with its zone, such as 2026-11-29T09:00:00Z")
    return text


class WebhookOptions(DestinationOptions):
    """What ops may write under a destination of kind `webhook`."""

    base: Address = Field(description="Where messages are posted: the whole address. Where it holds a key: ${NAME}.")
    secret: Secrets | None = Field(
        default=None,
        description="Signs after Standard Webhooks: `whsec_` and base64. While it is rotated: several, and each signs.",
    )
    headers: Annotated[Mapping[Header, Secret], AfterValidator(_read_headers)] = Field(
        default_factory=dict, description="Headers of every message, such as Authorization: Bearer ${TOKEN}."
    )
    format: Literal["cloudevents", "cloudevents_binary", "standard", "plain"] = Field(
        default="cloudevents",
        description="cloudevents: one JSON with its attributes; cloudevents_binary: the attributes in headers; "
        "standard: {type, timestamp, data}, as Standard Webhooks advise; plain: data alone.",
    )
    source: Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=255)] = Field(
        default="relais", description="`source` of CloudEvents: a URI reference that names this Relais."
    )
    errors: tuple[ErrorRule, ...] = Field(default=(), description="Answers that mean something else than their status.")

    @model_validator(mode="after")
    def _proves_itself(self) -> "WebhookOptions":
        if self.secret is None and not self.headers:
            raise ValueError("needs secret or headers: the receiver must be able to tell who sends")
        return self


class SendWebhook(ActionArguments):
    """Post one message."""

    key: Id = Field(description="Whom or what it is about: messages with one key keep their order. It is not sent.")
    type: Annotated[Text, StringConstraints(min_length=1)] = Field(description='What happened: "{{ type }}".')
    data: Any = Field(description='What is told: "{{ data }}" is all of the event; or names with values.')
    subject: Text | None = Field(default=None, description="What it is about, for the receiver: booking/9001.")
    time: Annotated[str, AfterValidator(_read_time)] | None = Field(default=None, description="When it happened.")


KIND = DestinationKind(
    name="webhook",
    about="Any receiver of webhooks: CloudEvents or JSON, signed after Standard Webhooks.",
    options=WebhookOptions,
    stand_in=StandIn(
        {"base": "{sandbox}/webhook/messages", "secret": "${SANDBOX_WEBHOOK_SECRET}"}, frozenset({"format", "source"})
    ),
    actions={
        "send": ActionKind(
            name="send",
            about="Post one message. In doubt it is sent again under the same webhook-id.",
            arguments=SendWebhook,
            touches=lambda arguments: list_names(("key", arguments.key)),
            touches_about="key",
            once_by=None,
            once_by_about="delivery",
        ).adopt("sent again")
    },
)


class WebhookClient(Client[WebhookOptions]):
    """Carries out the action of kind `webhook`."""

    def __init__(self, name: str, options: WebhookOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._url = open_address(options.base, reveal)
        keys = [standard_webhooks.read_key(reveal(secret)) for secret in options.secret or ()]
        self._sign = (lambda id, at, body: standard_webhooks.sign(keys, id, at, body)) if keys else None
        self._headers = HiddenHeaders({name: reveal(value) for name, value in options.headers.items()})

    async def _send(self, visit: Visit, arguments: SendWebhook) -> Done:
        id = visit.delivery.id.replace(".", "_")  # Full stops part what is signed, so none belongs into an id.
        attributes, media_type, content = self._write(arguments, id)
        now = int(time.time())
        headers = {**attributes, "webhook-id": id, "webhook-timestamp": str(now)}
        if self._sign is not None:
            headers["webhook-signature"] = self._sign(id, now, content)
        answer = await visit.exchange.request(
            "POST",
            self._url,
            headers=HiddenHeaders({**self._headers, **headers}),
            content=content,
            media_type=media_type,
            accept="*/*",
        )
        failed = classify(answer, rules=self._options.errors, by_status_alone=True)
        if failed is not None:
            raise failed
        return Done(status=answer.status)

    def _write(self, arguments: SendWebhook, id: str) -> tuple[dict[str, str], str, bytes]:
        """Return a message: its further headers, its media type and its body, the same at each attempt."""
        format = self._options.format
        if format == "plain":
            return {}, JSON, to_json(arguments.data)
        if format == "standard":
            told = drop_nulls({"type": arguments.type, "timestamp": arguments.time})
            return {}, JSON, to_json({**told, "data": arguments.data})
        attributes = drop_nulls(
            {
                "specversion": "1.0",
                "id": id,
                "source": self._options.source,
                "type": arguments.type,
                "subject": arguments.subject or None,
                "time": arguments.time,
            }
        )
        if format == "cloudevents_binary":
            headers = {f"ce-{name}": quote(value, safe=_PLAIN) for name, value in attributes.items()}
            return headers, JSON, to_json(arguments.data)
        return {}, CLOUDEVENTS, to_json({**attributes, "datacontenttype": JSON, "data": arguments.data})

    methods = MappingProxyType({"send": _send})


DESTINATION = DestinationType(KIND, WebhookClient)
