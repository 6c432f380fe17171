"""Copies the starter book that comes with the program, and writes the schema beside it that its first lines name.

Comes in: a folder. Goes out: the files it got. Never overwrites anything.
"""

import json
import os
import shutil
from importlib import resources
from pathlib import Path

from console import catalogue
from console.errors import UserError
from rules.compiler import json_schema, loader


def starter() -> Path:
    """Return the folder of the starter book."""
    return Path(str(resources.files("rules"))) / "book"


def copy(folder: Path) -> list[Path]:
    """Copy the starter book; return its files. Raises UserError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} is there already" + ("" if folder.is_dir() else " and is no folder"),
            mend="name another folder: relais init FOLDER",
        )
    try:
        shutil.copytree(
            starter(),
            folder,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "schema.json"),
            copy_function=_copy,
        )
        everything = catalogue.build()
        found = json_schema.schema(everything, loader.load(folder, everything))
        (folder / "schema.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as exc:
        raise UserError(f"{folder} cannot be written: {exc.strerror}", mend="name another folder") from exc
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _copy(source: str, target: str) -> str:
    """Copy the text without the modes: what is installed may be read-only, a copy is to be edited."""
    shutil.copyfile(source, target)
    os.chmod(target, 0o644)
    return target
