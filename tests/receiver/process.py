"""A receiver process of its own, as its command runs it, without the console around it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.conftest import wait_until
from tests.receiver import book

PROGRAM = """
import sys
from pathlib import Path
from receiver import server
from receiver.settings import ReceiverSettings
from tests.receiver.book import CATALOGUE
server.run(ReceiverSettings(port=0, book=Path(sys.argv[1])), CATALOGUE)
"""


class Process:
    """A receiver process of its own."""

    def __init__(self, folder: Path, redis_url: str, listening: int = -1, **more: str) -> None:
        spool = str(folder / "spool")
        environ = {**os.environ, **book.ENVIRON, "REDIS_URL": redis_url, "RELAIS_SPOOL": spool, **more}
        passed: tuple[int, ...] = ()
        if listening >= 0:
            passed, environ["RELAIS_LISTEN_FD"] = (listening,), str(listening)
        command = [sys.executable, "-c", PROGRAM, str(book.write(folder))]
        self.process = subprocess.Popen(command, env=environ, pass_fds=passed, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.said: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        wait_until(lambda: any("startup complete" in line for line in self.said), "the receiver serves", 30)
        line = next(line for line in self.said if "receiver.listening" in line)
        self.number = int(line.partition("http://127.0.0.1:")[2].split()[0])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)

    def end(self) -> int:
        """Wait for its end and return its exit status."""
        status = self.process.wait(30)
        self.reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    @property
    def memory(self) -> float:
        """What it keeps in memory now, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024
