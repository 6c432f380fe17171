"""What all event types share: how a field may be spelled, how times, money, ids and choices are read.

Comes in: a vendor's values, as parsed JSON or form text. Goes out: one shape, the same whoever sends. Never guesses:
what does not fit is an error with the field's path and without the value.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from rules import addresses
from rules.addresses import AddressRefused

#: The last millisecond of the year 9999, in epoch time: RFC 3339 knows no later one.
LATEST = 253_402_300_799_999
#: Money has two decimals in every currency that the platforms know.
CENT = Decimal("0.01")


class EventData(BaseModel):
    """A record of our vocabulary. Fields that the vendor did not send stay unset; unknown ones are kept."""

    model_config = ConfigDict(
        defer_build=True,
        extra="allow",
        # Personal data: an error names the field, never the value.
        hide_input_in_errors=True,
        # `first_name` is found as `firstName` too; errors and dumps say `first_name`.
        alias_generator=AliasGenerator(validation_alias=to_camel),
        validate_by_name=True,
        validate_by_alias=True,
        loc_by_alias=False,
        # A postcode or a customer number may come as a number; it is text all the same.
        coerce_numbers_to_str=True,
    )

    #: Places of fields on which a sum hangs: one that does not fit is not left out alone, but all of its field here.
    read_whole: ClassVar[tuple[str, ...]] = ()
    #: Fields that may be absent; what comes has to fit all the same, and is never left out.
    never_left_out: ClassVar[frozenset[str]] = frozenset()

    def data(self) -> dict[str, Any]:
        """Return the plain JSON values that rules see: what was sent and what is derived from it, nothing else."""
        self.derive()
        given = self.model_fields_set
        data = {name: value for name, value in self.__dict__.items() if name in given}
        if self.model_extra:
            data |= self.model_extra
        if PLAIN.issuperset(map(type, data.values())):  # as most contacts are; it takes a third of the time
            return data
        found: dict[str, Any] = self.__pydantic_serializer__.to_python(self, mode="json", exclude_unset=True)
        return found

    def derive(self) -> None:
        """Set the fields that platforms leave out. Not done at reception, where nobody reads them."""


def rfc3339(instant: datetime) -> str:
    """Return an instant as we write it everywhere: UTC, milliseconds, Z. Without a zone it counts as UTC."""
    in_utc = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    return f"{in_utc.isoformat(timespec='milliseconds')[:-6]}Z"


#: ISO 8601 without signs between: as a number it would be a moment of 1970, or of the year 2600.
_COMPACT = re.compile(
    r"((?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
    r"(?:(?:[T ](?=\d{4})|(?=\d{6}\Z))(\d{4}|\d{6})(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
#: A zone as data bases and scripts write it: `+01`, ` +0100`, ` UTC`.
_LOOSE_ZONE = re.compile(r"(.*\d:\d\d(?:[.,]\d+)?) ?(?:(?:UTC|GMT)|([+-]\d\d)(?::?(\d\d))?)", re.ASCII)


def spell_out(instant: str) -> str:
    """Return a text of an instant as pydantic reads it, however ISO 8601 writes it; others as they are."""
    if found := _COMPACT.fullmatch(instant):
        day, clock, zone = found[1], found[2], found[3] or ""
        instant = f"{day[:4]}-{day[4:6]}-{day[6:]}"
        if clock:
            instant += "T" + ":".join(clock[at : at + 2] for at in range(0, len(clock), 2)) + zone
    if loose := _LOOSE_ZONE.fullmatch(instant):
        return f"{loose[1]}{loose[2]}:{loose[3] or '00'}" if loose[2] else f"{loose[1]}Z"
    return instant


def from_epoch(milliseconds: int) -> str:
    """Return a time in milliseconds since 1970 as we write instants. Raises ValueError."""
    if not 0 <= milliseconds <= LATEST:
        raise ValueError("is no time between 1970 and 9999")
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


def to_epoch(instant: str) -> int:
    """Return an RFC 3339 instant as ms since 1970. Raises ValueError."""
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


@lru_cache(maxsize=1)
def _second(since_1970: int) -> str:
    """Return a second as RFC 3339 has it: thousands of lines of the ledger are written in one."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_1970))


