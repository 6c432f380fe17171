"""The load generator as a process: reads requests from a file, writes the result as JSON into another.

`python -m bench.load PORT[,PORT] CONNECTIONS FILE RESULT [--rate PER_SECOND] [--keep]`; FILE holds length-prefixed
requests. The result goes through a file, because through a pipe some arrived cut at 64 KiB, for a reason not found.
`--keep`: the result lists for each request when it was due, when it was answered, and its first event id.
"""

import argparse
import json
import struct
import time
from pathlib import Path
from typing import Any

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


def as_json(result: wire.LoadResult, busy: float) -> dict[str, Any]:
    """Return a result as JSON; `busy`: the processor time that the load generator itself used."""
    return {
        "answered": result.answered,
        "seconds": result.seconds,
        "rate": result.rate,
        "busy": busy / result.seconds if result.seconds else 0.0,
        "statuses": {str(status): n for status, n in result.statuses.items()},
        "p50_ms": result.quantile(0.5) * 1000,
        "p99_ms": result.quantile(0.99) * 1000,
        "exchanges": [(e.number, e.due, e.answered, _first_id(e.body)) for e in result.exchanges],
    }


def _first_id(body: bytes) -> str:
    try:
        return str(json.loads(body)["events"][0]["id"])
    except (ValueError, LookupError, TypeError):
        return ""


def main() -> None:
    """Send what the file holds."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("ports")
    parser.add_argument("connections", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--keep", action="store_true")
    words = parser.parse_args()
    requests = read(words.file)
    ports = [int(port) for port in words.ports.split(",")]
    before = time.process_time()
    result = uvloop.run(wire.load(ports, requests, connections=words.connections, rate=words.rate, keep=words.keep))
    words.result.write_text(json.dumps(as_json(result, time.process_time() - before)))


if __name__ == "__main__":
    main()
