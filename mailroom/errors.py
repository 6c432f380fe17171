"""How a call of the store fails, and which of its errors means what.

StoreUnavailable   the store is away or its answer was lost; what was asked for may or may not have happened
  StoreRefused     it answers and refuses us: password, database, rights, or it is too old
  StoreFull        it has no memory left for new events
StoreDamaged       it holds something that is not ours, or of another version

Comes in: errors of redis-py. Goes out: ours, with the mend. Never puts a value of anybody into a text.
"""

import re

import redis.exceptions
from redis.asyncio.sentinel import MasterNotFoundError

from mailroom.sentences import say

#: The mend for a store without functions.
NEWER = "use Redis 7 or newer, or Valkey"


class StoreUnavailable(Exception):
    """The store is away or its answer was lost; what was asked for may or may not have happened."""


class StoreRefused(StoreUnavailable):
    """The store answers, and refuses whoever comes with this REDIS_URL, or this program."""

    def __init__(self, code: str, **args: str) -> None:
        #: What it says, and the mend.
        self.says, self.mend = say(code, **args), say(f"{code}.mend", **args)
        super().__init__(f"{self.says}: {self.mend}")


class StoreFull(StoreUnavailable):
    """The store has no memory left for new events; what waits can still be worked on."""


class StoreDamaged(Exception):
    """The store holds something that is not ours or of another version."""


def explained(exc: Exception) -> StoreUnavailable:
    """Return what an error of redis-py means for whoever called."""
    full = isinstance(exc, redis.exceptions.OutOfMemoryError)  # of a transaction its cause says nothing
    if isinstance(exc.__cause__, redis.exceptions.AuthenticationError | redis.exceptions.ResponseError):
        exc = exc.__cause__  # redis-py says of a refusal at the door no more than that there is no connection.
    text = str(exc)
    if full or isinstance(exc, redis.exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return StoreFull("the store is full: raise its maxmemory, or let the workers catch up")
    if refused := _refused(exc, text):
        return refused
    if isinstance(exc, redis.exceptions.AskError | redis.exceptions.ClusterDownError):
        return StoreUnavailable("REDIS_URL names a node of a cluster: give Relais a single primary, or its Sentinels")
    if isinstance(exc, redis.exceptions.ResponseError):
        return StoreUnavailable(f"the store refused: {text[:200]}")
    if isinstance(exc, MasterNotFoundError):
        return StoreUnavailable("no Sentinel of REDIS_URL can name a primary that is up")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return StoreUnavailable("the store's certificate is not trusted: name its CA with ssl_ca_certs in REDIS_URL")
    return StoreUnavailable(f"the store did not answer: {exc.__class__.__name__}")


#: What a store older than Redis 7 says to our functions.
OLDER = re.compile(r"unknown command\W+(FUNCTION|FCALL)", re.IGNORECASE)


def _refused(exc: Exception, text: str) -> StoreRefused | None:
    """Return why a store that answers refuses us, with the mend; None: it does not."""
    if isinstance(exc, redis.exceptions.AuthenticationError):
        if "WRONGPASS" in text or "invalid" in text:
            return StoreRefused("store_password_wrong")
        return StoreRefused("store_password_missing")
    if isinstance(exc, redis.exceptions.NoPermissionError):
        return StoreRefused("store_right_missing", said=text[:200])
    if "DB index is out of range" in text or "Invalid Database" in text:
        return StoreRefused("store_database")
    if OLDER.search(text):
        return StoreRefused("store_too_old", newer=NEWER)
    return None
