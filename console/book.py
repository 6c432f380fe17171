"""Finds and loads the book for a command.

Comes in: a folder, or nothing (RELAIS_BOOK); for the book in force, what the console says. Goes out: the compiled book,
or a UserError with every problem in it. Never keeps a book that has errors.
"""

import os
from pathlib import Path

from console import catalogue
from console.client import ConsoleClient
from console.errors import SAID_NO, UserError
from rules.compiler import loader
from rules.errors import BookRefused
from rules.rulebook import Rulebook
from rules.secret import SecretFiles


def folder(given: Path | None) -> Path:
    """Return the folder of the book. Raises UserError."""
    found = given or Path(os.environ.get("RELAIS_BOOK") or "rules/book")
    if not found.is_dir():
        raise UserError(
            f"there is no book at {found}",
            mend="copy the starter book: relais init\nor say where yours is: RELAIS_BOOK=FOLDER",
        )
    return found


def load(given: Path | None) -> Rulebook:
    """Return the compiled book. Raises UserError."""
    place = folder(given)
    try:
        return loader.load(place, catalogue.build())
    except BookRefused as exc:
        raise refused(place, exc) from exc


def refused(place: Path, why: BookRefused) -> UserError:
    """Return the errors of a book as one UserError."""
    errors = [problem for problem in why.problems if problem.severity == "error"]
    return UserError(
        f"the book at {place} has {len(errors)} error{'s' * (len(errors) != 1)}:\n"
        + "\n".join(f"  {place / problem.file}{str(problem).removeprefix(problem.file)}" for problem in errors),
        mend=f"relais rules check {place}" if place.is_dir() else "copy the starter book: relais init",
    )


def read_in_force() -> Rulebook | None:
    """Return the book in force, None before the first. Raises UserError."""
    try:
        files = ConsoleClient.from_settings().get("/books/current")["files"]
    except UserError as exc:
        if exc.exit_code == SAID_NO:
            return None
        raise
    checked = loader.check_texts(files, catalogue.build())
    if checked.book is None:
        raise UserError(
            f"this program cannot read the book in force: {checked.errors[0]}",
            mend="use the version of Relais that the workers run: relais --version there says which",
        )
    return checked.book


def read_file(name: str) -> str | None:
    """Return a mounted secret: the file of that name in RELAIS_SECRETS, or of that path. Raises SecretUnreadable."""
    return SecretFiles(Path(os.environ.get("RELAIS_SECRETS") or "/run/secrets"))(name)
