"""Whether processes of ours on this host, or in this container, do their work: what a container's health check asks.

Comes in: names of processes; the environment they were started with. Goes out: status 0 when all of them live, else 1
and which do not. Never counts what lives elsewhere: a worker of another container says nothing of this one.
"""

import asyncio
import sys
from collections.abc import Sequence

import click

from console import settings
from console.checks.doctor import DoctorSettings
from console.processes import probe
from mailroom import Mailroom, StoreUnavailable, liveness, migration

#: Seconds within which a drain that lives has beaten once more.
BEAT = 2.0
PORTS = {"receive": 8080, "console": 8081}


async def beats_of_this_host(mailroom: Mailroom) -> dict[str, int]:
    """Return drain -> counter, of processes that live on this host, or may. Raises StoreUnavailable."""
    places = await migration.speaks(mailroom)
    here = liveness.place().split(" ")[:2]
    beats = await mailroom.beats()
    return {
        drain: counter
        for drain, (_, counter) in beats.items()
        if places.get(drain, "").split(" ")[1:3] in (here, [""], [])
    }


async def workers_beat(url: str) -> bool:
    """Say whether a drain of this host has beaten between two looks."""
    try:
        async with Mailroom.connect(url, timeout=BEAT) as mailroom:
            before = await beats_of_this_host(mailroom)
            await asyncio.sleep(BEAT)
            after = await beats_of_this_host(mailroom)
    except StoreUnavailable:
        return False
    return any(before.get(drain) != counter for drain, counter in after.items())


async def server_answers(port: int) -> bool:
    """Say whether a server of ours answers on this port."""
    answer = await probe.get("127.0.0.1", port, "/healthz", within=BEAT + 1)
    return answer is not None and answer[0] == 200


def main(words: Sequence[str]) -> int:
    """Return 0 if each process that is named lives (`receive`, `work`, `console`; a port behind a colon), else 1."""

    async def lives(word: str) -> bool:
        name, _, port = word.partition(":")
        if name == "work":
            return await workers_beat(settings.load(DoctorSettings).url)
        return await server_answers(int(port or PORTS[name]))

    dead = [word for word in words if not asyncio.run(lives(word))]
    if dead or not words:
        click.echo(f"does not live: {', '.join(dead) or 'nothing was named'}", err=True)
    return 1 if dead or not words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
