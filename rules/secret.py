"""A secret in a book: a reference such as `${CRM_TOKEN}`, or (with a warning) text in clear.

Comes in: the text of the book. Goes out: the secret itself, from the environment or a mounted file, when somebody who
may have it asks. Never shows a literal: neither in `repr`, nor in an error, nor in JSON.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from rules.errors import SecretMissing

#: A reference stands alone or inside other text (`https://${HOST}/api`); a name is an environment variable's.
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

#: Returns the text of the mounted file of that name, or None where there is none.
ReadFile = Callable[[str], "str | None"]


def no_file(_name: str) -> str | None:
    """Return None: there are no mounted files."""
    return None


def resolve(text: str, environ: Mapping[str, str], read_file: ReadFile = no_file) -> str:
    """Return text (an address, a user name) with its references resolved. Raises SecretMissing."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        secret = environ.get(name) or read_file(name)
        if not secret and environ.get(f"{name}_FILE"):
            secret = read_file(environ[f"{name}_FILE"])
        if not secret:
            raise SecretMissing(name)
        return secret

    return REFERENCE.sub(value, text)


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
