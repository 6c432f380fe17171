import asyncio
import signal
from pathlib import Path

import pytest

from tests.chaos.processes import StormProcesses
from tests.conftest import wait_until


def test_within() -> None:
    """Processes are started inside what they are told to be in: a network namespace, or here an environment."""
    with StormProcesses() as house:
        house.within = ["env", "HOUSE_WITHIN=here"]
        house.start("store")
        environ = Path(f"/proc/{house.processes['store'].pid}/environ")
        wait_until(lambda: b"HOUSE_WITHIN=here" in environ.read_bytes(), "the store is inside")


def test_a_process_that_ends_before_it_is_ready() -> None:
    """Nobody waits for what has ended: it is named at once, with what it wrote."""
    with StormProcesses() as house:
        house.start("store")
        house.end("store", signal.SIGKILL)
        with pytest.raises(RuntimeError, match="the processes do not start, store ended"):
            asyncio.run(house.until_up())
