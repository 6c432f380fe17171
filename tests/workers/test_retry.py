import pytest

from workers import retry
from workers.outcome import MISTAKES, Done, Failed, Failure
from workers.retry import GiveUp, HoldBox, PauseRoom, WaitAndRetry


def test_refused() -> None:
    """A refusal is final at the first attempt and keeps its code."""
    assert retry.decide(Failed("permanent", "no_such_list"), 1) == GiveUp("no_such_list")


@pytest.mark.parametrize(
    ("attempt", "wait", "jitter", "seconds"),
    [
        (1, 0, 0, 1),  # our first wait
        (12, 0, 0, 43_200),  # our last
        (1, 300, 0, 300),  # the other side asks for more
        (5, 5, 0, 300),  # the other side asks for less
        (5, 0, 1, 360),  # spread upwards …
        (5, 0, -1, 240),  # … and downwards
    ],
)
def test_outage(attempt: int, wait: float, jitter: float, seconds: float) -> None:
    """An outage is retried after our wait or theirs, whichever is longer."""
    decision = retry.decide(Failed("transient", "timeout", wait=wait), attempt, jitter=jitter)
    assert decision == WaitAndRetry(pytest.approx(seconds))  # type: ignore[arg-type]


def test_too_often() -> None:
    """When the waits are used up, the reason still says which outage it was."""
    assert retry.decide(Failed("transient", "timeout"), 13) == GiveUp("timeout_too_often")


def test_limited() -> None:
    """A limit costs no attempt, and nobody asks again sooner than told."""
    for jitter in (-1.0, 0.0, 1.0):
        decision = retry.decide(Failed("limited", "rate_limited", wait=60), 13, jitter=jitter)
        assert isinstance(decision, WaitAndRetry)
        assert not decision.counted
        assert decision.seconds >= 60


def test_limited_without_a_time() -> None:
    """A limit without a time waits for some seconds all the same."""
    decision = retry.decide(Failed("limited", "rate_limited"), 1, jitter=0)
    assert decision == WaitAndRetry(retry.LIMITED, counted=False)


def test_ambiguous() -> None:
    """After an unknown answer the next attempt waits until the vendor's search has caught up."""
    decision = retry.decide(Failed("ambiguous", "timeout", wait=30), 1, jitter=0)
    assert decision == WaitAndRetry(30)


def test_ambiguous_for_ever() -> None:
    """What stays unknown is never dropped: a person decides."""
    assert retry.decide(Failed("ambiguous", "timeout"), 13) == HoldBox("timeout")


def test_unresolved() -> None:
    """Where no find can tell, the box is held at once."""
    assert retry.decide(Failed("ambiguous", "unresolved"), 1) == HoldBox("unresolved")


@pytest.mark.parametrize("code", ["several_objects", "two_objects", "exists_unseen"])
def test_which_object_is_for_a_person(code: str) -> None:
    """Where nobody but a person can say which object is meant, the box is held at once, and the vendor is not away."""
    failed = Failed("transient", code, status=409)
    assert retry.decide(failed, 1) == HoldBox(code)
    assert retry.destination_health(failed) == ""


@pytest.mark.parametrize("code", MISTAKES)
def test_mistake_of_the_book(code: str) -> None:
    """What stops every delivery pauses the room at the first one, and uses up no attempt."""
    failed = Failed("transient", code)
    assert retry.decide(failed, 1) == PauseRoom(code)
    assert retry.destination_health(failed) == f"refused:{code}"


def test_not_in_force() -> None:
    """A consent that the vendor does not show is tried as often as anything, and dead in the end."""
    failed = Failed("transient", "not_in_force", status=200)
    assert isinstance(retry.decide(failed, 12), WaitAndRetry)
    assert retry.decide(failed, 13) == GiveUp("not_in_force_too_often")
    assert retry.destination_health(failed) == ""


def test_credential() -> None:
    """A refused key pauses the destination and burns no attempt of anybody."""
    assert retry.decide(Failed("credential", "unauthorized"), 13) == PauseRoom("unauthorized")


@pytest.mark.parametrize("failure", ["limited", "transient", "ambiguous"])
def test_jitter_is_bounded(failure: Failure) -> None:
    """What failed together does not come back together, and not far from when it should."""
    waits = set()
    for _ in range(50):
        decision = retry.decide(Failed(failure, "x", wait=0), 5)
        assert isinstance(decision, WaitAndRetry)
        waits.add(decision.seconds)
    assert len(waits) > 10
    assert max(waits) <= 300 * 1.2


@pytest.mark.parametrize(
    ("failed", "seconds"),
    [
        (Failed("limited", "limited", status=429, wait=7), 7),
        (Failed("limited", "limited", status=429), retry.LIMITED),
        (Failed("limited", "limited", wait=7), 0),  # nothing was asked: the room rests already
        (Failed("limited", "told_by_rule", status=403), retry.LIMITED),
        (Failed("transient", "unavailable", status=503, wait=7), 7),
        (Failed("transient", "unavailable", status=503), 0),
        (Failed("transient", "locked", status=423, wait=7), 0),  # one object
        (Failed("credential", "unauthorised", status=401), 0),
    ],
)
def test_rest(failed: Failed, seconds: float) -> None:
    """Who says "too much", or until when it is away, is left alone by everybody."""
    assert retry.read_rest(failed) == seconds


@pytest.mark.parametrize(
    ("ended", "health"),
    [
        (Done(status=200), "there"),
        (Done(note="nothing_to_change"), ""),
        (Failed("permanent", "invalid", status=422), "there"),
        (Failed("permanent", "bad_arguments"), ""),
        (Failed("limited", "limited", status=429), "there"),
        (Failed("limited", "limited", wait=5), ""),
        (Failed("transient", "locked", status=423), "there"),
        (Failed("credential", "unauthorised", status=401), "refused:unauthorised"),
        (Failed("transient", "request_timeout", status=408), "away:request_timeout"),
        (Failed("transient", "unavailable", status=503), "away:unavailable"),
        (Failed("transient", "connection_refused"), "away:connection_refused"),
        (Failed("ambiguous", "timeout"), "away:timeout"),
        *((Failed("transient", code), "") for code in sorted(retry.NOT_AWAY)),
    ],
    ids=lambda it: it if isinstance(it, str) else getattr(it, "code", "done"),
)
def test_destination_health(ended: Done | Failed, health: str) -> None:
    """What an attempt says of its destination: a sensible answer, none, a refused key, or nothing."""
    assert retry.destination_health(ended) == health
