"""Where the time goes between a webhook and its delivery, stage by stage.

Comes in: a BenchStage on which everything runs, and the rate to send at. Goes out: the median of every step in
milliseconds. Never instruments the product: the load generator records when a webhook was sent and answered, the sink
when its delivery arrived, and the store's MONITOR when each call came. MONITOR has a cost: compare steps, not totals.
"""

import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.measure import quantile
from bench.stage import BenchStage, all_accepted, requests

#: `1763764000.123456 [0 unix:/tmp/x/s] "FCALL" "relais_put" …`; the name ends in the mailroom's own word.
CALL = re.compile(rb'^\+?(\d+\.\d+) \[\d+ (?!lua)[^\]]*\] "(?:FCALL|fcall)" "[^"]*_([a-z]+)"')
EVENT = re.compile(rb"\b[a-z2-7]{26}\b")
WORDS = ("put", "take", "settle")

STEPS = (
    ("received", "from the webhook's first byte to the call that puts it (verified, validated, gathered)"),
    ("on disk", "from that call to the answer 202 (stored, synced, answered)"),
    ("routed", "from that call to the one that writes its deliveries (bell, taken, matched, rendered)"),
    ("sent", "from that call to the arrival at the destination (leased, synced, HTTP)"),
    ("settled", "from the arrival to the call that writes the outcome (answered, gathered)"),
)


@dataclass
class Moments:
    """The times of the last call of each kind about one event, by the store's clock."""

    put: float = 0.0
    #: First and second settlement: of the inbox, and of the delivery.
    settled: list[float] = field(default_factory=list)


class Monitor:
    """Reads the store's MONITOR in a thread. Use it as a `with` block."""

    def __init__(self, path: str) -> None:
        self.moments: dict[str, Moments] = {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Monitor":
        self._socket.sendall(b"MONITOR\r\n")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()

    def _listen(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                self.note(line)

    def note(self, line: bytes) -> None:
        """Parse one line of MONITOR."""
        found = CALL.match(line)
        if found is None or (word := found[2].decode()) not in WORDS:
            return
        at = float(found[1])
        for event in {name.decode() for name in EVENT.findall(line)}:
            moments = self.moments.setdefault(event, Moments())
            if word == "put":
                moments.put = at
            elif word == "settle":
                moments.settled.append(at)


def steps(due: float, answered: float, moments: Moments, arrived: float) -> tuple[float, ...] | None:
    """Return the seconds of each step of one event; None if one was not seen."""
    if not moments.put or len(moments.settled) < 2:
        return None
    routed, settled = moments.settled[0], moments.settled[-1]
    return (moments.put - due, answered - moments.put, routed - moments.put, arrived - routed, settled - arrived)


def take(stage: BenchStage, port: int, *, count: int, rate: float, start: int) -> dict[str, float]:
    """Send webhooks at a rate; return the median of each step in milliseconds."""
    stage.reset_sink()
    with Monitor(f"{stage.folder}/s") as monitor:
        got = stage.load(port, requests(count, start), 32, rate=rate, keep=True)
        all_accepted(got)
        stage.wait(lambda: stage.sink()["count"] >= count, "all is delivered", 120)
        time.sleep(0.2)  # The last settlement is written within 10 ms of its answer.
    arrived = dict(reversed(stage.arrivals()))
    found = list(_each(got["exchanges"], monitor.moments, arrived, start))
    if len(found) < count // 2:
        raise RuntimeError(
            f"the store's MONITOR told of {len(found)} of {count} events; are its function names others?"
        )
    return {f"{name}_ms": quantile([each[n] for each in found], 0.5) * 1000 for n, (name, _) in enumerate(STEPS)}


def _each(
    exchanges: Sequence[Sequence[Any]], moments: Mapping[str, Moments], arrived: Mapping[int, float], start: int
) -> Iterator[tuple[float, ...]]:
    for number, due, answered, event in exchanges:
        if event in moments and start + number in arrived:
            one = steps(due, answered, moments[event], arrived[start + number])
            if one is not None:
                yield one
