"""The load generator as a process: reads requests from a file, prints the result as JSON.

`python -m bench.load PORT CONNECTIONS FILE`; FILE holds length-prefixed requests.
"""

import json
import struct
import sys
from pathlib import Path

import uvloop

from bench import wire


def write(path: Path, requests: list[bytes]) -> None:
    """Write requests for a load process."""
    with path.open("wb") as file:
        for each in requests:
            file.write(struct.pack(">I", len(each)) + each)


def read(path: Path) -> list[bytes]:
    """Read what `write` wrote."""
    data = path.read_bytes()
    out, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        out.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return out


if __name__ == "__main__":
    port, connections, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    result = uvloop.run(wire.load("127.0.0.1", port, read(file), connections=connections))
    print(
        json.dumps(
            {
                "answered": result.answered,
                "seconds": result.seconds,
                "rate": result.rate,
                "statuses": {str(status): n for status, n in result.statuses.items()},
                "p50_ms": result.quantile(0.5) * 1000,
                "p99_ms": result.quantile(0.99) * 1000,
            }
        )
    )
