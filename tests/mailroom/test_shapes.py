"""Which fields a source sends, and what has changed in them."""

from typing import Any

import pytest

from mailroom import Mailroom, shapes
from mailroom.shapes import DAY, MOST_NAMES, SourceShape, TypeSample

pytestmark = pytest.mark.anyio

#: A Monday.
START = 20_000 * DAY


def sample(n: int, *names: tuple[str, str]) -> dict[str, TypeSample]:
    """Return that n samples of an order had fields of these kinds, all of them."""
    return {"order.paid": TypeSample(n, dict.fromkeys(names, (n, 1, n)))}


def told(shape: SourceShape) -> list[tuple[str, str, str]]:
    return [(one.what, one.path or one.type, one.says) for one in shapes.find_changes(shape)]


ID, TEXT, NUMBER = ("id", "text"), ("total", "text"), ("total", "number")


async def watch(mailroom: Mailroom, *samples: Any) -> SourceShape:
    """Write samples, an hour after one another; return what is known then."""
    for hour, one in enumerate(samples):
        await shapes.write(mailroom, "shop", one, START + hour * 3_600_000)
    return await shapes.read(mailroom, "shop")


def test_merge() -> None:
    """Samples that could not be written are counted with those after them, in their order."""
    one = TypeSample(3, {ID: (2, 1, 2), TEXT: (3, 1, 3)})
    one.merge(TypeSample(2, {ID: (1, 2, 2), NUMBER: (1, 1, 1)}))
    assert one == TypeSample(5, {ID: (3, 1, 5), TEXT: (3, 1, 3), NUMBER: (1, 4, 4)})


async def test_learning(mailroom: Mailroom) -> None:
    """What comes in the first ten samples is usual; later it is new."""
    assert told(await watch(mailroom, sample(1, ID), sample(9, TEXT))) == []
    shape = await watch(mailroom, sample(1, ("vip", "text")))
    assert told(shape) == [("new field", "vip", "text")]
    (change,) = shapes.find_changes(shape)
    assert (change.first, change.last) == (START, START)


async def test_kinds(mailroom: Mailroom) -> None:
    """Another kind is told with those before it; null is no kind, neither before nor after."""
    empty = ("note", "null")
    shape = await watch(mailroom, sample(11, TEXT, empty), sample(2, NUMBER, TEXT, ("note", "text"), ("total", "null")))
    assert told(shape) == [("other kind", "total", "text, now number")]


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [
        (sample(10, ID, TEXT), 10, True),
        (sample(10, ID, TEXT), 9, False),
        (sample(9, ID, TEXT), 10, False),
        ({"order.paid": TypeSample(20, {ID: (20, 1, 20), TEXT: (18, 1, 20)})}, 10, True),
        ({"order.paid": TypeSample(20, {ID: (20, 1, 20), TEXT: (17, 1, 20)})}, 10, False),
    ],
)
async def test_gone(mailroom: Mailroom, before: Any, after: int, gone: bool) -> None:
    """A field is gone that was mostly there and is in none of the last ten samples; one that is null is so, too."""
    for name in ((), (("total", "null"),)):
        await mailroom.store.flushall()
        await mailroom.prepare()
        found = told(await watch(mailroom, before, sample(after, ID, *name)))
        assert [path for what, path, _ in found if what == "gone"] == (["total"] if gone else [])


async def test_outermost(mailroom: Mailroom) -> None:
    """Of an object that came or went its inner fields are not told."""
    old = [("ship", "object"), ("ship.city", "text"), ("tags", "list"), ("tags[]", "text"), ("shipping", "text")]
    new = [("bill", "object"), ("bill.city", "text"), ("lines", "list"), ("lines[]", "object"), ("lines[].sku", "text")]
    shape = await watch(mailroom, sample(20, ID, *old), sample(10, ID, *new))
    assert [(what, path) for what, path, _ in told(shape)] == [
        ("new field", "bill"),
        ("new field", "lines"),
        ("gone", "ship"),
        ("gone", "shipping"),
        ("gone", "tags"),
    ]


async def test_types(mailroom: Mailroom) -> None:
    """A type that first came after a day, or after what a person accepted, is new; its fields are not told."""
    await shapes.write(mailroom, "shop", {"a": TypeSample(1, {ID: (1, 1, 1)})}, START)
    await shapes.write(mailroom, "shop", {"b": TypeSample(1, {ID: (1, 1, 1)})}, START + DAY)
    await shapes.write(mailroom, "shop", {"c": TypeSample(50, {ID: (50, 1, 50)})}, START + DAY + 1)
    await shapes.write(mailroom, "shop", {"empty": TypeSample(1)}, START + DAY + 1)
    assert told(await shapes.read(mailroom, "shop")) == [("new type", "c", "50 samples")]
    assert await shapes.accept(mailroom, "shop", START + DAY + 2) == 1
    await shapes.write(mailroom, "shop", {"d": TypeSample(1, {ID: (1, 1, 1)})}, START + DAY + 3)
    assert told(await shapes.read(mailroom, "shop")) == [("new type", "d", "1 samples")]


async def test_accept(mailroom: Mailroom) -> None:
    """What a person accepts is usual: a field that was gone is forgotten, and new when it comes back."""
    assert await shapes.accept(mailroom, "shop", START) == 0
    assert await mailroom.store.keys("*shape*") == []
    await watch(mailroom, sample(20, ID, TEXT, ("ship", "object"), ("ship.city", "text")))
    await watch(mailroom, sample(12, ID, NUMBER, ("vip", "text")))
    assert await shapes.accept(mailroom, "shop", START + 1) == 3
    shape = await shapes.read(mailroom, "shop")
    assert told(shape) == []
    assert shape.types["order.paid"].fields.keys() == {"id", "total", "vip"}
    await shapes.write(mailroom, "shop", sample(1, ID, ("ship", "object")), START + 2)
    assert told(await shapes.read(mailroom, "shop")) == [("new field", "ship", "object")]


async def test_bounded(mailroom: Mailroom) -> None:
    """Names beyond the bound are counted and not kept, those that are known are counted on; all of it ends once."""
    await shapes.write(mailroom, "shop", sample(1, *((f"a{n}", "text") for n in range(MOST_NAMES - 1))), START)
    await shapes.write(mailroom, "shop", sample(1, *((f"b{n}", "text") for n in range(5)), ("a0", "text")), START)
    shape = await shapes.read(mailroom, "shop")
    fields = shape.types["order.paid"].fields
    assert (len(fields), shape.left_out, fields["a0"]["text"].n) == (MOST_NAMES, 4, 2)
    key = mailroom.key("shape:shop")
    assert 0 < await mailroom.store.ttl(key) <= 400 * DAY // 1000


async def test_odd_names(mailroom: Mailroom) -> None:
    """A name may hold what parts the words of a key."""
    shape = await watch(mailroom, sample(1, ("a|b.c|d", "text")))
    assert list(shape.types["order.paid"].fields) == ["a|b.c|d"]
