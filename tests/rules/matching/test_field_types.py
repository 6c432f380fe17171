from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, HttpUrl, computed_field

from rules.matching import field_types
from rules.matching.field_types import FieldScope


class Status(Enum):
    open = "open"
    closed = "closed"


class TypedGuest(BaseModel):
    id: int
    name: str | None = None
    friends: "list[TypedGuest]" = []


class TypedOrder(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: int | str
    email: str | None
    total: Annotated[Decimal, "money"]
    paid: bool
    status: Status
    kind: Literal["gift", "sale"] | None = None
    at: AwareDatetime
    guests: list[TypedGuest] | None = None
    pair: tuple[int, ...] = ()
    titles: dict[str, str] = {}
    free: Any = None
    items: list[dict[str, Any]] | dict[str, Any] | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sum(self) -> float:
        return 0.0


class Other(BaseModel):
    phone: str


ORDER = FieldScope(
    (TypedOrder,), look_ups={"booker": TypedGuest, "anything": None}, extra_fields={"utm.source": "text"}
)


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("type", {"text"}),
        ("received_at", {"instant"}),
        ("data", {"object"}),
        ("data.id", {"number", "text"}),
        ("data.email", {"text", "null"}),
        ("data.total", {"number"}),
        ("data.paid", {"boolean"}),
        ("data.status", {"text"}),
        ("data.kind", {"text", "null"}),
        ("data.at", {"instant"}),
        ("data.guests", {"list", "null"}),
        ("data.guests[]", {"object"}),
        ("data.guests[].name", {"text", "null"}),
        ("data.guests[id=1].friends[].friends[].id", {"number"}),
        ("data.pair[]", {"number"}),
        ("data.titles.de", {"text"}),
        ("data.free.whatever[].x", {"any"}),
        ("data.items[].x", {"any"}),
        ("data.items.x", {"any"}),
        ("data.sum", {"number"}),
        ("data.utm.source", {"text", "null"}),
        ("raw.x[].y", {"any"}),
        ("booker.name", {"text", "null"}),
        ("anything.x", {"any"}),
    ],
)
def test_field_type(path: str, kinds: set[str]) -> None:
    """What a field holds is read from the model, however the model says it."""
    assert ORDER.check(path) is None
    assert set(ORDER.field_type(path).kinds) == kinds


def test_choices() -> None:
    """The only values of a field are known, of enums and of literals."""
    assert ORDER.field_type("data.status").choices == frozenset({"open", "closed"})
    assert ORDER.field_type("data.kind").choices == frozenset({"gift", "sale"})
    assert ORDER.field_type("data.email").choices is None


@pytest.mark.parametrize(
    ("path", "text", "mend"),
    [
        ("data.emial", "there is no field data.emial", 'did you mean "data.email"?'),
        ("data.guests[].nmae", "there is no field data.guests[].nmae", 'did you mean "data.guests[].name"?'),
        ("email", 'there is no "email" here', 'did you mean "data.email"?'),
        ("name", 'there is no "name" here', 'did you mean "booker.name"?'),
        ("boker.name", 'there is no "boker" here', 'did you mean "booker"?'),
        ("result.id", 'there is no "result" here', "there is anything, booker, data"),
        ("data.guests.name", "data.guests is a list", "write data.guests[].name for any element"),
        ("data.email[]", "data.email is text, not a list", "leave out []: data.email"),
        ("data.email[id=1]", "data.email is text, not a list", "leave out [id=1]: data.email"),
        ("data.email.x", "data.email is text, it has no fields", "write data.email"),
        ("data.guests[id=x]", 'data.guests[].id is a number, "x" is text', "write a number"),
        ("data.guests[name=5]", "data.guests[].name is text, 5 is a number", 'write "5" in quotes'),
        ("data.guests[nmae=x]", "there is no field data.guests[].nmae", 'did you mean "data.guests[].name"?'),
        ("data.utm.sorce", "there is no field data.utm.sorce", 'did you mean "data.utm.source"?'),
        ("data.xyzzy", "there is no field data.xyzzy", "or declare it under fields: of the source"),
        ("null", 'there is no "null" here', "write none"),
        ("data[0]", '"data[0]" counts elements: [0]', "any with []"),
    ],
)
def test_wrong(path: str, text: str, mend: str) -> None:
    """A field that does not exist is an error with the nearest one that does."""
    wrong = ORDER.check(path)
    assert wrong is not None
    assert text in wrong[0]
    assert mend in wrong[1]


def test_several_types() -> None:
    """Where a rule sees several types, a field of any of them will do."""
    both = FieldScope((TypedOrder, Other))
    assert both.check("data.phone") is None
    assert both.check("data.email") is None
    assert both.check("data.fax") is not None


def test_open_data() -> None:
    """A type without a model has open data."""
    assert FieldScope().check("data.anything[].goes") is None


def test_result() -> None:
    """`result` is there in `next:` only, with its model where it has one."""
    assert FieldScope().check("result.id") is not None
    assert FieldScope(result=TypedGuest).check("result.id") is None
    assert FieldScope(result=TypedGuest).check("result.number") is not None
    assert FieldScope(names=FieldScope().names | {"result"}).check("result.number") is None


@pytest.mark.parametrize("word", sorted(field_types.FIELD_WORDS))
def test_extra_fields(word: str) -> None:
    """A source may declare fields of each kind, also with the path from the root."""
    for name in ("extra", "data.extra"):
        declared = FieldScope((Other,), extra_fields={name: word})
        assert declared.check("data.extra") is None
        assert declared.field_type("data.extra").may_be(word)  # type: ignore[arg-type]


def test_other_types() -> None:
    """Types that are text in JSON are text; what is open to anything makes a union open."""

    class Model(BaseModel):
        at: datetime
        link: HttpUrl
        uid: UUID

    fields = field_types.fields_of(Model)
    assert fields["at"].kinds == {"instant"}
    assert fields["link"].kinds == fields["uid"].kinds == {"text"}
    assert field_types.merge_types([field_types.OPEN, fields["at"]]).is_open
