"""Whether a TCP port can be had, and if not, who has it.

Comes in: host and port. Goes out: nothing, another port, or a UserError that names the process in the way.
Never keeps the port: another process may take it before the server binds it.
"""

import errno
import ipaddress
import os
import socket
from pathlib import Path

from console.errors import UserError
from receiver.settings import in_url


def is_loopback(host: str) -> bool:
    """Say whether an address is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def demand(host: str, port: int, option: str) -> None:
    """Raise a UserError if the port cannot be bound. `option` is how the user chooses another: `--port`."""
    problem = refused(host, port)
    if problem is None:
        return
    if problem.errno == errno.EADDRINUSE:
        who = holder(port)
        raise UserError(
            f"port {port} on {host} is taken{f' by {who}' if who else ''}",
            mend=f"stop that, or take another port: {option} {free(host)}",
        )
    if problem.errno == errno.EACCES:
        raise UserError(
            f"port {port} needs more rights than this user has", mend=f"use one above 1023: {option} {free(host)}"
        )
    raise UserError(
        f"{in_url(host)}:{port} cannot be listened on: {problem.strerror}", mend="listen on 127.0.0.1 or 0.0.0.0"
    )


def choose(host: str, wanted: int) -> int:
    """Return the wanted port, or the nearest one above it that is free."""
    nearby = range(wanted, min(wanted + 100, 65_536), 10)
    return next((number for number in nearby if refused(host, number) is None), None) or free(host)


def free(host: str) -> int:
    """Return a port that nobody uses."""
    with socket.socket(family(host), socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refused(host: str, port: int) -> OSError | None:
    """Return why the port cannot be bound, or None."""
    try:
        with socket.socket(family(host), socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as exc:
        return exc
    return None


def family(host: str) -> socket.AddressFamily:
    """Return the address family of a literal address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def holder(port: int) -> str:
    """Return who listens on the port (`nginx, pid 812`), or nothing where the system does not tell."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            column = line.split()
            if column[3] == "0A" and int(column[1].rpartition(":")[2], 16) == port:  # 0A: listening
                inodes.add(f"socket:[{column[9]}]")
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(link) in inodes for link in (process / "fd").iterdir()):
                words = (process / "cmdline").read_bytes().split(b"\0")
                command = b" ".join(words).decode(errors="replace").strip()
                return f"{command[:80] or (process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # it has gone, or belongs to another user
    return ""
