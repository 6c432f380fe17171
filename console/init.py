"""Copies the starter book that comes with the program.

Comes in: a folder. Goes out: the files it got. Never overwrites anything.
"""

import os
import shutil
from importlib import resources
from pathlib import Path

from console.mistake import Mistake


def starter() -> Path:
    """Return the folder of the starter book."""
    return Path(str(resources.files("rules"))) / "book"


def copy(folder: Path) -> list[Path]:
    """Copy the starter book; return its files. Raises Mistake."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Mistake(
            f"{folder} is there already" + ("" if folder.is_dir() else " and is no folder"),
            mend="name another folder: relais init FOLDER",
        )
    try:
        shutil.copytree(
            starter(), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"), copy_function=_copy
        )
    except OSError as exc:
        raise Mistake(f"{folder} cannot be written: {exc.strerror}", mend="name another folder") from exc
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _copy(source: str, target: str) -> str:
    """Copy the text without the modes: what is installed may be read-only, a copy is to be edited."""
    shutil.copyfile(source, target)
    os.chmod(target, 0o644)
    return target