def cents(amount: Decimal) -> Decimal:
    """Return an amount rounded to two decimals, as merchants round."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def _number(amount: Decimal) -> float:
    return float(cents(amount))


#: Values that a field of a model has in `data` as they are.
PLAIN = frozenset({str, int, bool, type(None)})

#: What programs write for no date: .NET's year 1, MySQL's zeros, the first days of SQL Server and of spreadsheets.
NO_DATE = re.compile(
    r"(?:0000-00-00|0001-01-01|0?1[./-]0?1[./-]0001|1753-01-01)(?:[T ].*)?|(?:1899-12-30|1900-01-01)(?:[T ]00:00.*)?"
    r"|(?:/Date\()?-6213[56]\d{6}(?:\d{3})?(?:[+-]\d{4})?(?:\)/)?"
)
#: Nothing is dated before it, so that what stands for no date is none.
NEVER = datetime(1900, 1, 1, tzinfo=UTC)
#: Nor behind it: our texts of instants end there.
FOR_EVER = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def means_nothing(value: Any) -> bool:
    """Return whether a value of a field that is no text only says that there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return isinstance(value, str) and (not value.strip() or NO_DATE.fullmatch(value.strip()) is not None)


def _day(value: Any) -> Any:
    """Cut the time off: birthdays come as `1990-05-17` and as `1990-05-17T00:00:00`."""
    if means_nothing(value):
        return ""  # which is no day
    return value[:10] if isinstance(value, str) and len(value) > 10 and value[10] in "T " else value


