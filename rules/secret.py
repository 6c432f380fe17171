"""A secret in a book: a reference such as `${CRM_TOKEN}`, or (with a warning) text in clear.

Comes in: the text of the book. Goes out: the secret itself, from the environment or a mounted file, when a process
needs it. Never shows a literal: neither in `repr`, nor in an error, nor in JSON.
"""

import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from rules.errors import SecretMissing

#: A reference stands alone or inside other text (`https://${HOST}/api`); a name is an environment variable's.
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

#: What other programs write for it: `$NAME`, `{{ NAME }}`, `%NAME%`, `!secret name`, and a name that can be none.
_MISSPELT = re.compile(r"\$\{|\{\{|\A(?:\$[A-Z_][A-Z0-9_]*|%[A-Z_][A-Z0-9_]*%|!secret .*|\$\(.*\)|env:.*)\Z")

#: A secret is a line of text; what is longer is no secret.
LONGEST = 65_536  # bytes

#: Returns the text of the mounted file of that name, or None where there is none. Raises SecretUnreadable.
ReadFile = Callable[[str], "str | None"]
#: Name, time of change and size of each file.
FileStamps = tuple[tuple[str, int, int, int], ...]


class SecretUnreadable(Exception):
    """A mounted file is there but holds no secret; the text says which file and why, never what is in it."""


def no_file(_name: str) -> str | None:
    """Return None: there are no mounted files."""
    return None


def resolve(text: str, environ: Mapping[str, str], read_file: ReadFile = no_file) -> str:
    """Return text (an address, a user name) with its references resolved. Raises SecretMissing."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if secret := environ.get(name):
            return secret
        why = ""
        for place in (name, environ.get(f"{name}_FILE")):
            try:
                if place and (secret := read_file(place)):
                    return secret
            except SecretUnreadable as exc:
                why = str(exc)
        raise SecretMissing(name, why)

    return REFERENCE.sub(value, text)


class SecretFiles:
    """Reads mounted secrets: one file each. A ReadFile, the same for the receiver, the workers and the console."""

    def __init__(self, folder: Path | None) -> None:
        """Read from a folder; None: only files that are given by their whole path."""
        self._folder = folder
        #: Files outside the folder that were asked for (`NAME_FILE`).
        self._elsewhere: set[Path] = set()

    def __call__(self, name: str) -> str | None:
        """Return the text of a file: of that name in the folder, or of that path. None without it or if it is empty.

        Line ends at its end are left away, since editors and `echo` add one; every other sign counts, blanks as well.
        """
        path = self._path(name)
        if path is None:
            return None
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise SecretUnreadable(f"{path} is no file")
            if status.st_size > LONGEST:
                raise SecretUnreadable(f"{path} is longer than {LONGEST} bytes")
            return path.read_bytes().decode().rstrip("\r\n")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise SecretUnreadable(f"{path} cannot be read ({exc.strerror or 'error'})") from exc
        except ValueError:
            # Neither chained nor quoted: the error of the decoder holds the secret.
            raise SecretUnreadable(f"{path} is not UTF-8") from None

    def stamp(self) -> FileStamps:
        """Return a mark that differs once a secret has changed: any in the folder, and those read from elsewhere."""
        return tuple(self._stamps())

    def _stamps(self) -> Iterator[tuple[str, int, int, int]]:
        inside = self._folder.glob("*") if self._folder else ()
        for path in sorted({*inside, *self._elsewhere}):
            try:
                status = path.stat()
            except OSError:  # gone since it was listed, or not there yet
                continue
            yield str(path), status.st_ino, status.st_ctime_ns, status.st_size

    def _path(self, name: str) -> Path | None:
        if self._folder is None and not Path(name).is_absolute():
            return None
        path = self._folder / name if self._folder else Path(name)
        if path.parent != self._folder:
            self._elsewhere.add(path)
        return path


class Secret:
    """Text in a book that nobody may see: references resolved late, literals hidden."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def names(self) -> tuple[str, ...]:
        """The environment variables (or files) it refers to."""
        return tuple(REFERENCE.findall(self._text))

    @property
    def literal(self) -> bool:
        """True where the secret itself stands in the book."""
        return not REFERENCE.search(self._text)

    @property
    def misspelt(self) -> bool:
        """True where something in it was meant as a reference and is none: `$NAME`, `${A-NAME}`."""
        return bool(_MISSPELT.search(REFERENCE.sub("", self._text)))

    def resolve(self, environ: Mapping[str, str], read_file: ReadFile = no_file) -> str:
        """Return the secret itself. Raises SecretMissing; an empty one counts as missing, since it matches anybody."""
        return resolve(self._text, environ, read_file)

    def __repr__(self) -> str:
        return f"Secret({self._shown!r})"

    def __str__(self) -> str:
        return self._shown

    @property
    def _shown(self) -> str:
        return "********" if self.literal else " ".join(f"${{{name}}}" for name in self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __bool__(self) -> bool:
        return bool(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic models have fields of this type, from text."""

        def make(value: Any) -> Secret:
            if isinstance(value, Secret):
                return value
            if isinstance(value, str) and value:
                return Secret(value)
            raise ValueError("must be text: a reference such as ${NAME}")

        return core_schema.no_info_plain_validator_function(
            make, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe it to editors as text."""
        return {"type": "string", "minLength": 1, "format": "secret", "examples": ["${NAME}"]}


def find_secrets(value: Any, loc: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Secret]]:
    """Yield where the secrets of a record stand, and the secrets."""
    if isinstance(value, Secret):
        yield loc, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from find_secrets(getattr(value, name), (*loc, field.alias or name))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from find_secrets(inner, (*loc, str(name)))
    elif isinstance(value, list | tuple):
        for at, inner in enumerate(value):
            yield from find_secrets(inner, (*loc, at))


def find_key(options: Any) -> list[Secret]:
    """Return the secrets by which a destination knows us: those under `auth` of its options, else all of them."""
    return [secret for _, secret in find_secrets(getattr(options, "auth", None) or options)]
