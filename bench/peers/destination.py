"""The destination of the scenario as a process: `python -m bench.peers.destination PORT DELAY_SECONDS`.

A sink that refuses some deliveries when they come for the first time, and remembers the order of those that it took.
"""

import json
import sys
import time

import uvloop

from bench.peers.scenario import AGAIN, NUMBER, fault
from bench.wire import Sink


class BusySink(Sink):
    """A sink that is sometimes busy."""

    def __init__(self, delay: float) -> None:
        self._refused: set[int] = set()
        self._taken: list[tuple[int, float]] = []
        super().__init__(delay)

    def about(self, path: str) -> str:
        """Also answer `/_taken`: the numbers of the webhooks that were delivered, in order, and when."""
        return json.dumps(self._taken) if path == "/_taken" else super().about(path)

    def arrive(self, path: bytes, body: bytes) -> bytes:
        """Refuse or take a delivery."""
        answer = super().arrive(path, body)
        found = NUMBER.search(body)
        if found is None:
            return answer
        number = int(found[1])
        status = fault(number)
        if status and number not in self._refused:
            self._refused.add(number)
            return b"HTTP/1.1 %d Busy\r\nRetry-After: %d\r\nContent-Length: 0\r\n\r\n" % (status, AGAIN)
        self._taken.append((number, time.time()))
        return answer


if __name__ == "__main__":
    uvloop.run(BusySink(float(sys.argv[2])).serve("127.0.0.1", int(sys.argv[1])))
