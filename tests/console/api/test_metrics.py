import contextlib
import re
from pathlib import Path

from console.api import metrics
from console.api.metrics import Snapshot
from mailroom import Mailroom, RefusedDetails, RoomState
from receiver.spool import Spool, SpoolState
from tests.conftest import PrivateValkey, wait_until
from tests.console.api.console_process import asked, begin, event, samples, with_mailroom
from tests.console.conftest import Start


def test_metrics(console: str, valkey: PrivateValkey) -> None:
    """The metrics are Prometheus text, and count what happened."""

    async def happen(mailroom: Mailroom) -> None:
        await mailroom.put([event("first"), event("second")])
        await mailroom.put([event("first")])
        await mailroom.refused(reason="wrong_signature", source="shop", headers={}, body=b"", more=RefusedDetails())

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
    [build] = [name for name in found if name.startswith("relais_build_info{")]
    assert found.pop(build) == 1
    assert found == {"relais_store_up": 0, "relais_spool_events": 2, "relais_spool_aside_events": 1}


def test_undeclared() -> None:
    """A counter that the catalogue does not know, or with other labels, is said to be undeclared."""
    counts = {"received|shop|order.paid": 1, "received|shop": 1, "invented|x": 1}
    assert metrics.undeclared(counts) == ["received|shop", "invented|x"]
    assert b"relais_undeclared_counters 2.0" in metrics.write_text(metrics.Snapshot(counts))


def test_values() -> None:
    """Every gauge has its own value, times are in seconds, and a room is told by its name and its state."""
    rooms = [
        RoomState("crm", 1, 2, 3, 4, 5, '{"by": "breaker"}', overdue=6_500, held_for=7_500),
        RoomState("bill", 0, 0, 0, 0, 0, '{"by": "person"}'),
        RoomState("in", 0, 0, 0, 0, 0, ""),
    ]
    snapshot = Snapshot(
        {"by_hand|retry|crm": 8, "buried_boxes": 9},
        rooms,
        dead=10,
        dead_for=11_500,
        quarantined=12,
        drains=13,
        spool=SpoolState(14, 1_000, 16, 17),
        now=19_500,
    )
    found = metrics.write_text(snapshot).decode().splitlines()
    lines = {name: float(value) for name, _, value in (line.rpartition(" ") for line in found if line[0] != "#")}
    crm = {name: value for name, value in lines.items() if 'room="crm"' in name}
    assert crm == {
        'relais_by_hand_total{room="crm",verb="retry"}': 8,
        'relais_room_boxes{room="crm",state="ready"}': 1,
        'relais_room_boxes{room="crm",state="leased"}': 2,
        'relais_room_boxes{room="crm",state="waiting"}': 3,
        'relais_room_boxes{room="crm",state="held"}': 4,
        'relais_room_boxes{room="crm",state="suspect"}': 5,
        'relais_room_boxes{room="crm",state="blocked"}': 0,
        'relais_room_overdue_seconds{room="crm"}': 6.5,
        'relais_room_held_seconds{room="crm"}': 7.5,
        'relais_room_paused{room="crm"}': 1,
        'relais_breaker_open{room="crm"}': 1,
    }
    assert {name: value for name, value in lines.items() if "{" not in name} == {
        "relais_boxes_freed_total": 9,
        "relais_dead_letters": 10,
        "relais_dead_letters_seconds": 11.5,
        "relais_quarantined_events": 12,
        "relais_drains_live": 13,
        "relais_spool_events": 14,
        "relais_spool_seconds": 18.5,
        "relais_spool_bytes": 16,
        "relais_spool_aside_events": 17,
        "relais_store_up": 1,
        "relais_undeclared_counters": 0,
    }
    assert (lines['relais_room_paused{room="bill"}'], lines['relais_breaker_open{room="bill"}']) == (1, 0)
    assert (lines['relais_room_paused{room="in"}'], lines['relais_breaker_open{room="in"}']) == (0, 0)


def test_spool_without_age() -> None:
    """An empty spool has no age, and a clock that was set back makes none that is negative; no spool is not told."""
    for spool, now in ((SpoolState(0, 0, 16, 0), 9_000), (SpoolState(1, 9_000, 16, 0), 1_000)):
        assert "relais_spool_seconds 0.0" in metrics.write_text(Snapshot(spool=spool, now=now)).decode().splitlines()
    assert b"relais_spool_seconds 0" not in metrics.write_text(Snapshot())


def test_names_on_the_page() -> None:
    """The page of metrics has every metric under the name that the exposition gives it, and no other."""
    text = metrics.write_text(Snapshot({"buried_boxes": 1})).decode()
    given = set(re.findall(r"^# HELP (\w+) ", text, re.MULTILINE))
    page = (Path(__file__).parents[3] / "docs" / "reference" / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(relais_\w+)` \|", page, re.MULTILINE)) == given
    named = set(re.findall(r"\brelais_[a-z]+_\w+", page))
    assert named - given == set()


def test_histogram() -> None:
    """A histogram counts up from bound to bound, in seconds, and what took longer than the last one is in +Inf."""
    measured = {"delivered": {"shop|crm": {"5": 2, "100": 1, "more": 1, "sum": 90_000_123}}}
    lines = metrics.write_text(Snapshot(measured=measured)).decode().splitlines()
    found = [line for line in lines if line.startswith("relais_event_delivered_seconds")]
    labels = 'destination="crm",{}source="shop"'
    name = "relais_event_delivered_seconds_bucket"
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in found}
    for bound, count in (("0.005", 2), ("0.05", 2), ("0.1", 3), ("86400.0", 3), ("+Inf", 4)):
        assert values[f"{name}{{{labels.format(f'le={chr(34)}{bound}{chr(34)},')}}}"] == count
    assert values[f"relais_event_delivered_seconds_sum{{{labels.format('')}}}"] == 90_000.123
    assert values[f"relais_event_delivered_seconds_count{{{labels.format('')}}}"] == 4


def test_measured(console: str, valkey: PrivateValkey) -> None:
    """What came is measured from its reception until the store had it."""

    async def happen(mailroom: Mailroom) -> None:
        await mailroom.put([event("first"), event("second")])

    assert asked(console, "/events")["events"] == []  # it follows the log from now on
    with_mailroom(valkey, happen)
    wait_until(
        lambda: samples(console).get('relais_event_kept_seconds_count{source="shop"}') == 2, "both were measured"
    )
