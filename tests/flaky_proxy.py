"""A line to the store that breaks: it passes requests on and now and then drops the connection instead of the answer.

Comes in: a unix socket. Goes out: another one. So a caller learns what "unknown" means: done, and nobody said so.
"""

import asyncio
import contextlib
import random
from pathlib import Path


class Lossy:
    """Use it as `async with`. Every answer is lost with the given probability."""

    def __init__(self, behind: Path, front: Path, seed: int) -> None:
        self.front = front
        self.url = f"unix://{front}"
        self._behind = behind
        self._random = random.Random(seed)
        #: Probability that an answer is lost.
        self.loss = 0.0
        #: How many were.
        self.lost = 0
        #: Requests with this word in them are passed on this many seconds late.
        self.late: tuple[bytes, float] = (b"", 0.0)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Lossy":
        self._server = await asyncio.start_unix_server(self._talk, self.front)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            answers, there = await asyncio.open_unix_connection(self._behind)
            back = asyncio.create_task(self._answer(answers, writer))
            while data := await reader.read(65536):
                word, seconds = self.late
                if word and word in data:
                    await asyncio.sleep(seconds)
                there.write(data)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            if back is not None:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
            for end in (writer, there):
                if end is not None:
                    end.close()

    async def _answer(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await answers.read(65536):
                if self._random.random() < self.loss:
                    self.lost += 1
                    break
                writer.write(data)
        writer.close()
