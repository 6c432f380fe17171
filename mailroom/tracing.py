"""Traces of events for OpenTelemetry: one from the webhook through the rules to each delivery, across processes.

Comes in: where to send spans, which share of them, and the traceparent of whoever was before. Goes out: spans over
OTLP, and traceparents for whoever is next. While it is off, `on` is None, which is all that anybody asks, and nothing
of OpenTelemetry is imported. Never puts a value of a person into a span: only ids, names of the book, codes, numbers.
"""

import contextlib
import importlib
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Milliseconds after which what follows is a trace of its own, with a link to the one before: a trace that lasts for
#: hours is closed at most places, or cut off.
LINK_AFTER = 3_600_000
#: Milliseconds between two parcels of spans, and that one may take; seconds that the last one gets at a stop.
PARCEL_EVERY, PARCEL_WITHIN, STOP_WITHIN = 1_000, 5_000, 2.0
#: What is imported where traces are sent, and not before.
NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
#: The header by which traces go on (W3C Trace Context).
HEADER = "traceparent"

#: What a delivery and an event carry: the traceparent of what made them, and when that was, in ms since 1970.
Origin = tuple[str, int]


class TraceSettings(BaseSettings):
    """Where traces go, for the settings of receiver and workers."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    traces: str = Field(
        "",
        description="Where traces are sent: an OTLP collector over HTTP, http://127.0.0.1:4318. Needs the extra "
        "relais-router[otel]. Empty: no traces.",
    )
    traces_sampled: float = Field(
        1.0, ge=0, le=1, description="Share of the traces that is sent; the same for receivers and workers."
    )


class TracingUnavailable(Exception):
    """Traces are asked for, and the packages are not there."""


class Tracing:
    """Makes the spans of this process."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("relais")
        self._propagator = TraceContextTextMapPropagator()

    def begin(
        self,
        name: str,
        kind: Literal["server", "internal", "client"],
        origin: Origin | None,
        about: Mapping[str, str | int],
        started: float | None = None,
    ) -> "TraceSpan":
        """Begin a span. `about`: its attributes. `started`: seconds since 1970, else now."""
        now = started if started is not None else time.time()
        context = self._propagator.extract({HEADER: origin[0]}) if origin and origin[0] else None
        before = self._trace.get_current_span(context).get_span_context() if context is not None else None
        links = []
        if origin is not None and before is not None and before.is_valid and now * 1000 - origin[1] > LINK_AFTER:
            context, links = None, [self._trace.Link(before)]
        span = self._tracer.start_span(
            name,
            context=context if context is not None else self._trace.set_span_in_context(self._trace.INVALID_SPAN),
            kind=getattr(self._trace.SpanKind, kind.upper()),
            links=links,
            attributes={f"relais.{key}": value for key, value in about.items()},
            start_time=int(now * 1e9),
        )
        return TraceSpan(span, self._trace)


class TraceSpan:
    """One span that has begun."""

    def __init__(self, span: Any, trace: Any) -> None:
        self._span = span
        self._trace = trace
        context = span.get_span_context()
        #: How those who follow go on with it.
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
        self._token: Token[str] | None = None

    @property
    def origin(self) -> Origin:
        """What follows from now on carries this."""
        return self.traceparent, int(time.time() * 1000)

    def carry(self) -> None:
        """Let the requests of this task say where they belong, until the end."""
        self._token = current.set(self.traceparent)

    def fail(self, code: str) -> None:
        """Say that it went wrong, by the stable word for it."""
        self._span.set_attribute("relais.code", code)
        self._span.set_status(self._trace.StatusCode.ERROR, code)

    def end(self, **attributes: str | int | bool) -> None:
        """End it."""
        if self._token is not None:
            current.reset(self._token)
            self._token = None
        for name, value in attributes.items():
            self._span.set_attribute(f"relais.{name}", value)
        self._span.end()


#: Whoever makes spans asks for this first; None: tracing is off.
on: Tracing | None = None
#: The traceparent of what this task does.
current: ContextVar[str] = ContextVar(HEADER, default="")


def origin_of(traceparent: str | None, at: str) -> Origin | None:
    """Return the origin that an event carries: the traceparent of its webhook, and when it came (RFC 3339)."""
    return (traceparent, int(datetime.fromisoformat(at).timestamp() * 1000)) if traceparent else None


@contextlib.contextmanager
def to(settings: TraceSettings, process: str) -> Iterator[None]:
    """Send traces of this process inside the `with`, if the settings say where to. Raises TracingUnavailable."""
    global on
    if not settings.traces:
        yield
        return
    provider = _provide(settings, process)
    on = Tracing(provider)
    try:
        yield
    finally:
        on = None
        provider.force_flush(int(STOP_WITHIN * 1000))
        provider.shutdown()


def demand(settings: TraceSettings) -> None:
    """Raise TracingUnavailable where traces are asked for that cannot be made."""
    try:
        for name in NEEDED if settings.traces else ():
            importlib.import_module(name)
    except ImportError as exc:
        raise TracingUnavailable(f"RELAIS_TRACES needs packages that are not there ({exc.name})") from exc


def _provide(settings: TraceSettings, process: str) -> Any:
    demand(settings)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    # By the id of the trace alone: who posts a webhook does not decide what we keep, and workers decide as receivers.
    provider = TracerProvider(
        sampler=TraceIdRatioBased(settings.traces_sampled),
        resource=Resource.create({"service.name": f"relais-{process}"}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{settings.traces.rstrip('/')}/v1/traces", timeout=PARCEL_WITHIN / 1000)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, schedule_delay_millis=PARCEL_EVERY, export_timeout_millis=PARCEL_WITHIN)
    )
    return provider
