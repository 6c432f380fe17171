import contextlib
from pathlib import Path

from console.api import metrics
from mailroom import Mailroom
from receiver.spool import Spool
from tests.conftest import PrivateValkey
from tests.console.api.console_process import begin, event, samples, with_mailroom
from tests.console.conftest import Start


def test_metrics(console: str, valkey: PrivateValkey) -> None:
    """The metrics are Prometheus text, and count what happened."""

    async def happen(mailroom: Mailroom) -> None:
        await mailroom.put([event("first"), event("second")])
        await mailroom.put([event("first")])
        await mailroom.refused(reason="wrong_signature", source="shop", headers={}, body=b"")

    with_mailroom(valkey, happen)
    found = samples(console)
    labels = 'source="shop",type="order.paid"'
    assert found[f"relais_events_received_total{{{labels}}}"] == 2
    assert found[f"relais_events_duplicate_total{{{labels}}}"] == 1
    assert found['relais_requests_refused_total{reason="wrong_signature"}'] == 1
    assert found['relais_room_boxes{room="in",state="ready"}'] == 1
    assert found["relais_undeclared_counters"] == 0


def test_metrics_of_the_spool(start: Start, tmp_path: Path) -> None:
    """What waits in the spool is told while the store is away, and nothing that nobody knows."""
    with contextlib.closing(Spool(tmp_path / "spool", 1 << 20)) as waiting:
        waiting.append([(event("first"), None), (event("second"), None), (event("third"), None)])
        waiting.set_aside(waiting.first(), "no", 5)
    found = dict(samples(begin(start, "redis://127.0.0.1:9", RELAIS_SPOOL=str(tmp_path / "spool"))))
    assert found.pop("relais_spool_bytes") > 4096
    assert found.pop("relais_spool_seconds") > 3600
    assert found == {"relais_store_up": 0, "relais_spool_events": 2, "relais_spool_aside_events": 1}


def test_undeclared() -> None:
    """A counter that the catalogue does not know, or with other labels, is said to be undeclared."""
    counts = {"received|shop|order.paid": 1, "received|shop": 1, "invented|x": 1}
    assert metrics.undeclared(counts) == ["received|shop", "invented|x"]
    assert b"relais_undeclared_counters 2.0" in metrics.write_text(metrics.Snapshot(counts))
