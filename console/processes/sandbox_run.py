"""A sandbox run (`relais up --sandbox`): its data, its child process, and how other commands find it.

Comes in: the data folder and the environment. Goes out: settings and environment of a run that shares nothing with the
real one: neither store, queues, spool nor vendors. Never deletes a folder that no sandbox run has made.
"""

import dataclasses
import functools
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from console.errors import UserError
from console.processes import port, probe, valkey
from console.processes.supervisor import Child
from sandbox import accounts

HOST = "127.0.0.1"
PORT = 8030
#: Below the data folder of the real run, and the file by which a folder is known as that of a sandbox run.
FOLDER, FILE = "sandbox", "sandbox.json"


@dataclass(frozen=True)
class SandboxRun:
    """Where the parts of a sandbox run are: addresses, and its data folder."""

    receiver: str
    console: str
    sandbox: str
    data: str

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return what its processes, and the commands that ask it, find in their environment."""
        keys = asdict(accounts.from_environ(environ))
        return {
            "RELAIS_SANDBOX": self.sandbox,
            "RELAIS_CONSOLE_URL": self.console,
            "RELAIS_PORT": self.receiver.rpartition(":")[2],
            "RELAIS_DATA": self.data,
            "RELAIS_SPOOL": str(Path(self.data) / "spool"),
            "RELAIS_NOTEBOOK": str(Path(self.data) / "notebook.sqlite"),
            "RELAIS_RECEIPTS": str(Path(self.data) / "forgotten.jsonl"),
            # Whatever the real run is told of its store does not count here.
            "REDIS_URL": "",
            "RELAIS_RQ_URL": "",
            "RELAIS_REPLICAS": "0",
            "RELAIS_STRICT": "",
            "RELAIS_POOL": "default",
            **{f"SANDBOX_{name.upper()}": key for name, key in keys.items()},
        }

    def child(self, environ: Mapping[str, str]) -> Child:
        """Return the stand-ins as a child: whoever is asked first is there before whoever asks."""
        number = int(self.sandbox.rpartition(":")[2])
        return Child(
            name="sandbox",
            command=("sandbox", "--host", HOST, "--port", str(number)),
            ours=True,
            environ=environ,
            base=True,
            ready=functools.partial(_answers, number),
        )


async def _answers(number: int) -> bool:
    answer = await probe.get(HOST, number, "/_sandbox/healthz")
    return answer is not None and answer[0] == 200


def begin(folder: Path, receiver: str, console: str, number: int = 0) -> SandboxRun:
    """Return a new run at these addresses, in a folder that begins empty; `number`: the stand-ins' port, 0: any.

    Raises UserError.

    What the last run left is removed: its stand-ins have forgotten what its store remembers of them.
    """
    if not valkey.is_held(folder):  # else whoever opens it is told by whom
        _empty(folder)
    return SandboxRun(receiver, console, f"http://{HOST}:{number or port.free(HOST)}", str(folder.absolute()))


def _empty(folder: Path) -> None:
    if folder.exists() and not (folder / FILE).exists() and any(folder.iterdir()):
        raise UserError(
            f"{folder} is there already, and no sandbox run made it",
            mend="move it away, or name another: --data FOLDER",
        )
    try:
        shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None
        folder.mkdir(parents=True, mode=0o700)
        (folder / FILE).write_text("{}\n", encoding="utf-8")
    except OSError as exc:
        raise UserError(
            f"the data folder {folder} cannot be written: {exc.strerror}", mend="name another folder: --data FOLDER"
        ) from exc


def write(run: SandboxRun) -> None:
    """Write down where a run is, for the commands of this folder. It holds its data folder already."""
    file = Path(run.data) / FILE
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(run)) + "\n", encoding="utf-8")
    fresh.replace(file)


def find(environ: Mapping[str, str]) -> SandboxRun | None:
    """Return the sandbox run of the data folder, if one is up."""
    folder = Path(environ.get("RELAIS_DATA") or ".relais") / FOLDER
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        names = [field.name for field in dataclasses.fields(SandboxRun)]
        run = SandboxRun(**{name: str(told[name]) for name in names})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run if valkey.is_held(folder) else None


def refuse_mixing(data: Path) -> None:
    """Raise UserError for a real run that would share anything with a sandbox."""
    if os.environ.get("RELAIS_SANDBOX"):
        raise UserError(
            "RELAIS_SANDBOX is set, so what comes in would be delivered to a sandbox and to nobody else",
            mend="relais up --sandbox, or unset RELAIS_SANDBOX",
        )
    if (data / FILE).exists():
        raise UserError(
            f"{data} is the data of a sandbox run: what waits there is not for real vendors",
            mend="name another folder: --data FOLDER",
        )
