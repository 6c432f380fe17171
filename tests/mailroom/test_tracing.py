"""Spans: where they go, which belong together, what is sampled, and that nothing is imported while it is off."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from mailroom import tracing
from mailroom.tracing import LINK_AFTER, TraceSettings
from tests.mailroom.otlp_receiver import OtlpReceiver

SENDERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = SENDERS.split("-")[1:3]


def now() -> int:
    return int(time.time() * 1000)


def test_off() -> None:
    """While it is off nobody has a tracer, and no process imports what makes or sends spans."""
    with tracing.to(TraceSettings(), "work"):
        assert tracing.on is None
    program = (
        "import sys; from receiver import server; from workers import worker; from console import cli\n"
        "ours = ('opentelemetry.sdk.trace.', 'opentelemetry.exporter')\n"  # redis-py imports metrics where they are
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("process", ["receive", "work"])
def test_packages_that_are_not_there(process: str) -> None:
    """Who asks for traces without the extra is told at the start, with the mend: status 3."""
    program = "import sys; sys.modules['opentelemetry.exporter'] = None; from console import cli; cli.main()"
    environ = {**os.environ, "RELAIS_TRACES": "http://127.0.0.1:4318", "REDIS_URL": "redis://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-c", program, process], env=environ, capture_output=True, text=True)
    assert (done.returncode, "pip install 'relais-router[otel]'" in done.stderr) == (3, True), done.stderr


def test_one_trace() -> None:
    """What follows soon is a child, in the trace of the sender; what follows after hours is one with a link to it."""
    with OtlpReceiver() as collector:
        with tracing.to(TraceSettings(traces=collector.url + "/"), "receive"):
            assert tracing.on is not None
            first = tracing.on.begin("first", "server", (SENDERS, now()), {"source": "shop"})
            soon = tracing.on.begin("soon", "internal", first.origin, {})
            traceparent, at = soon.origin
            late = tracing.on.begin("late", "client", (traceparent, at - LINK_AFTER - 60_000), {"attempt": 2})
            late.fail("timeout")
            alone = tracing.on.begin("alone", "internal", None, {})
            for each in (first, soon, late, alone):
                each.end(done=True)
        assert tracing.on is None
        found = {span.name: span for span in collector.spans}
    assert set(found) == {"first", "soon", "late", "alone"}
    assert (found["first"].trace, found["first"].parent) == (TRACE, SPAN)
    assert (found["soon"].trace, found["soon"].parent) == (TRACE, found["first"].id)
    assert (found["late"].parent, found["late"].links) == ("", (f"{TRACE}-{found['soon'].id}",))
    assert found["late"].failed == "timeout"
    assert found["late"].attributes == {"relais.attempt": 2, "relais.code": "timeout", "relais.done": True}
    assert len({span.trace for span in found.values()}) == 3
    assert {span.service for span in found.values()} == {"relais-receive"}


@pytest.mark.parametrize(("share", "fewest", "most"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
def test_sampled(share: float, fewest: int, most: int) -> None:
    """The share that was asked for is sent, by whole traces, whatever the sender's flag says."""
    with OtlpReceiver() as collector:
        with tracing.to(TraceSettings(traces=collector.url, traces_sampled=share), "work"):
            assert tracing.on is not None
            for n in range(200):
                trace = f"{n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"
                span = tracing.on.begin("root", "server", (f"00-{trace}-b7ad6b7169203331-{n % 2:02x}", now()), {})
                child = tracing.on.begin("child", "client", span.origin, {})
                child.end()
                span.end()
        roots, children = collector.named("root"), collector.named("child")
    assert fewest <= len(roots) <= most
    assert {span.trace for span in roots} == {span.trace for span in children}


def test_collector_away() -> None:
    """A collector that is away holds nobody up for long."""
    begun = time.monotonic()
    with tracing.to(TraceSettings(traces="http://127.0.0.1:1"), "work"):
        assert tracing.on is not None
        tracing.on.begin("lost", "internal", None, {}).end()
    assert time.monotonic() - begun < 60


def test_origin_of() -> None:
    """An event's origin is its traceparent and when it came."""
    at = datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert tracing.origin_of(SENDERS, at.isoformat()) == (SENDERS, int(at.timestamp() * 1000))
    assert tracing.origin_of(None, at.isoformat()) is None


def test_carried() -> None:
    """The requests of a task say where they belong, from `carry` to the end."""
    with OtlpReceiver() as collector, tracing.to(TraceSettings(traces=collector.url), "work"):
        assert tracing.on is not None
        span = tracing.on.begin("one", "client", None, {})
        span.carry()
        assert tracing.current.get() == span.traceparent
        span.end()
        assert tracing.current.get() == ""
