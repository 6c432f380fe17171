"""A clock that a test moves.

Comes in: nothing. Goes out: what stands in for the module `time`. Never moves by itself.
"""


class ManualClock:
    """A monotonic clock that stands still until the test sets `now`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now
