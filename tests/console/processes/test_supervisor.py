import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from console.errors import CANNOT_RUN, UserError
from console.processes import port, probe, supervisor
from console.processes.supervisor import Child, QuietPrinter, Supervisor
from tests.conftest import GENEROUS, wait_until, wait_until_async


class Lines:
    """Keeps what children say."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.said.append((name, line))

    def has(self, name: str, text: str) -> bool:
        return any(who == name and text in line for who, line in self.said)


def python(name: str, code: str, **options: object) -> Child:
    return Child(name, [sys.executable, "-u", "-c", code], **options)  # type: ignore[arg-type]


SLEEPS = "import time; print('here'); time.sleep(60)"


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_stops_in_order() -> None:
    """Children stop one after the other, the last started first, and nothing of them is left."""
    lines = Lines()
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('stops'), time.sleep(0.1), print('gone'), sys.exit()))\n"
        "print('here')\n"
        "time.sleep(60)"
    )

    async def run() -> dict[str, int]:
        async with Supervisor([python("first", code), python("second", code)], lines) as running:
            await wait_until_async(_both_here(lines), "both run")
            return running.pids()

    pids = asyncio.run(run())
    assert [line for line in lines.said if line[1] != "here"] == [
        ("second", "stops"),
        ("second", "gone"),
        ("first", "stops"),
        ("first", "gone"),
    ]
    assert not any(alive(pid) for pid in pids.values())


def test_starts_in_order() -> None:
    """Bases start first, each when the one before it is ready; then the others, the last one first."""
    lines = Lines()

    async def run() -> list[str]:
        names = ("one", "base", "two", "second base", "three")
        children = [
            python(name, SLEEPS, base=name.endswith("base"), ready=partial(_here, lines, name)) for name in names
        ]
        async with Supervisor(children, lines) as running:
            started = sorted(running._watched, key=lambda each: each._started)
            return [each.child.name for each in started]

    assert asyncio.run(run()) == ["base", "second base", "three", "two", "one"]


async def _here(lines: Lines, name: str) -> bool:
    return lines.has(name, "here")


def _both_here(lines: Lines) -> Callable[[], Awaitable[bool]]:
    async def fact() -> bool:
        return lines.has("first", "here") and lines.has("second", "here")

    return fact


def test_restarts() -> None:
    """A child that dies is started again, and it is said how it died."""
    lines = Lines()

    async def run() -> None:
        async with Supervisor([python("one", SLEEPS)], lines) as running:
            before = running.pids()["one"]
            os.kill(before, signal.SIGKILL)

            async def again() -> bool:
                return running.pids().get("one", before) != before

            await wait_until_async(again, "it runs again")

    asyncio.run(run())
    assert lines.has("one", "ended with signal SIGKILL; starts again in 0.2 s")


def test_cannot_run() -> None:
    """A child that says it can never run (status 3) ends everything with its last words."""

    async def run() -> None:
        code = f"import sys; print('port 80 is taken'); sys.exit({CANNOT_RUN})"
        async with Supervisor([python("one", SLEEPS), python("two", code)], Lines()) as running:
            await running.forever()

    with pytest.raises(UserError, match="two ended with status 3"):
        asyncio.run(run())


def test_another_relais(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another `relais` gets its arguments and its environment, writes into our log and is kept alive like any child."""
    monkeypatch.setattr(supervisor, "BACKOFF", (0.0,))
    lines = Lines()

    async def run() -> None:
        child = Child("one", ["settings", "--effective"], ours=True, environ={"RELAIS_PORT": "8123"})
        async with Supervisor([child], lines):

            async def again() -> bool:
                return lines.said.count(("one", "ended with status 0; starts again in 0 s")) >= 2

            await wait_until_async(again, "it ran twice")

    asyncio.run(run())
    assert lines.has("one", "8123")
    assert "RELAIS_PORT" not in os.environ


def test_another_relais_cannot_run() -> None:
    """What another `relais` says that it cannot run for is what ends everything; its mend comes along."""

    async def run() -> None:
        child = Child("receiver", ["receive"], ours=True, environ={"RELAIS_PORT": "many"})
        async with Supervisor([python("one", SLEEPS), child], Lines()) as running:
            await running.forever()

    with pytest.raises(UserError, match="receiver: the setting RELAIS_PORT must be a whole number") as refused:
        asyncio.run(run())
    assert refused.value.mend == "Port the receiver listens on."


async def answers(number: int) -> bool:
    """Say whether a sandbox answers."""
    return await probe.get("127.0.0.1", number, "/_sandbox/healthz") is not None


def test_another_relais_stops() -> None:
    """Another `relais` that is told to stop ends with what it does at that signal; one that runs no more is gone."""
    lines = Lines()

    async def run() -> dict[str, int]:
        number = port.free("127.0.0.1")
        child = Child("one", ["sandbox", "--port", str(number)], ours=True, ready=partial(answers, number))
        async with Supervisor([child], lines) as running:
            return running.pids()

    pids = asyncio.run(run())
    assert list(pids) == ["one"]
    assert not alive(pids["one"])
    assert not lines.has("one", "killed")


