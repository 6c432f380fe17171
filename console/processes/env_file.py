"""The secrets that senders must show us: ours to choose, so the first `relais up` in a folder chooses them.

Comes in: the book and the environment. Goes out: a `.env` with fresh random secrets, or the names that are missing.
Never touches a `.env` that is there, and never invents a secret that somebody else has given out.
"""

import os
import secrets
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from console import book as books
from rules import secret
from rules.errors import SecretMissing
from rules.rulebook import Rulebook

HEAD = """\
# Written by the first `relais up` in this folder. These are the secrets that senders have to show: enter them at the
# platforms, or replace them by what the platforms say. Keep this file out of version control.
"""


def provide(book: Rulebook, environ: MutableMapping[str, str], file: Path) -> tuple[str, ...]:
    """Write `file` with fresh secrets where there is none, and put them into `environ`; return their names."""
    names = missing(book, environ)
    if not names or file.exists():
        return ()
    fresh = {name: secrets.token_urlsafe(24) for name in names}
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return ()  # a folder that nobody may write to: the sources answer 503 and say why
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(HEAD + "".join(f"{name}={value}\n" for name, value in fresh.items()))
    environ.update(fresh)
    return tuple(fresh)


def missing(book: Rulebook, environ: Mapping[str, str]) -> list[str]:
    """Return the secrets of sources that are set nowhere, in the order of the book."""
    names = [name for source in book.sources.values() for each in source.verify.secrets for name in each.names]
    return [name for name in dict.fromkeys(names) if not set_somewhere(name, environ)]


def set_somewhere(name: str, environ: Mapping[str, str]) -> bool:
    """Say whether a reference leads to a value, or to a file that somebody has named: then it is not ours to choose."""
    if environ.get(f"{name}_FILE"):
        return True
    try:
        secret.resolve(f"${{{name}}}", environ, books.read_file)
    except SecretMissing:
        return False
    return True
