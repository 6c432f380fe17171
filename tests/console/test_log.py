import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from console import log

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


def line(*, as_json: bool, template: str, values: tuple[Any, ...], name: str = "relais.receiver", **more: Any) -> str:
    record = logging.LogRecord(name, logging.WARNING, "", 0, template, values, None)
    record.__dict__.update(more)
    return log.LineFormatter(as_json=as_json).format(record)


HOSTILE = 'a\nb\r\x1b[31m\x85\u2028\u202e source=evil "q"'


@pytest.mark.parametrize("name", ["relais.receiver", "rq.worker"])
@pytest.mark.parametrize("as_json", [False, True])
def test_no_value_makes_a_line(as_json: bool, name: str) -> None:
    """A value ends no line, moves no cursor and is no further key."""
    written = line(as_json=as_json, template="x.refused source=%s: and %s", values=(HOSTILE, HOSTILE), name=name)
    assert written.isprintable()
    assert len(written.splitlines()) == 1
    if name == "relais.receiver" and not as_json:
        assert ' x.refused source="a\\\\nb' in written
    if as_json:
        told = json.loads(written)
        assert told.get("source", HOSTILE) == HOSTILE
        assert set(told) <= {"at", "level", "logger", "event", "source", "text"}


def test_json_has_the_same_keys() -> None:
    """A line of JSON has the name of the fact, its keys, and numbers as numbers."""
    template = "delivery.attempted event_id=%s destination=%s code=%s attempt=%d why=%s: it waits 100%%"
    told = json.loads(line(as_json=True, template=template, values=("e1", "crm", "timeout", 2, OSError("no route"))))
    del told["at"]
    assert told == {
        "level": "WARNING",
        "logger": "relais.receiver",
        "event": "delivery.attempted",
        "event_id": "e1",
        "destination": "crm",
        "code": "timeout",
        "attempt": 2,
        "why": "no route",
        "text": "it waits 100%",
    }
    about = line(as_json=False, template="alert code=%s text=%s", values=("a", "b c"), about={"destination": "crm"})
    assert about.endswith('alert code=a text="b c" destination=crm')


@pytest.mark.parametrize("as_json", [False, True])
def test_addresses_are_not_printed(as_json: bool) -> None:
    """Addresses and passwords are in no line, in URLs neither; nor in a traceback, which is one line, too."""
    url = "https://user:secret@crm.example.org/contacts/eva%40example.org?email=eva@example.org"
    try:
        raise ValueError("Eva <eva@example.org>\nforged")
    except ValueError:
        exc_info = sys.exc_info()
    written = line(as_json=as_json, template="x.failed why=%s", values=(url,), exc_info=exc_info)
    assert "eva" not in written.replace('raise ValueError("Eva <eva@', "").replace("test_log", "")
    assert "secret" not in written
    assert len(written.splitlines()) == 1