def test_never_ready() -> None:
    """A base that ends before it is ready keeps the others from starting."""
    lines = Lines()

    async def never() -> bool:
        return False

    async def run() -> None:
        base = python("base", "print('no'); raise SystemExit(1)", base=True, ready=never)
        async with Supervisor([base, python("other", SLEEPS)], lines):
            pass

    with pytest.raises(UserError, match="base ended with status 1"):
        asyncio.run(run())
    assert not lines.has("other", "here")


def test_does_not_stop() -> None:
    """A child that ignores SIGTERM is killed with all it started, after the time it was given."""
    lines = Lines()
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)\n"
        "time.sleep(60)"
    )

    async def run() -> int:
        async with Supervisor([python("one", code, stop_within=0.2)], lines):

            async def told() -> bool:
                return bool(lines.said)

            await wait_until_async(told, "it told its child's pid")
            return int(lines.said[0][1])

    grandchild = asyncio.run(run())
    wait_until(lambda: not alive(grandchild), "the grandchild has gone")
    assert lines.has("one", "did not stop within 0.2 s; killed")


def test_tied_to_the_supervisor(tmp_path: Path) -> None:
    """When the supervisor is killed, its children go with it."""
    if sys.platform != "linux":
        pytest.skip("only Linux has the tie")
    code = """
import asyncio, sys
from console.processes.supervisor import Child, QuietPrinter, Supervisor

async def run():
    async with Supervisor([
        Child("program", [sys.executable, "-c", "import time; time.sleep(60)"]),
        Child("relais", ["sandbox", "--port", sys.argv[1]], ours=True),
    ]) as running:
        print(*running.pids().values(), flush=True)
        await asyncio.sleep(60)

asyncio.run(run())
"""
    words = [sys.executable, "-c", code, str(port.free("127.0.0.1"))]
    parent = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert [alive(child) for child in children] == [True, True]
    parent.kill()
    parent.communicate(timeout=GENEROUS)
    wait_until(lambda: not any(alive(child) for child in children), "the children have gone")


def test_relais_ignores_the_folder() -> None:
    """Our own processes never import what lies in the current folder: a user's may hold a folder `rules`."""
    assert supervisor.relais("work")[1:] == ["-P", "-m", "console.cli", "work"]


DIES = "raise SystemExit(1)"


def waits(lines: Lines, count: int) -> list[str]:
    """Run a child that dies at once until it has been started so often; return the waits that were announced."""

    async def run() -> None:
        async with Supervisor([python("one", DIES)], lines):

            async def often() -> bool:
                return len(lines.said) >= count

            await wait_until_async(often, "it died so often")

    asyncio.run(run())
    said = [line for _, line in lines.said[:count]]
    assert all(line.startswith("ended with status 1; starts again in ") for line in said)
    return [line.rpartition(" in ")[2] for line in said]


def test_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that keeps dying is started again after longer and longer waits, up to the longest."""
    monkeypatch.setattr(supervisor, "BACKOFF", (0.0, 0.01, 0.02))
    assert waits(Lines(), 5) == ["0 s", "0.01 s", "0.02 s", "0.02 s", "0.02 s"]


def test_back_off_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that lived long enough before it died is started again after the shortest wait."""
    monkeypatch.setattr(supervisor, "BACKOFF", (0.0, 0.01, 0.02))
    monkeypatch.setattr(supervisor, "RECOVERED", 0.0)
    assert waits(Lines(), 4) == ["0 s"] * 4


