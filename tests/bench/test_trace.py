"""The trace reads the store's MONITOR."""

from bench.trace import Moments, Monitor, steps

EVENT = "abcdefghijklmnopqrstuvwxyz"


def noted(*lines: bytes) -> Moments:
    """What a monitor made of some lines about the event."""
    monitor = Monitor.__new__(Monitor)
    monitor.moments = {}
    for line in lines:
        monitor.note(line)
    return monitor.moments.get(EVENT, Moments())


def call(at: float, name: str, inside: str = "") -> bytes:
    """A call as MONITOR prints it."""
    who = inside or "unix:/tmp/x/s"
    return f'{at:.6f} [0 {who}] "FCALL" "relais_3f_{name}" "1" "relais:{{p0}}:" "{EVENT}"\r\n'.encode()


def test_calls_are_told_apart() -> None:
    """`put` and the two settlements of an event are found by its id; other calls are not taken for them."""
    found = noted(call(1, "put"), call(1.5, "take"), call(2, "settle"), call(3, "beat"), call(4, "settle"))
    assert found == Moments(1.0, [2.0, 4.0])


def test_what_a_function_calls_itself_is_not_a_call() -> None:
    """Lines from inside the store's functions are passed over."""
    assert noted(call(1, "put", inside="lua")) == Moments()


def test_the_steps_of_one_event() -> None:
    """Received, on disk, routed, sent, settled: each from its moment to the next."""
    assert steps(0.0, 3.0, Moments(1.0, [4.0, 9.0]), 6.0) == (1.0, 2.0, 3.0, 2.0, 3.0)


def test_an_event_that_was_not_seen_to_its_end() -> None:
    """An event without both settlements has no steps."""
    assert steps(0.0, 3.0, Moments(1.0, [4.0]), 6.0) is None
