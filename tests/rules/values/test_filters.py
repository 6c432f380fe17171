import inspect
import time
from typing import Any

import pytest

from rules.values import filters
from rules.values.filters import FILTERS, FilterFailed


def filtered(name: str, value: Any, *arguments: Any) -> Any:
    return FILTERS[name](value, *arguments)


@pytest.mark.parametrize(
    ("name", "value", "arguments", "expected"),
    [
        ("email", "Eva@Example.ORG\n", (), "eva@example.org"),
        ("email", "o'neil+x@sub.example.org", (), "o'neil+x@sub.example.org"),
        ("phone", "+49 (0)30 123456", (), "+4930123456"),
        ("phone", "0049 30 123456", ("DE",), "+4930123456"),
        ("phone", "030/123456", ("49",), "+4930123456"),
        ("phone", "030/123456", ("+43",), "+4330123456"),
        ("phone", "031/1234567", (41,), "+41311234567"),
        ("phone", "+1 (212) 555-0100", (), "+12125550100"),
        ("phone", "0151\u00a01234‑567", ("DE",), "+491511234567"),
        ("phone", "٠٣٠١٢٣٤٥٦", ("DE",), "+4930123456"),
        ("phone", "030 123456 ext. 12", ("DE",), "+4930123456;ext=12"),
        ("first_name", "Eva Muster", (), "Eva"),
        ("last_name", "Eva Muster", (), "Muster"),
        ("first_name", "Muster, Eva Maria", (), "Eva Maria"),
        ("last_name", "von der Muster, Eva", (), "von der Muster"),
        ("last_name", "Eva van den Berg", (), "van den Berg"),
        ("first_name", "Frau Prof. Dr. Eva Muster", (), "Eva"),
        ("last_name", "Dr. Muster", (), "Muster"),
        ("first_name", "Dr. Muster", (), None),
        ("first_name", "Muster", (), None),
        ("last_name", "Muster", (), "Muster"),
        ("last_name", "Dr.", (), "Dr."),
        ("last_name", "  ", (), None),
        ("first_name", ", ", (), None),
        ("from_epoch_ms", 1602144000123, (), "2020-10-08T08:00:00.123Z"),
        ("from_epoch_ms", "1602144000123", (), "2020-10-08T08:00:00.123Z"),
        ("from_epoch_ms", -1, (), "1969-12-31T23:59:59.999Z"),
        ("from_epoch", 0, (), "1970-01-01T00:00:00.000Z"),
        ("instant", "2026-11-21T10:30:00+01:00", (), "2026-11-21T09:30:00.000Z"),
        ("instant", "2026-07-21T10:30", ("Europe/Berlin",), "2026-07-21T08:30:00.000Z"),
        ("instant", "2026-11-21", ("Europe/Berlin",), "2026-11-20T23:00:00.000Z"),
        ("date", "2026-11-21T23:30:00.000Z", (), "2026-11-21"),
        ("date", "2026-07-21T22:30:00.000Z", ("%d.%m.%y %H:%M", "Europe/Berlin"), "22.07.26 00:30"),
        ("date", "2026-11-21", ("%d.%m.%Y", "America/New_York"), "21.11.2026"),
        ("date", "2026-11-21T10:30:00", ("%H:%M %%",), "10:30 %"),
        ("money", 0, (), "0.00"),
        ("money", "12.5", ("EUR",), "12.50 EUR"),
        ("money", 0.005, (), "0.01"),
        ("money", 2.675, (), "2.68"),  # as written, not as the machine stores it
        ("money", -1234567.891, ("", "de"), "-1.234.567,89"),
        ("money", 1234.5, ("CHF", "ch"), "1’234.50 CHF"),
        ("money", 1234.5, ("", "en"), "1,234.50"),
        ("cents", 19.99, (), 1999),
        ("cents", "19.99", (), 1999),
        ("int", " 12 ", (), 12),
        ("int", 12.9, (), 12),
        ("int", "-7", (), -7),
        ("float", "12", (), 12.0),
        ("round", 2.5, (), 3),
        ("round", -2.5, (), -3),
        ("round", 1.005, (2,), 1.01),
        ("sum", [0.1, 0.2], (), 0.3),
        ("sum", [1, 2], (), 3),
        ("sum", [{"a": {"b": 1.5}}, {}], ("a.b",), 1.5),
        ("sum", [], (), 0),
        ("localized", {"de": "Tanz", "en": "Dance"}, ("EN",), "Dance"),
        ("localized", {"de": "Tanz", "en": ""}, ("en", "fr"), "Tanz"),
        ("localized", {"und": "Tanz"}, ("de",), "Tanz"),
        ("localized", [{"language": "DE", "value": "Tanz"}, {"language": "EN"}], ("en", "de"), "Tanz"),
        ("localized", "Tanz", ("de",), "Tanz"),
        ("localized", {}, ("de",), None),
        ("localized", [], ("de",), None),
        ("external_reference", [{"system": {"id": 3}, "external_id": "C"}], (3,), "C"),
        ("external_reference", [{"system": {"id": "3"}, "externalId": "C"}], (3,), "C"),
        ("external_reference", [{"system": {"id": 3, "name": "CRM"}, "external_id": "C"}], ("CRM",), "C"),
        ("external_reference", [{"system": {"id": 4}, "external_id": "C"}, None, 5, {}], (3,), None),
        ("external_reference", [{"system": {"id": True}, "external_id": "C"}], (1,), None),
        ("external_reference", [], (3,), None),
        ("element", [{"id": 1}, {"id": 12, "v": "x"}], ("id", 12), {"id": 12, "v": "x"}),
        ("element", [{"id": "12"}], ("id", 12), None),
        ("map", [{"a": 1}, {}, {"a": None}, 5, {"a": 2}], ("a",), [1, 2]),
        ("join", ["a", None, 1, True], (", ",), "a, 1, true"),
        ("join", [], (", ",), ""),
        ("split", " a , b ,, c", (",",), ["a", "b", "c"]),
        ("first", [], (), None),
        ("last", [1, 2], (), 2),
        ("unique", [1, "1", True, 1, "1"], (), [1, "1", True]),
        ("length", {"a": 1}, (), 1),
        ("capitalize", "eVA", (), "EVA"),
        ("plain_text", "a<br/>b &lt;c&gt; <p class='x'>d</p> 3 < 4", (), "a b <c> d 3 < 4"),
        ("yes_no", False, (), "no"),
        ("translate", "Frau", ({"Frau": "f"},), "f"),
        ("translate", "Divers", ({"Frau": "f"},), None),
        ("translate", True, ({"true": "ja"},), "ja"),
        ("json", {"ä": [1.5, None, True]}, (), '{"ä": [1.5, null, true]}'),
        ("urlencode", "eva+x@example.org/ä", (), "eva%2Bx%40example.org%2F%C3%A4"),
        ("string", 5.0, (), "5"),
        ("string", 5.5, (), "5.5"),
        ("string", 1e-7, (), "0.0000001"),
        ("string", 1e17, (), "100000000000000000"),
        ("string", True, (), "true"),
        ("join", [1.0, False], (" ",), "1 false"),
        ("truncate", "yoga", (2,), "yo"),
    ],
)  # fmt: skip
def test_filter(name: str, value: Any, arguments: tuple[Any, ...], expected: Any) -> None:
    """Each filter does what ops expect of it, and keeps to its type."""
    made = filtered(name, value, *arguments)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("email", "eva", ()),
        ("email", "@example.org", ()),
        ("email", "eva@", ()),
        ("email", "eva@a@example.org", ()),
        ("email", "eva muster@example.org", ()),
        ("email", "e" * 250 + "@example.org", ()),
        ("email", 5, ()),
        ("phone", "123456", ()),  # of which country?
        ("phone", "030 123456", ()),
        ("phone", "110", ("DE",)),
        ("phone", "123456", ("US",)),  # in which town?
        ("phone", "call me", ("DE",)),
        ("phone", "+49 30 CALL-ME", ()),
        ("phone", "+49 30 123456 (privat)", ()),
        ("phone", "+" + "1" * 16, ()),
        ("phone", "+0301234567", ()),
        ("phone", 30123456, ("DE",)),
        ("phone", "030123456", ("Germany",)),
        ("from_epoch_ms", "yesterday", ()),
        ("from_epoch_ms", 10**17, ()),
        ("from_epoch_ms", True, ()),
        ("from_epoch_ms", float("nan"), ()),
        ("from_epoch", 10**15, ()),
        ("instant", "21.11.2026", ()),
        ("instant", "0001-01-01T00:00:00+14:00", ()),
        ("instant", "2026-11-21", ("Mars",)),
        ("date", "x", ()),
        ("date", "2026-99-99", ()),
        ("date", "2026-11-21", ("%c",)),
        ("date", "2026-11-21", (5,)),
        ("date", "9999-12-31T23:59:59Z", ("%Y", "Europe/Berlin")),
        ("money", "1.234,50", ()),
        ("money", float("inf"), ()),
        ("money", True, ()),
        ("money", 1, ("EURO",)),
        ("money", 1, ("EUR", "xx")),
        ("int", "12.5", ()),
        ("int", "9" * 5_000, ()),
        ("int", "١٢", ()),
        ("int", None, ()),
        ("float", "nan", ()),
        ("float", "1e5", ()),
        ("round", 1, (99,)),
        ("abs", "5", ()),
        ("sum", ["a"], ()),
        ("sum", 5, ()),
        ("localized", 5, ("de",)),
        ("localized", ["Tanz"], ("de",)),
        ("external_reference", {"system": 3}, (3,)),
        ("element", {}, ("id", 1)),
        ("element", [], (1, 1)),
        ("map", [{}], (5,)),
        ("join", "abc", (",",)),
        ("join", [{}], (",",)),
        ("join", ["a"], (5,)),
        ("split", "a b", ("",)),
        ("first", "abc", ()),
        ("unique", [[1]], ()),
        ("length", 5, ()),
        ("lower", 5, ()),
        ("replace", "abc", ("", "x")),
        ("replace", "a" * 60_000, ("a", "aa")),
        ("truncate", "abc", (0,)),
        ("truncate", "abc", ("2",)),
        ("yes_no", "true", ()),
        ("translate", "x", ("y",)),
        ("json", float("nan"), ()),
        ("string", [], ()),
    ],
)
def test_refused(name: str, value: Any, arguments: tuple[Any, ...]) -> None:
    """What a filter cannot work with it refuses, without the value in the reason."""
    with pytest.raises(FilterFailed) as caught:
        filtered(name, value, *arguments)
    assert not (isinstance(value, str) and len(value) > 4 and value in str(caught.value))


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_described(name: str) -> None:
    """Each filter has a sentence and can say how it is written, in words that a template may hold."""
    assert (FILTERS[name].__doc__ or "").startswith("Return ")
    assert filters.usage(name).startswith(name)
    assert "None" not in filters.usage(name)


@pytest.mark.parametrize("name", sorted(filters.CHECKS))
def test_checks(name: str) -> None:
    """What looks at the arguments of a filter takes the same arguments as the filter."""
    expected = list(filters.signature(name).parameters)
    assert list(inspect.signature(filters.CHECKS[name]).parameters) == expected


def test_long_input() -> None:
    """No filter takes long for a text of a megabyte that is made to hurt."""
    started = time.process_time()
    for name in (
        "plain_text",
        "email",
        "first_name",
        "last_name",
        "lower",
        "trim",
        "urlencode",
        "int",
        "money",
        "date",
    ):
        for text in (
            "<" * 1_000_000,
            "<a" * 500_000,
            " " * 1_000_000,
            "@" * 1_000_000,
            "9" * 1_000_000,
            "von " * 250_000,
        ):
            try:
                filtered(name, text)
            except FilterFailed:
                continue
    assert time.process_time() - started < 10
