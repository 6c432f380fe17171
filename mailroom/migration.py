"""From a former version of the key schema to ours, while programs of both run.

Comes in: a mailroom. Goes out: who still speaks a former schema, or a store that speaks ours. Never decides when: the
sweep does. Whoever is left all the same (a process that was stopped all the while, a receiver of 0.1.0, which does not
beat) is refused by the store, and can do no harm.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import redis.exceptions

from mailroom import errors, liveness
from mailroom.client import MailroomClient
from mailroom.keys import FORMER_SCHEMAS, SCHEMA

log = logging.getLogger("relais.mailroom")

#: A function that libraries of this schema have and those of former ones have not: its name says which they speak.
MARK = re.compile(r"^relais_[0-9a-f]{12}_schema_3$")
LIBRARY = re.compile(r"^relais_[0-9a-f]{12}$")

#: What a library of a former schema becomes: each of its functions says no.
FENCE = """#!lua name={name}
local function refuse()
  return redis.error_reply('SCHEMA the store was migrated to schema {schema}: run the version of Relais that did so')
end
"""

#: From a former schema to ours, once.
SET_SCHEMA = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return 1 end return 0"


async def migrate(mailroom: MailroomClient) -> bool:
    """Let the store speak our schema; False: it does already. Raises StoreUnavailable.

    Libraries of former schemas are fenced off first: from then on no program of those changes anything.
    """
    former = await schema(mailroom)
    if former not in FORMER_SCHEMAS:
        return False
    store: Any = mailroom.store
    try:
        for library in await store.execute_command("FUNCTION", "LIST", "LIBRARYNAME", "relais_*"):
            told = _as_mapping(library)
            name = told["library_name"]
            functions = [_as_mapping(each)["name"] for each in told["functions"]]
            if LIBRARY.match(name) and not any(MARK.match(each) for each in functions):
                await store.execute_command("FUNCTION", "LOAD", "REPLACE", _fence(name, functions))
        migrated = bool(await store.eval(SET_SCHEMA, 1, mailroom.key("schema"), former, SCHEMA))
    except redis.exceptions.RedisError as exc:
        raise errors.explained(exc) from exc
    if migrated:
        log.warning("store.migrated schema=%s: older versions of Relais can no longer work on it", SCHEMA)
    return migrated


async def speaks(mailroom: MailroomClient) -> dict[str, str]:
    """Return process -> what it said of itself when it began: its schema, then its place (see `place`)."""
    found = await mailroom.read(cast(Any, mailroom.store.hgetall(mailroom.key("speaks"))))
    return {name.decode(): said.decode() for name, said in found.items()}


async def holders(mailroom: MailroomClient) -> dict[str, str]:
    """Return who keeps the store from our schema: process -> what it said of itself, empty where it said nothing.

    Nobody, where the store speaks our schema. Raises StoreUnavailable.
    """
    if await schema(mailroom) not in FORMER_SCHEMAS:
        return {}
    said = await speaks(mailroom)
    found = [await mailroom.read(cast(Any, mailroom.store.hkeys(mailroom.key(key)))) for key in ("beats", "parents")]
    names = [name.decode() for names in found for name in names]
    return {name: said.get(name, "") for name in speakers_of_former(names, said) if not is_gone(said.get(name, ""))}


def speakers_of_former(names: Iterable[str], said: Mapping[str, str]) -> list[str]:
    """Return those of these processes that do not say that they speak our schema."""
    return [name for name in names if said.get(name, "").partition(" ")[0] != SCHEMA]


def is_gone(said: str) -> bool:
    """Say of what a process said of itself whether it is certainly no more."""
    return liveness.is_gone(said.partition(" ")[2])


async def schema(mailroom: MailroomClient) -> str:
    """Return the schema that the store speaks now. Raises StoreUnavailable."""
    found = await mailroom.read(mailroom.store.get(mailroom.key("schema")))
    return "" if found is None else str(found.decode())


def _fence(name: str, functions: list[str]) -> str:
    registered = "".join(
        f"redis.register_function {{ function_name = '{each}', callback = refuse, flags = {{ 'allow-oom' }} }}\n"
        for each in functions
    )
    return FENCE.format(name=name, schema=SCHEMA) + registered


def _as_mapping(answer: Any) -> dict[str, Any]:
    """Return a map of the store's answer, which is a list of names and values under RESP2."""
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
