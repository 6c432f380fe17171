"""Stores reports as JSON files in docs/figures, from which docs/performance.md and its plots are generated.

Comes in: a report, or the name of a stored one. Goes out: a file, or the report. Never changes a figure.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "figures"


def save(name: str, report: Mapping[str, Any]) -> Path:
    """Keep a report; return the file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return path


def show(report: Mapping[str, Any]) -> None:
    """Write a report to standard output, for machines."""
    json.dump(report, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Return all kept reports by name, without extension."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def origin(machine: Mapping[str, str]) -> str:
    """Return one line that describes machine and commit of a report."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}, "
        f"Python {machine['python']}, {machine['versions']}, commit {machine['commit']}, {machine['date']}"
    )
