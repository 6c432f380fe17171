import signal
import subprocess
import sys

import pytest

from tests.processes import SIGNALS, children_with_default_signals

CHILD = "import signal; print(all(signal.getsignal(s) != signal.SIG_IGN for s in (1, 2, 15)), flush=True); input()"


def test_default_signals() -> None:
    """A child of a process that ignores Ctrl-C, the end of its terminal and SIGTERM ignores none of them."""
    before = {sign: signal.signal(sign, signal.SIG_IGN) for sign in SIGNALS}
    try:
        with children_with_default_signals():
            for sign in SIGNALS:
                signal.raise_signal(sign)  # we still ignore it
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert [signal.getsignal(sign) for sign in SIGNALS] == [signal.SIG_IGN] * len(SIGNALS)
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    child.terminate()
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGTERM


def test_signals_that_are_not_ignored() -> None:
    """A signal that somebody handles, as pytest does Ctrl-C, stays handled by them."""
    before = [signal.getsignal(sign) for sign in SIGNALS]
    if signal.SIG_IGN in before:
        pytest.fail("the fixture of all tests should have replaced them")
    with children_with_default_signals():
        assert [signal.getsignal(sign) for sign in SIGNALS] == before
