"""Starts child processes, restarts what dies, stops them in order, and takes them along when it dies itself.

Comes in: the children, those last that stop first. Goes out: their log lines with their names in front, and an
exit status. Never looks into what a child does: it knows command lines, signals and a question "are you ready?".
Another `relais` begins as a copy of this process where that can be (`workers/fork.py`), every other program afresh.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from console import cli
from console.errors import CANNOT_RUN, UserError
from workers import fork, parent_death

#: Seconds before a dead child is started again: at once after a first accident, half a minute when it keeps dying.
BACKOFF = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)

#: A child that ran for this many seconds before it died is started again after the first wait of BACKOFF.
RECOVERED = 60.0

#: Lines of a child that are kept to say why it ended.
KEPT_LINES = 20

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan")

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Child:
    """One process to keep alive."""

    name: str
    #: The command line of a program, or where it is `ours`, the arguments of another `relais`.
    command: Sequence[str]
    ours: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    #: Descriptors it inherits.
    descriptors: tuple[int, ...] = ()
    #: Those that are none start when it is ready: they need it.
    base: bool = False
    #: Answers whether it does its work already; None: as soon as it runs.
    ready: Callable[[], Awaitable[bool]] | None = None
    #: Seconds it gets to become ready, on a busy machine, and to stop after SIGTERM, before it is killed.
    start_within: float = 180.0
    stop_within: float = 15.0
    #: Turns what it wrote last and its status into the UserError that ends everything, if it never became ready.
    refusal: Callable[[str, int], UserError] | None = None


class Supervisor:
    """Runs children inside its `async with` block, and none after it.

    Bases start in the order given, each when the one before it is ready; then the others, the last one first: a system
    that takes something in should do so as early as it can. They stop in the reverse of the order given.
    """

    def __init__(self, children: Sequence[Child], say: Say | None = None) -> None:
        self.children = tuple(children)
        self.say = say or Printer([child.name for child in children])
        self._watched = [Watched(child, self.say) for child in self.children]
        self._failed: asyncio.Future[None] | None = None

    async def __aenter__(self) -> "Supervisor":
        self._failed = asyncio.get_running_loop().create_future()
        try:
            for watched in self._watched:
                if watched.child.base:
                    await watched.spawn()
                    await watched.until_ready()
            for watched in reversed(self._watched):
                if not watched.child.base:
                    await watched.spawn()
            await asyncio.gather(*(watched.until_ready() for watched in self._watched))
            for watched in self._watched:
                watched.keep(self._failed)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def forever(self) -> None:
        """Keep them alive until cancelled. Raises the UserError of a child that can never run."""
        if self._failed is None:
            raise RuntimeError("enter the supervisor first")
        await asyncio.shield(self._failed)

    async def stop(self) -> None:
        """Stop the children, the last of them first, each after the one before it has gone."""
        for watched in reversed(self._watched):
            await watched.stop()
        if self._failed is not None and self._failed.done() and not self._failed.cancelled():
            self._failed.exception()  # marks it as retrieved: asyncio then does not log it

    def pids(self) -> dict[str, int]:
        """Return the process ids of the children that run now."""
        return {w.child.name: w.process.pid for w in self._watched if w.process and w.process.returncode is None}


class Watched:
    """One child: its process, the task that reads its output, the task that starts it again."""

    def __init__(self, child: Child, say: Say) -> None:
        self.child = child
        self.say = say
        self.process: asyncio.subprocess.Process | CopiedProcess | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._reading: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._started = 0.0

    async def until_ready(self) -> None:
        """Wait until it is ready. Raises UserError where it never will be."""
        if self.child.ready is None:
            return
        deadline = time.monotonic() + self.child.start_within
        while not await self.child.ready():
            if self._process.returncode is not None:
                await self._read_rest()
                raise self._refusal(self._process.returncode)
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self.child.name} was not ready within {self.child.start_within:.0f} s",
                    mend="see its lines above; `relais doctor` says what is amiss on this machine",
                )
            await asyncio.sleep(0.02)

    def keep(self, failed: asyncio.Future[None]) -> None:
        """Start it again whenever it ends, until `stop`."""
        self._keeping = asyncio.create_task(self._keep(failed))

    async def _keep(self, failed: asyncio.Future[None]) -> None:
        deaths = 0
        while True:
            status = await self._process.wait()
            await self._read_rest()
            if status == CANNOT_RUN and not failed.done():
                failed.set_exception(self._refusal(status))
                return
            if time.monotonic() - self._started > RECOVERED:
                deaths = 0
            wait = BACKOFF[min(deaths, len(BACKOFF) - 1)]
            deaths += 1
            self.say(self.child.name, f"ended with {worded(status)}; starts again in {wait:g} s")
            await asyncio.sleep(wait)
            await self.spawn()

    async def stop(self) -> None:
        """End it: SIGTERM, then after `stop_within` SIGKILL for it and whatever it started."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        if self.process is None:
            return
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), self.child.stop_within)
            except TimeoutError:
                self.say(self.child.name, f"did not stop within {self.child.stop_within:g} s; killed")
        # The group is the child and what it has started: nothing of it may outlive us.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self._read_rest()

    async def spawn(self) -> None:
        """Start the process."""
        self._started = time.monotonic()
        self._lines.clear()
        # A pipe of our own: with one of asyncio's, `wait` returns only when all who inherited the pipe have closed it.
        reading, writing = os.pipe()
        self._reading = asyncio.create_task(self._read(reading))
        try:
            if self.child.ours and fork.COPIES:
                self.process = CopiedProcess(self.child, writing)
            else:
                self.process = await self._execute(writing)
        finally:
            os.close(writing)

    async def _execute(self, writing: int) -> asyncio.subprocess.Process:
        command = relais(*self.child.command) if self.child.ours else self.child.command
        return await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **self.child.environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=self.child.descriptors,
            # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops all in order.
            process_group=0,
            preexec_fn=parent_death.to_parent(),
        )

    async def _read(self, descriptor: int) -> None:
        lines = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(descriptor, "rb", buffering=0)
        )
        with contextlib.closing(transport):
            while True:
                try:
                    line = await lines.readline()
                except ValueError:  # longer than the reader's buffer: it has been dropped
                    continue
                if not line:
                    return
                text = line.decode(errors="replace").rstrip()
                self._lines.append(text)
                self.say(self.child.name, text)

    async def _read_rest(self) -> None:
        """Read what the pipe still holds, for a second at most: a grandchild may keep it open."""
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=1.0)
            self._reading.cancel()
            await asyncio.wait({self._reading})

    @property
    def _process(self) -> "asyncio.subprocess.Process | CopiedProcess":
        if self.process is None:
            raise RuntimeError(f"{self.child.name} was not started")
        return self.process

    def _refusal(self, status: int) -> UserError:
        said = "\n".join(self._lines)
        if self.child.refusal:
            return self.child.refusal(said, status)
        if status == CANNOT_RUN and "error: " in said:
            # It has said what and how to mend it: that is the reason, in its own words.
            what, _, mend = said.rpartition("error: ")[2].partition("\n mend: ")
            return UserError(f"{self.child.name}: {what}", mend=mend)
        return UserError(f"{self.child.name} ended with {worded(status)}", mend="see its lines above")


