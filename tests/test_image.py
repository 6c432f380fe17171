"""The image is built and tried as `make image` does: no registry, no engine; needs buildah, debootstrap and root."""

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from console.processes import port

ROOT = Path(__file__).parents[1]
STORAGE = ROOT / ".cache" / "image"
MISSING = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]


@pytest.fixture(scope="module")
def said() -> str:
    """What the script says; it has built the image and run it."""
    if MISSING or os.geteuid() != 0:
        pytest.skip(f"THE IMAGE IS NOT BUILT: needs root and {', '.join(MISSING) or 'nothing else'}")
    ports = {"PORT": str(port.free("127.0.0.1")), "CONSOLE_PORT": str(port.free("127.0.0.1"))}
    done = subprocess.run(
        [ROOT / "deploy" / "image.sh"], env={**os.environ, **ports}, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def inspect() -> dict[str, Any]:
    """Return what the image says of itself."""
    where: list[str | Path] = ["--root", STORAGE / "storage", "--runroot", STORAGE / "run", "--storage-driver", "vfs"]
    command = ["buildah", *where, "inspect", "--type", "image", "localhost/relais:latest"]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def test_runs(said: str) -> None:
    """The image runs as its user: book made and right, everything up and alive, events safe, an orderly stop."""
    assert "The book is right" in said
    assert "Acknowledged events survive a power cut" in said
    assert "stopped with status 0" in said


def test_says_what_it_is(said: str) -> None:
    """It has the labels of an OCI image, the user and the command of the Dockerfile, and no address of a mirror."""
    assert said
    found = inspect()
    config = found["Docker"]["config"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert (labels["title"], labels["version"], labels["licenses"]) == ("Relais", version, "MIT")
    assert config["User"] == "10001:10001"
    assert config["Cmd"] == ["relais", "up", "--host", "0.0.0.0"]  # noqa: S104
    assert "Healthcheck" not in config
    assert not any(name.startswith("PIP_") for name in config["Env"])


def test_warns_of_nothing(said: str) -> None:
    """Building it gives no warning: a user's number out of range, an instruction that the format cannot hold."""
    assert said
    assert "warning" not in (STORAGE / "build.log").read_text().lower()
