"""Suspects: boxes whose drain died. They are taken in small groups and without other boxes, lest others die with them.

Comes in: the answers to `take`. Goes out: whether to ask for suspects now. Never lets them hold up all other rooms: it
asks less and less often while their room does not let them go (it is paused, or at its rate).
"""

import time

from mailroom import Taken

#: Boxes whose drain died once that are taken together: if one of them killed it, few others come under suspicion.
SUSPECTS = 32
#: Seconds until suspects that no room let go are asked for again; it doubles up to the second.
SUSPECTS_AGAIN, SUSPECTS_AGAIN_MOST = 1.0, 30.0


class SuspectTurns:
    """When a drain asks for suspects, and whether it holds some."""

    def __init__(self) -> None:
        #: Whether such boxes are what the drain holds.
        self.under_way = False
        #: How many of them wait, as the store said last.
        self._waiting = 0
        self._at = 0.0
        self._wait = SUSPECTS_AGAIN

    def due(self) -> bool:
        """Return whether to ask for them now."""
        return self._waiting > 0 and time.monotonic() >= self._at

    def note(self, taken: Taken, *, asked: bool) -> None:
        """Note the answer to a take. `asked`: it asked for them."""
        self._waiting = taken.suspects
        self.under_way = bool(asked and taken.leases)
        if not asked:
            return
        if taken.leases:
            self._wait = SUSPECTS_AGAIN
        else:
            self._at = time.monotonic() + self._wait
            self._wait = min(2 * self._wait, SUSPECTS_AGAIN_MOST)
