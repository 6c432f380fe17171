"""The rings of the tests: `pytest --quick` runs what needs no process and no socket.

Comes in: the tests of a session. Goes out: those that try to start a process or to open a socket, as skipped. Never
reads a list: a test that tries is stopped at that moment, and whatever became of it, it belongs to the other ring.
"""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

#: What the interpreter announces before it does it.
PROCESSES = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"})
SOCKETS = frozenset({"socket.bind", "socket.connect"})
REASON = "not in the quick ring: it starts a process or opens a socket (make test)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--quick`."""
    parser.addoption("--quick", action="store_true", help="only tests that need no process and no socket")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the tests where `--quick` was said."""
    if config.getoption("quick"):
        # What a stopped test leaves open would fail the next one; the other ring finds what is left open for real.
        for each in ("PytestUnraisableExceptionWarning", "PytestUnhandledThreadExceptionWarning"):
            config.addinivalue_line("filterwarnings", f"ignore::pytest.{each}")
        config.pluginmanager.register(QuickRing())


class QuickRing:
    """Skips each test that tries."""

    def __init__(self) -> None:
        self._running = False
        self._tried = False
        sys.addaudithook(self._watch)

    def _watch(self, event: str, args: tuple[Any, ...]) -> None:
        if self._running and (event in PROCESSES or event in SOCKETS):
            self._tried = True
            pytest.skip(REASON)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Watch one test, from its first fixture to its last."""
        self._running, self._tried = True, False
        try:
            return (yield)
        finally:
            self._running = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        """Skip also a test that went on after it was stopped, or failed for it: code may catch everything."""
        report: pytest.TestReport = yield  # type: ignore[assignment]
        stopped = report.skipped and REASON in str(report.longrepr)  # A fixture of many tests is stopped only once.
        if stopped or (self._tried and (report.when == "call" or not report.passed)):
            report.outcome = "skipped"
            report.longrepr = (__file__, 1, REASON)  # One place for all, so that the summary has one line.
        return report  # type: ignore[return-value]