def _nothing(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


class _Schema:
    """An annotation that reads a value by a schema of pydantic's core, which is many times faster than our own code."""

    def __init__(self, make: Callable[[CoreSchema], CoreSchema]) -> None:
        self._make = make

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self._make(handler(source))


_WORD = core_schema.str_schema(to_lower=True, strip_whitespace=True)
_DIGITS = core_schema.chain_schema([core_schema.str_schema(pattern=r"^[0-9]{1,19}$"), core_schema.int_schema(lt=2**63)])
#: Strict: true and false are no ids, though Python counts with them.
_NUMBER = core_schema.int_schema(strict=True, ge=0, lt=2**63)


def _numeric_id(_: CoreSchema) -> CoreSchema:
    return core_schema.custom_error_schema(
        core_schema.union_schema([_NUMBER, _DIGITS], mode="left_to_right"),
        custom_error_type="numeric_id",
        custom_error_message="must be a number, or the text of one",
    )


def _key(_: CoreSchema) -> CoreSchema:
    text = core_schema.str_schema(min_length=1, max_length=255, strict=True)
    return core_schema.custom_error_schema(
        core_schema.union_schema([_NUMBER, _DIGITS, text], mode="left_to_right"),
        custom_error_type="key",
        custom_error_message="must be a number or a text of at most 255 characters",
    )


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        return [value] if value.strip() else []
    return value


#: What people and programs write for yes and no, in the languages of the platforms.
YES = frozenset({"ja", "j", "yes", "y", "oui", "true", "wahr", "1", "on", "x"})
NO = frozenset({"nein", "n", "no", "non", "false", "falsch", "0", "off"})


def _yes_or_no(value: Any) -> Any:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in YES:
            return True
        if word in NO:
            return False
        if not word:
            return None
    return value


def _localized(value: Any) -> Any:
    """Turn `[{"language": "DE", "value": "Yoga"}]` into `{"de": "Yoga"}`; plain text has no language (`und`)."""
    if isinstance(value, str):
        return {"und": value}
    if isinstance(value, list):
        texts: dict[str, Any] = {}
        for entry in value:
            if not isinstance(entry, dict) or not isinstance(entry.get("language"), str):
                raise ValueError("needs a language in each entry")
            if entry.get("value") is not None:
                texts[entry["language"].lower()] = entry["value"]
        return texts
    return value


def _by_language(value: Any) -> Any:
    return _localized(value) if isinstance(value, list) else value


#: A moment. Read from epoch milliseconds (number or text) and from ISO 8601; without a zone it counts as UTC.
Instant = Annotated[datetime, Field(gt=NEVER, le=FOR_EVER), PlainSerializer(rfc3339, return_type=str, when_used="json")]
#: A calendar day.
Day = Annotated[date, BeforeValidator(_day)]
#: An amount of money, a JSON number with two decimals in `data`. What is larger is no price, and its cents could not be
#: counted exactly.
Money = Annotated[
    Decimal,
    Field(gt=-(10**15), lt=10**15),
    PlainSerializer(_number, return_type=float, when_used="json"),
]
#: A share or a count that may have decimals: a tax rate of 0.19, a quantity of 1.5.
Ratio = Annotated[
    Decimal,
    Field(gt=-(10**9), lt=10**9),
    PlainSerializer(float, return_type=float, when_used="json"),
]
#: A number that names something; platforms send it as number and, in deletions, as text.
NumericId = Annotated[int, _Schema(_numeric_id)]
#: An id of unknown make: digits become a number, all else stays text.
Key = Annotated[int | str, _Schema(_key)]
#: An address, as `rules.addresses` cleans it, case as it came. The empty text counts as null.
RequiredEmail = Annotated[str, AfterValidator(addresses.clean), BeforeValidator(_nothing)]
#: The same beside other names of somebody, in a model that is a MayHaveEmail: what is no address is left out there.
OptionalEmail = Annotated[str | None, BeforeValidator(_nothing)]
#: An open set of words, in lower case whatever the vendor shouts.
Word = Annotated[str, StringConstraints(to_lower=True, strip_whitespace=True)]
#: Yes or no in a person's words (`ja`, `nein`); the empty text counts as null.
YesNo = Annotated[bool | None, BeforeValidator(_yes_or_no)]
#: Texts by language, in lower case: `data.title.de`.
Localized = Annotated[dict[str, str], BeforeValidator(_localized)]
#: A text, or texts by language; some platforms send either.
Wording = Annotated[str | dict[str, str], BeforeValidator(_by_language)]
#: One text or several; always a list.
Texts = Annotated[list[str], BeforeValidator(_texts)]

#: For closed sets: `Annotated[Literal["open", "closed"], lower]`.
lower = _Schema(lambda choice: core_schema.chain_schema([_WORD, choice]))


class MayHaveEmail(EventData):
    """Somebody whom other things than the address name, too."""

    email: OptionalEmail = None
    #: Derived: what came and could not be read, each with the code of why: `{"email": "email_no_at"}`.
    left_out: dict[str, str] | None = None

    @model_validator(mode="after")
    def _read_email(self) -> Self:
        if self.email is None:
            self.check_without_email()
            return self
        try:
            cleaned = addresses.clean(self.email)
            if cleaned != self.email:
                self.email = cleaned
        except AddressRefused as exc:
            self.email = None
            self.model_fields_set.discard("email")
            self.left_out = {"email": exc.code}
            if self.is_nobody():
                # As pydantic's own errors: with the field, without the value.
                found = InitErrorDetails(type=PydanticCustomError("email", str(exc)), loc=("email",), input=None)
                raise ValidationError.from_exception_data(self.__class__.__name__, [found], hide_input=True) from None
        return self

    def is_nobody(self) -> bool:
        """Return whether nothing but an address could say whom it is about."""
        return False

    def check_without_email(self) -> None:
        """Raise ValueError where there must be an address."""


class Reference(EventData):
    """A pointer to something else on the platform."""

    id: Key
    name: str | None = None


class ExternalReference(EventData):
    """The id that another system has for the same thing."""

    id: Key | None = None
    system: Reference | None = None
    external_id: str | None = None
    url: str | None = None


class ObjectInfo(EventData):
    """When a record was made and changed."""

    created_at: Instant | None = None
    changed_at: Instant | None = None


class Note(EventData):
    """What people wrote down about a booking or an invoice."""

    #: general, event, meals, accommodation
    scope: Word | None = None
    text: str | None = None


class Task(Note):
    """A note of what is to be done."""

    due_date: Day | None = None
    assigned_to: dict[str, Any] | None = None


class LabelGroupReference(EventData):
    """The group that a label belongs to."""

    id: Key | None = None
    name: str | None = None


class Label(EventData):
    """A tag that people put on a seminar, a profile or a booking."""

    id: Key | None = None
    abbreviation: str | None = None
    name: str | None = None
    description: Wording | None = None
    picture_url: Wording | None = None
    label_group: LabelGroupReference | None = None


class Country(EventData):
    """A country in an address."""

    #: ISO 3166, two letters.
    code: str | None = None
    name: str | None = None
    localized_name: str | None = None


class PostalAddress(EventData):
    """Where somebody lives or wants the bill."""

    #: Set in billing addresses only; `name_or_company` in those of invoices.
    name: str | None = None
    name_or_company: str | None = None
    email: str | None = None
    care_of: str | None = None
    street_address: str | None = None
    street_address2: str | None = None
    zip_code: str | None = None
    city: str | None = None
    province: str | None = None
    country: Country | None = None
