"""Parses durations and rates: `10m`, `30d`, `5/s`, `5000/day`.

Comes in: text of a book. Goes out: milliseconds, or a Rate. Never guesses a unit: a bare number other than 0 is
refused.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

UNITS = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
PER = {
    "s": SECOND,
    "second": SECOND,
    "m": MINUTE,
    "min": MINUTE,
    "minute": MINUTE,
    "h": HOUR,
    "hour": HOUR,
    "d": DAY,
    "day": DAY,
}

#: Ten years; longer durations are taken for typing errors.
LONGEST = 3_660 * DAY
#: Requests a second; more than any vendor's API allows.
FASTEST = 100_000
#: How many times the usual turn a source may get (`share:`).
MOST_SHARE = 10
#: The largest threshold of a breaker. The store keeps a list of so many boxes.
MOST_FAILING = 100

DURATION = r"^(0|[1-9][0-9]{0,8}(ms|s|m|h|d|w))$"
RATE = r"^[1-9][0-9]{0,8}/(s|second|m|min|minute|h|hour|d|day)$"


def duration(value: Any) -> int:
    """Return the milliseconds of `10m`. Raises ValueError with the mend."""
    if value == 0 and not isinstance(value, bool):
        return 0
    if isinstance(value, str):
        found = re.match(DURATION, value)
        if found:
            if value == "0":
                return 0
            milliseconds = int(value.removesuffix(found[2])) * UNITS[found[2]]
            if milliseconds <= LONGEST:
                return milliseconds
            raise ValueError("is longer than ten years")
    raise ValueError("must be a time such as 30s, 10m, 2h or 30d")


@dataclass(frozen=True)
class Rate:
    """A number of requests per time."""

    #: Number of requests.
    n: int
    #: In this many milliseconds.
    per: int

    def __str__(self) -> str:
        unit = next((name for name, milliseconds in PER.items() if milliseconds == self.per), f"{self.per}ms")
        return f"{self.n}/{unit}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic parse fields of this type from text."""
        return core_schema.no_info_plain_validator_function(
            rate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe it to editors."""
        return {"type": "string", "pattern": RATE, "examples": ["5/s", "5000/day"]}


def rate(value: Any) -> Rate:
    """Return the rate of `5/s`. Raises ValueError with the mend."""
    if isinstance(value, Rate):
        return value
    if isinstance(value, str) and re.match(RATE, value):
        number, per = value.split("/")
        if int(number) * SECOND <= FASTEST * PER[per]:
            return Rate(int(number), PER[per])
        raise ValueError(f"is more than {FASTEST} a second")
    raise ValueError("must be a rate such as 5/s, 60/min or 5000/day")


#: A duration as a field of a model: milliseconds.
Duration = Annotated[
    int,
    BeforeValidator(duration),
    WithJsonSchema({"oneOf": [{"type": "string", "pattern": DURATION}, {"const": 0}], "examples": ["10m", "30d"]}),
]


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """Return the names of all time zones."""
    return frozenset(available_timezones())


def zone(value: str) -> str:
    """Return the name of a time zone. Raises ValueError with the mend."""
    if value not in zones():
        raise ValueError("is no time zone; write one such as Europe/Paris")
    return value


#: The name of a time zone as a field of a model.
Zone = Annotated[str, AfterValidator(zone)]


def quiet(value: Any) -> int | None:
    """Return the ms of silence after which a source is quiet: 0 for off, None for auto. Raises ValueError."""
    if value == "auto":
        return None
    if value is False or value == "off":
        return 0
    if isinstance(value, str) and re.match(DURATION, value) and (span := duration(value)) >= MINUTE:
        return span
    raise ValueError("must be a time of a minute or more such as 2h, or auto, or off")


#: After which silence a source is quiet, as a field of a model (see `quiet`).
QuietAfter = Annotated[int | None, BeforeValidator(quiet)]


def breaker(value: Any) -> int:
    """Return the threshold of a breaker: objects that fail in a row; 0: no breaker. Raises ValueError."""
    if value is False or value == "off":
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_FAILING:
        return value
    raise ValueError(f"must be a number from 1 to {MOST_FAILING}, or off")


#: The threshold of a breaker as a field of a model (see `breaker`).
Breaker = Annotated[int, BeforeValidator(breaker)]
