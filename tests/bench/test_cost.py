"""What one event costs: everybody in turn or at once, and no figure where a delivery went wrong."""

import pytest

from bench import cost
from bench.cost import CostWork, all_delivered


def test_two_measurements_of_one_stage() -> None:
    """In turn and at once, new events each time; every part was at work, and all of it together is the sum."""
    with cost.ready(CostWork(40, destinations=2, fan_out=True)) as one:
        apart, together = one.in_turn(), one.at_once()
        assert one.stage.sink()["count"] == 80
        assert one.stage.leased() == 0
    assert min(apart.values()) > 0
    assert min(together.values()) > 0
    assert together["all_us"] == sum(together[f"{part}_us"] for part in ("receiver", "store", "worker"))


def test_what_was_not_accepted_gives_no_figure() -> None:
    """A webhook that the receiver refuses ends the measurement."""
    with (
        cost.ready(CostWork(2)) as one,
        pytest.raises(RuntimeError, match="not everything was accepted"),
    ):
        one.send([b"POST /in/nobody/knows HTTP/1.1\r\nHost: bench\r\nContent-Length: 2\r\n\r\n{}"])


@pytest.mark.parametrize("count", [9, 11])
def test_another_number_of_deliveries_gives_no_figure(count: int) -> None:
    """One that is missing, or comes twice."""
    with pytest.raises(RuntimeError, match=f"{count} deliveries arrived instead of 10"):
        all_delivered({"count": count, "swapped": 0}, 10, in_order=False)


def test_swapped_deliveries_give_no_figure() -> None:
    """Order counts where it is a fact."""
    all_delivered({"count": 10, "swapped": 1}, 10, in_order=False)
    with pytest.raises(RuntimeError, match="1 deliveries came after a later one"):
        all_delivered({"count": 10, "swapped": 1}, 10, in_order=True)
