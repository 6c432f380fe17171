"""The rows of a whole Relais: it is killed and comes back, it starts, it idles."""

import pytest

from bench import whole_rows
from bench.stage import BenchStage


def test_back() -> None:
    """Everything that was accepted arrives after the restart, and the clock stops with the last of three facts."""
    found = whole_rows.back()
    assert found["back_s"] == max(found["settled_s"], found["new_arrived_s"], found["arrived_s"])
    assert 0 < found["store_s"] < found["new_accepted_s"] < found["new_arrived_s"]
    assert found["accepted_before"] >= whole_rows.BEFORE
    assert found["sent_after"] > 0


def test_idle_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of `relais up` counts, its store and the worker's own process among them."""
    monkeypatch.setattr(whole_rows, "IDLE", 0.1)
    found = whole_rows.idle_memory()
    assert found["pss_mb"] == pytest.approx(sum(found[f"{part}_mb"] for part in whole_rows.PARTS))
    assert min(found[f"{part}_mb"] for part in whole_rows.PARTS) > 1
    assert found["processes"] >= len(whole_rows.PARTS)


def test_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start does not count, and the processes of one are gone when the next begins."""
    monkeypatch.setattr(whole_rows, "STARTS", 1)
    found = whole_rows.start()
    assert 0 < found["least_s"] == found["start_s"] == found["most_s"]


@pytest.mark.parametrize(
    ("statuses", "why"),
    [
        ({"202": 5, "0": 32, "500": 1}, "not everything was accepted"),
        ({"202": 5}, "the load had ended"),
    ],
)
def test_a_kill_that_gives_no_figure(statuses: dict[str, int], why: str) -> None:
    """Where a webhook was refused before the kill, and where nothing was sent any more."""
    with pytest.raises(RuntimeError, match=why):
        whole_rows._acknowledged({"statuses": statuses, "exchanges": []})


def test_a_webhook_that_is_refused() -> None:
    """What is no 202 and no 503 ends the measurement at once: nobody waits three minutes for it."""
    with BenchStage() as stage, pytest.raises(RuntimeError, match="answered 200"):
        whole_rows._accepted(stage, stage.sink_port, 1)
