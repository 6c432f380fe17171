"""Times and rates as ops write them: `10m`, `30d`, `5/s`, `5000/day`.

Comes in: the text of the book. Goes out: milliseconds, and a rate as so many per so many milliseconds. Never guesses a
unit: a bare number other than 0 is refused.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
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

#: Longer than ten years is a slip of the finger, and milliseconds beyond it help nobody.
LONGEST = 3_660 * DAY
#: More a second than any of the vendors' APIs answers.
FASTEST = 100_000
#: Objects that a breaker keeps in mind: a destination that fails with more of them in a row is down for certain.
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
    """So many per time."""

    #: How many …
    n: int
    #: … in how many milliseconds.
    per: int

    def __str__(self) -> str:
        unit = next((name for name, milliseconds in PER.items() if milliseconds == self.per), f"{self.per}ms")
        return f"{self.n}/{unit}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic models have fields of this type, from text."""
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


#: A time of the book as a field of a model: milliseconds.
Duration = Annotated[
    int,
    BeforeValidator(duration),
    WithJsonSchema({"oneOf": [{"type": "string", "pattern": DURATION}, {"const": 0}], "examples": ["10m", "30d"]}),
]


def breaker(value: Any) -> int:
    """Return after how many failures in a row a destination is taken to be down; 0: never. Raises ValueError."""
    if value is False or value == "off":
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_FAILING:
        return value
    raise ValueError(f"must be a number from 1 to {MOST_FAILING}, or off")


#: After how many objects that fail in a row a destination is taken to be down; 0: never.
Breaker = Annotated[int, BeforeValidator(breaker)]
