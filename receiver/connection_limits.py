"""What a connection may cost, and how many may be open: one file descriptor each.

Comes in: the limits of the process. Goes out: a raised limit, and the bounds that the server enforces, with our
protocol or with uvicorn's. Never gives connections the descriptors that the store, the spool and the book need.
"""

import functools
import resource

#: Bytes of a request that are not its body: head, trailers, and what chunks cost beyond as much as they carry.
MOST_HEAD = 32_768
#: File descriptors that are wanted, and those left for the store, the spool and the book.
WANTED, SPARE = 65_536, 128


def raise_limit() -> None:
    """Allow this process as many connections as its user may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    most_connections.cache_clear()


@functools.cache
def most_connections() -> int:
    """Return how many connections may be open at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (WANTED if soft == resource.RLIM_INFINITY else soft) - SPARE
