"""The sink as a process: `python -m bench.sink PORT [DELAY_SECONDS]`."""

import sys

import uvloop

from bench.wire import Sink

if __name__ == "__main__":
    uvloop.run(Sink(float(sys.argv[2]) if len(sys.argv) > 2 else 0.0).serve("127.0.0.1", int(sys.argv[1])))
