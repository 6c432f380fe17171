"""How a call of the store fails, and which of its errors means what.

StoreUnavailable   the store is away or its answer was lost; what was asked for may or may not have happened
  StoreFull        it has no memory left for new events
StoreDamaged       it holds something that is not ours, or of another version

Comes in: errors of redis-py. Goes out: ours, with the mend. Never puts a value of anybody into a text.
"""

import redis.exceptions
from redis.asyncio.sentinel import MasterNotFoundError


class StoreUnavailable(Exception):
    """The store is away or its answer was lost; what was asked for may or may not have happened."""


class StoreFull(StoreUnavailable):
    """The store has no memory left for new events; what waits can still be worked on."""


class StoreDamaged(Exception):
    """The store holds something that is not ours or of another version."""


def explained(exc: Exception) -> StoreUnavailable:
    """Return what an error of redis-py means for whoever called."""
    text = str(exc)
    if isinstance(exc, redis.exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return StoreFull("the store is full: raise its maxmemory, or let the workers catch up")
    if isinstance(exc, redis.exceptions.AuthenticationError):
        return StoreUnavailable("the store refuses our password: check REDIS_URL")
    if isinstance(exc, redis.exceptions.AskError | redis.exceptions.ClusterDownError):
        return StoreUnavailable("REDIS_URL names a node of a cluster: give Relais a single primary, or its Sentinels")
    if isinstance(exc, redis.exceptions.ResponseError):
        return StoreUnavailable(f"the store refused: {text[:200]}")
    if isinstance(exc, MasterNotFoundError):
        return StoreUnavailable("no Sentinel of REDIS_URL can name a primary that is up")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return StoreUnavailable("the store's certificate is not trusted: name its CA with ssl_ca_certs in REDIS_URL")
    return StoreUnavailable(f"the store did not answer: {exc.__class__.__name__}")