def test_back_off_of_operators() -> None:
    """The waits are the documented ones: at once after an accident, half a minute for what never runs."""
    assert supervisor.BACKOFF == (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
    assert supervisor.RECOVERED == 60.0


def test_group_of_its_own() -> None:
    """A child leads a process group of its own: Ctrl-C in the terminal reaches the supervisor alone."""

    async def run() -> tuple[int, int]:
        async with Supervisor([python("one", SLEEPS)], Lines()) as running:
            pid = running.pids()["one"]
            return pid, os.getpgid(pid)

    pid, group = asyncio.run(run())
    assert group == pid != os.getpgid(0)


def test_what_a_child_leaves_behind() -> None:
    """A child that stops as it is told takes along what it started and did not stop."""
    lines = Lines()
    code = (
        "import subprocess, sys, time\n"
        "code = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(0, flush=True); time.sleep(600)'\n"
        "left = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)\n"
        "left.stdout.readline()\n"
        "print(left.pid)\n"
        "time.sleep(600)"
    )

    async def run() -> int:
        async with Supervisor([python("one", code)], lines):

            async def told() -> bool:
                return bool(lines.said)

            await wait_until_async(told, "it told its child's pid")
            return int(lines.said[0][1])

    left = asyncio.run(run())
    wait_until(lambda: not alive(left), "what it started has gone")
    assert not lines.has("one", "killed")


def test_stop_of_a_dead_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that waits to be started again when everything stops is no obstacle, and is not started."""
    monkeypatch.setattr(supervisor, "BACKOFF", (600.0,))
    lines = Lines()

    async def run() -> None:
        async with Supervisor([python("first", SLEEPS), python("dead", DIES)], lines) as running:

            async def dead() -> bool:
                return lines.has("dead", "starts again in 600 s")

            await wait_until_async(dead, "it has died")
            assert set(running.pids()) == {"first"}

    asyncio.run(run())
    assert len([1 for name, _ in lines.said if name == "dead"]) == 1


def test_pipe_that_stays_open() -> None:
    """A process that left the group and keeps the child's output open does not hold up the end."""
    lines = Lines()
    code = (
        "import subprocess, sys\n"
        "code = 'import time; time.sleep(600)'\n"
        "print(subprocess.Popen([sys.executable, '-c', code], start_new_session=True).pid)\n"
        "import time; time.sleep(600)"
    )

    async def run() -> None:
        async with Supervisor([python("one", code)], lines):

            async def told() -> bool:
                return bool(lines.said)

            await wait_until_async(told, "it told its child's pid")
        daemon = int(lines.said[0][1])
        assert alive(daemon)
        os.kill(daemon, signal.SIGKILL)

    asyncio.run(asyncio.wait_for(run(), GENEROUS))
    assert not lines.has("one", "did not stop")


def test_dies_and_leaves_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that dies is started again at once, also while something that it started keeps its output open."""
    monkeypatch.setattr(supervisor, "BACKOFF", (0.0, 600.0))
    lines = Lines()
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('here', flush=True)\n"
        "import os, time; time.sleep(600)"
    )

    async def run() -> None:
        async with Supervisor([python("one", code)], lines) as running:

            async def here() -> bool:
                return lines.has("one", "here")

            await wait_until_async(here, "it runs")
            first = running.pids()["one"]
            os.kill(first, signal.SIGKILL)

            async def again() -> bool:
                return running.pids().get("one", first) != first

            await wait_until_async(again, "it runs again")
            os.killpg(first, signal.SIGKILL)  # what it left behind

    asyncio.run(asyncio.wait_for(run(), 2 * GENEROUS))


def test_long_line() -> None:
    """A line that is longer than the buffer is dropped; the next one is read."""
    lines = Lines()
    code = "print('x' * 200_000); print('after'); import time; time.sleep(600)"

    async def run() -> None:
        async with Supervisor([python("one", code)], lines):

            async def after() -> bool:
                return lines.has("one", "after")

            await wait_until_async(after, "the next line is read")

    asyncio.run(run())


def test_own_words() -> None:
    """A child that can never run and says why and how to mend it is quoted, with the name of the process."""
    said = "print('much'); print('error: port 80 is taken'); print(' mend: take another'); raise SystemExit(3)"

    async def run() -> None:
        async with Supervisor([python("receiver", said)], Lines()) as running:
            await running.forever()

    with pytest.raises(UserError) as refused:
        asyncio.run(run())
    assert (refused.value.message, refused.value.mend) == ("receiver: port 80 is taken", "take another")


def test_not_ready_in_time() -> None:
    """A child that runs and does not become ready in its time ends everything, and is stopped."""
    lines = Lines()

    async def never() -> bool:
        return False

    async def run() -> None:
        async with Supervisor([python("one", SLEEPS, ready=never, start_within=0.4)], lines):
            pass

    with pytest.raises(UserError, match="one was not ready within 0 s") as refused:
        asyncio.run(run())
    assert "relais doctor" in refused.value.mend


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop(sign: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C, SIGTERM and a closed terminal stop it once; a second signal does not break the cleaning up."""
    done = []
    before = signal.signal(sign, lambda *_: None)  # a signal that nobody handles must not end the tests

    async def main() -> None:
        try:
            os.kill(os.getpid(), sign)
            await asyncio.sleep(20)
        finally:
            os.kill(os.getpid(), sign)
            await asyncio.sleep(0.05)
            done.append("cleaned up")

    try:
        assert supervisor.run(main()) is False
    finally:
        signal.signal(sign, before)
    assert done == ["cleaned up"]
    assert capsys.readouterr().err == "Stopping already; what is on its way is being finished.\n"


def test_ends_by_itself() -> None:
    """What ends by itself is told apart from what was told to stop."""

    async def main() -> None:
        await asyncio.sleep(0)

    assert supervisor.run(main()) is True


def test_printer(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line begins with the name of its process, padded to the longest."""
    say = supervisor.Printer(["valkey", "receiver"])
    say("valkey", "ready")
    say("receiver", "listening")
    assert capsys.readouterr().err == "valkey   │ ready\nreceiver │ listening\n"


def test_quiet_start(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of a start are kept back until somebody wants them; later ones are printed as they come."""
    quiet = QuietPrinter(["one"], show=False)
    quiet("one", "begins")
    assert capsys.readouterr().err == ""
    quiet.open()
    quiet("one", "goes on")
    assert [line.partition(" │ ")[2] for line in capsys.readouterr().err.splitlines()] == ["begins", "goes on"]
    dropping = QuietPrinter(["one"], show=False)
    dropping("one", "begins")
    dropping.open(drop=True)
    assert capsys.readouterr().err == ""