class CopiedProcess:
    """Another `relais` that began as a copy of this process; with what the supervisor asks of a process."""

    def __init__(self, child: Child, output: int) -> None:
        # Imported here it is shared, also by what starts later, and there when this one has to start again.
        importlib.import_module(f"console.commands.{child.command[0]}")
        gc.freeze()  # what the search for garbage looks at is written to, and no copy shares it any more
        keeps = (output, *child.descriptors)
        given = (child.command, child.environ, output, os.getpid())
        self._process = fork.process(f"relais {child.command[0]}", be_relais, *given, keeps=keeps)
        with fork.signals_held():
            self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """Its exit status, less than 0 where a signal ended it; None while it runs."""
        return self._process.exitcode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    async def wait(self) -> int:
        """Return its exit status when it has ended."""
        while (status := self.returncode) is None:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            descriptor = os.pidfd_open(self.pid)
            loop.add_reader(descriptor, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
        return status


def be_relais(arguments: Sequence[str], environ: Mapping[str, str], output: int, parent: int) -> None:
    """Be `relais ARGUMENTS` in a new process, whose lines go to a descriptor."""
    os.setpgid(0, 0)  # as in `Watched._execute`
    parent_death.die_with_parent(parent)
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    # Not the parent's objects: they may hold lines of its own.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    os.environ.update(environ)
    sys.argv = ["relais", *arguments]
    cli.main()


class Printer:
    """Prints a line with the name of its process in front, in a colour of its own."""

    def __init__(self, names: Sequence[str]) -> None:
        self.width = max((len(name) for name in names), default=0)
        self.colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}

    def __call__(self, name: str, line: str) -> None:
        """Print one line."""
        click.echo(f"{click.style(name.ljust(self.width), fg=self.colours.get(name))} │ {line}", err=True)


class QuietPrinter(Printer):
    """Keeps the lines of the processes back until it is opened."""

    #: Lines that are kept: enough to say why a start failed.
    KEPT = 60

    def __init__(self, names: Sequence[str], *, show: bool) -> None:
        super().__init__(names)
        self.show = show
        self.kept: deque[tuple[str, str]] = deque(maxlen=self.KEPT)

    def __call__(self, name: str, line: str) -> None:
        """Take a line."""
        if self.show:
            super().__call__(name, line)
        else:
            self.kept.append((name, line))

    def open(self, *, drop: bool = False) -> None:
        """Print what comes from now on, and what was kept unless `drop`."""
        self.show = True
        while self.kept:
            name, line = self.kept.popleft()
            if not drop:
                super().__call__(name, line)


def relais(*arguments: str) -> list[str]:
    """Return the command line of another `relais` with the same interpreter."""
    return [sys.executable, "-P", "-m", "console.cli", *arguments]


def worded(status: int) -> str:
    """Return an exit status in words."""
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"status {status}"


def run(main: Coroutine[Any, Any, None]) -> bool:
    """Run `main` until it ends (True) or is told to stop (False): Ctrl-C, SIGTERM, a closed terminal. It cleans up."""
    return asyncio.run(_run(main))


async def _run(main: Coroutine[Any, Any, None]) -> bool:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(main)
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked:
            click.echo("Stopping already; what is on its way is being finished.", err=True)
            return
        asked = True
        task.cancel()

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(sign, ask)
    try:
        await task
    except asyncio.CancelledError:
        if not asked:
            raise
        return False
    return True
