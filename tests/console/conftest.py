"""What the tests of the console need: a small book, and our own processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from console.client import ClientSettings, ConsoleClient
from console.errors import UserError
from console.processes import port
from tests.conftest import GENEROUS, PrivateValkey, wait_until

BOOK = """\
sources:
  cmx:
    kind: cmxorganize
    verify:
      basic:
        user: cmx
        password: ${CMX_PASSWORD}
  shop:
    kind: generic
    verify:
      hmac:
        header: X-Signature
        secret: ${SHOP_SECRET}
    read:
      id: body.id
      type: body.event
destinations:
  crm:
    kind: rest
    base: http://127.0.0.1:9
    allow_private: true
    auth:
      bearer: ${CRM_TOKEN}
rules:
  - name: paid orders are not for us
    when:
      source: shop
      data.total: {gt: 1000}
    then:
      - crm.upsert_contact:
          email: "{{ data.email }}"
"""

SECRETS = {"CMX_PASSWORD": "pass-cmx", "SHOP_SECRET": "secret-shop", "CRM_TOKEN": "token-crm"}


class RelaisProcess:
    """A `relais` process, and what it says."""

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        environ: Mapping[str, str],
        descriptors: Sequence[int] = (),
        module: str = "console.cli",
    ) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELAIS_", "REDIS_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={**clean, "PYTHONUNBUFFERED": "1", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=descriptors,
        )
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str) -> None:
        """Wait until it has said something."""
        wait_until(lambda: text in self.said or not self._reading.is_alive(), f"it says {text!r}")
        assert text in self.said, f"it ended and said:\n{self.said}"

    def wait_healthy(self, url: str) -> None:
        """Wait until it answers."""
        client = ConsoleClient(ClientSettings(console_url=url))

        def healthy() -> bool:
            assert self.process.poll() is None, self.said
            try:
                client.get("/healthz")
            except UserError:
                return False
            return True

        wait_until(healthy, f"{url} answers")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its status."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        status = self.process.wait(GENEROUS)
        self._reading.join(GENEROUS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status


Start = Callable[..., RelaisProcess]


@pytest.fixture
def book(short_folder: Path) -> Path:
    """A small book."""
    folder = short_folder / "book"
    folder.mkdir()
    (folder / "book.yaml").write_text(BOOK)
    return folder


@pytest.fixture
def start(short_folder: Path, book: Path) -> Iterator[Start]:
    """Start `relais` processes in a folder of their own; whatever still runs at the end is stopped."""
    started: list[RelaisProcess] = []

    def begin(
        *arguments: str, descriptors: Sequence[int] = (), module: str = "console.cli", **environ: str
    ) -> RelaisProcess:
        given = {"RELAIS_BOOK": str(book), **environ}
        found = RelaisProcess(*arguments, folder=short_folder, environ=given, descriptors=descriptors, module=module)
        started.append(found)
        return found

    yield begin
    for each in started:
        each.stop()


@pytest.fixture
def receiver(start: Start, valkey: PrivateValkey) -> str:
    """A running receiver on a store of its own; its address."""
    number = port.free("127.0.0.1")
    process = start("receive", "--port", str(number), REDIS_URL=valkey.url, **SECRETS)
    process.wait_healthy(f"http://127.0.0.1:{number}")
    return f"http://127.0.0.1:{number}"
