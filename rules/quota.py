"""How many requests a vendor allows one key in a day or month, and where that day begins.

Comes in: `5000/day`, or the same with a zone and a reserve. Goes out: a frozen record, and the page of time (that day,
that month) which a moment belongs to. Never counts: the mailroom does, for all processes (`Mailroom.spend`).
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rules.source.units import Zone

#: How many requests a page.
PAGE = r"^[1-9][0-9]{0,8}/(day|month)$"


def _of_a_page(value: str) -> str:
    if not re.match(PAGE, value):
        raise ValueError("must be requests a day or month, such as 5000/day or 100000/month")
    return value


class Quota(BaseModel):
    """What a key may be used for, as a book says it: `5000/day`, or limit, zone and reserve."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: Requests a day or month.
    limit: Annotated[str, AfterValidator(_of_a_page)]
    #: Where the vendor's day begins at midnight.
    zone: Zone = "UTC"
    #: Requests that only urgent actions may use; at a source, people.
    reserve: int = Field(0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        return {"limit": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.reserve >= self.number:
            raise ValueError("the reserve leaves nothing")
        return self

    @property
    def number(self) -> int:
        """Requests in one page."""
        return int(self.limit.partition("/")[0])

    @property
    def per(self) -> Literal["day", "month"]:
        """What a page is."""
        return "day" if self.limit.endswith("/day") else "month"

    def page(self, now: int) -> tuple[int, int]:
        """Return when the page of a moment begins and ends, ms since 1970: midnight there, whatever the clocks do."""
        zone = ZoneInfo(self.zone)
        today = datetime.fromtimestamp(now / 1000, zone).date()
        first = today if self.per == "day" else today.replace(day=1)
        after = first + timedelta(days=1 if self.per == "day" else 32)
        after = after if self.per == "day" else after.replace(day=1)
        bounds = [datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in (first, after)]
        begin, end = (int(bound.timestamp() * 1000) for bound in bounds)
        return begin, end

    def pages(self, now: int) -> tuple[int, int, int]:
        """Return when the page of a moment begins and ends, and when the next one ends, ms since 1970."""
        begins, ends = self.page(now)
        return begins, ends, self.page(ends)[1]
