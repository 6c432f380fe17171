"""What follows a failed attempt, and what an attempt says about the health of its destination.

Comes in: how it failed and which attempt it was. Goes out: a decision, which the drain carries out. Never sends, sleeps
or writes.
"""

import random
from dataclasses import dataclass
from http import HTTPStatus

from workers.outcome import HELD, MISTAKES, Done, Failed

#: Seconds before the next attempt. The first ones outlive a restart of the other side, the last ones a bad weekend.
RETRY_AFTER = (1, 5, 15, 60, 300, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 43_200)
#: Seconds, where the other side says "too much" and not how long.
LIMITED = 5.0
#: Share of a wait by which it varies at random, so that deliveries that failed together do not all return together.
JITTER = 0.2
#: Codes of transient or ambiguous failures that do not mean that the destination is away: the cause lies with us, or
#: with one object.
NOT_AWAY = frozenset(
    {
        "no_destination",
        "lease_lost",
        "bug",
        "stale_id",
        "exists_already",
        "not_in_force",
        "error_in_body",
        "unknown_order",
        *HELD,
    }
)


@dataclass(frozen=True)
class WaitAndRetry:
    """Try again after `seconds`; `counted`: it used up an attempt."""

    seconds: float
    counted: bool = True


@dataclass(frozen=True)
class GiveUp:
    """The delivery becomes a dead letter; its box goes on."""

    reason: str


@dataclass(frozen=True)
class HoldBox:
    """The box waits for a person."""

    reason: str


@dataclass(frozen=True)
class PauseRoom:
    """The destination refuses our key, or cannot be asked as the book says.

    Its room is paused and probed, its queue is kept, an alert is sent.
    """

    reason: str


Decision = WaitAndRetry | GiveUp | HoldBox | PauseRoom


def decide(failed: Failed, attempt: int, *, jitter: float | None = None) -> Decision:
    """Decide what follows attempt number `attempt`, counted from 1.

    `jitter`: between -1 and 1, else drawn.
    """
    if failed.code in MISTAKES:
        return PauseRoom(failed.code)
    drawn = random.uniform(-1, 1) if jitter is None else jitter
    spread = 1 + JITTER * drawn
    match failed.failure:
        case "permanent":
            return GiveUp(failed.code)
        case "credential":
            return PauseRoom(failed.code)
        case "limited":
            # Never sooner than told: some vendors lengthen the wait for whoever asks too early.
            return WaitAndRetry(
                max(failed.wait, LIMITED if not failed.wait else 0.0) * (1 + JITTER * abs(drawn)), counted=False
            )
    doubtful = failed.failure == "ambiguous"
    if failed.code in HELD:
        return HoldBox(failed.code)
    if attempt > len(RETRY_AFTER):
        return HoldBox(failed.code) if doubtful else GiveUp(f"{failed.code}_too_often")
    return WaitAndRetry(max(failed.wait, RETRY_AFTER[attempt - 1] * spread))


def read_rest(failed: Failed) -> float:
    """Return the seconds for which the destination asks to be left alone altogether, 0 if it does not.

    Every 429 does, as long as it says, else LIMITED; a 503 does where it says how long.
    """
    if not failed.status:
        return 0.0  # No request was sent: it is known already.
    if failed.failure == "limited":
        return failed.wait or LIMITED
    return failed.wait if failed.status == HTTPStatus.SERVICE_UNAVAILABLE and failed.failure == "transient" else 0.0


def destination_health(ended: Done | Failed) -> str:
    """Return what an attempt says about the health of its destination, in the words of `Settlement.says`.

    there: it gave a sensible answer, which may be a refusal. away: it did not. refused: it rejects our key, or
    cannot be asked as the book says.
    Empty: nothing, because no request was sent or the cause lies elsewhere.
    """
    if isinstance(ended, Failed) and ended.code in MISTAKES:
        return f"refused:{ended.code}"
    if isinstance(ended, Done) or ended.failure == "permanent":
        return "there" if ended.status else ""
    match ended.failure:
        case "limited":
            return "there" if ended.status else ""
        case "credential":
            return f"refused:{ended.code}"
    if ended.code in NOT_AWAY:
        return ""
    if 400 <= ended.status < 500 and ended.status != HTTPStatus.REQUEST_TIMEOUT:
        return "there"
    return f"away:{ended.code}"
