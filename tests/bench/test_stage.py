"""The stage ends what it started."""

import signal

from bench.stage import BenchStage


def test_what_stands_still_is_ended() -> None:
    """A process that a measurement stopped goes on at the end, and so ends itself and its children."""
    with BenchStage() as stage:
        process = stage.start("work", "-c", "import time; time.sleep(60)")
        stage.send("work", signal.SIGSTOP)
    assert process.returncode == -signal.SIGTERM
