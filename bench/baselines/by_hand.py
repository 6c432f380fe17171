"""LPUSH, BRPOP and the same POST by hand: the least that a queue can cost.

`python -m bench.baselines.by_hand SINK_PORT`. Reads `REDIS_URL`; prints JSON
with the latencies (seconds) of COUNT idle events, one after the other.
"""

import http.client
import json
import os
import sys
import threading
import time

import redis

COUNT = 300


def main(sink_port: int) -> None:
    """Push, pop and post, one at a time."""
    store = redis.Redis.from_url(os.environ["REDIS_URL"])
    arrived = threading.Event()

    def work() -> None:
        pop = redis.Redis.from_url(os.environ["REDIS_URL"])
        sink = http.client.HTTPConnection("127.0.0.1", sink_port)
        for _ in range(COUNT):
            popped = pop.brpop(["by_hand"])
            assert popped is not None
            body = popped[1]
            sink.request("POST", "/contacts", body, {"Content-Type": "application/json"})
            sink.getresponse().read()
            arrived.set()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    took = []
    body = json.dumps({"email": "eva@example.org", "first_name": "Eva", "last_name": "Muster"})
    for _ in range(COUNT):
        arrived.clear()
        started = time.perf_counter()
        store.lpush("by_hand", body)
        arrived.wait(5)
        took.append(time.perf_counter() - started)
        time.sleep(0.005)
    print(json.dumps(took))


if __name__ == "__main__":
    main(int(sys.argv[1]))
