"""Random walks through the mailroom for as long as one likes: `python -m tests.mailroom.walks --minutes 2`.

Comes in: how long, the first seed. Goes out: how many walks, deliveries and kills, and the first violation, if any.
"""

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random

from mailroom.keys import SCHEMA
from tests.conftest import PrivateValkey
from tests.mailroom.comparison import Comparison
from tests.mailroom.random_walk import Walk
from tests.mailroom.store import LUA, Loop, Store


def main() -> int:
    """Walk; return 1 if something was violated."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=1)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--steps", type=int, default=150)
    options.add_argument("--kills", type=float, default=0.02, help="chance of kill -9 of the store after each step")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return walk(Path(folder), chosen.minutes * 60, chosen.seed, chosen.steps, chosen.kills)


def walk(folder: Path, seconds: float, seed: int, steps: int, kills: float) -> int:
    """Walk for so long; print the figures."""
    server = PrivateValkey(folder)
    # everysec puts off a write while the disk is busy, and a kill would take what was answered.
    server.start("--appendfsync", "always")
    loop = Loop()
    store = Store(server, LUA)
    room = loop(store.open())
    walks = deliveries = killed = meets = waits = went_on = 0
    ends = time.monotonic() + seconds
    wrong = ""
    while time.monotonic() < ends and not wrong:
        chance = Random(seed + walks)
        world = Comparison(
            loop,
            store,
            room,
            twice=chance.random() < 0.25,
            inbox_names=chance.random() < 0.5,
            classes=chance.random() < 0.6,
            keyed=chance.random() < 0.4,
            holds=chance.random() < 0.4,
            schema="2" if chance.random() < 0.25 else SCHEMA,
        )
        kills_now = kills if chance.random() < 0.25 else 0.0
        one = Walk(
            world,
            chance,
            names=chance.choice([1, 2, 3, 3]),
            kills=kills_now,
            dense=chance.random() < 0.75,
            goes_on=chance.random() < 0.5,
        )
        try:
            one.go(steps)
        except AssertionError:
            wrong = f"walk {seed + walks}: {traceback.format_exc()}"
        walks += 1
        deliveries += len(world.names)
        killed += one.killed
        meets += world.met["go"] + world.met["wait"]
        waits += world.met["wait"]
        went_on += world.went_on
    loop(room.close())
    loop(store.close())
    loop.close()
    server.stop()
    print(f"{walks} walks, {deliveries} deliveries, of which {went_on} followed one another in a box, ", end="")
    print(f"{meets} meet of which {waits} had to wait, {killed} kills, ", end="")
    print(f"{1 if wrong else 0} violations")
    print(wrong, end="")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
