import subprocess
import sys

import pytest

PROGRAM = """
import logging
from console import log
log.set_up(log.LogSettings(log_level={level!r}))
log.set_up(log.LogSettings(log_level={level!r}))
logging.getLogger("relais.worker").info("worker.started pid=%s", 7)
logging.getLogger("relais.worker").warning("worker.store_away")
for noisy in ("asyncio", "aiohttp.access", "uvicorn.access", "uvicorn.error"):
    logging.getLogger(noisy).info("a request of nobody's interest")
    logging.getLogger(noisy).warning("%s warns", noisy)
"""

NOISY = ["asyncio warns", "aiohttp.access warns", "uvicorn.access warns", "uvicorn.error warns"]


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("INFO", ["INFO    worker.started pid=7", "WARNING worker.store_away"]),
        ("DEBUG", ["INFO    worker.started pid=7", "WARNING worker.store_away"]),
        ("WARNING", ["WARNING worker.store_away"]),
        ("ERROR", []),
    ],
)
def test_lines(level: str, said: list[str]) -> None:
    """Each event is one line on stderr: time, level, its name and fields; others are heard from WARNING on."""
    program = PROGRAM.format(level=level)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    words = [line.split(" ", 2) for line in ran.stderr.splitlines()]
    others = [] if level == "ERROR" else [f"WARNING {line}" for line in NOISY]
    assert [rest for _, _, rest in words] == [*said, *others]
    assert all(len(day) == 10 and day.count("-") == 2 for day, _, _ in words)
    assert ran.stdout == ""
