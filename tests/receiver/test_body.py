import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import body, errors
from receiver.body import BodyRecord
from tests.receiver import fixtures

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def records(raw: bytes, kind: bytes = b"application/json") -> list[BodyRecord]:
    return body.records(fixtures.verified(raw, kind))


def code(raw: bytes, kind: bytes = b"application/json") -> str:
    with pytest.raises(errors.RequestRefused) as caught:
        records(raw, kind)
    assert 400 <= caught.value.status < 500
    return caught.value.code


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "empty_body"),
        (b"  \n", "empty_body"),
        (b"\xef\xbb\xbf", "empty_body"),
        (b"[]", "empty_body"),
        (b"null", "not_an_object"),
        (b"5", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"[1]", "not_an_object"),
        (b"[{}, 1]", "not_an_object"),
        (b"{", "bad_json"),
        (b"{}}", "bad_json"),
        (b"{} x", "bad_json"),
        (b"[{}", "bad_json"),
        (b"[{},]", "bad_json"),
        (b"[{} {}]", "bad_json"),
        (b"[{}}", "bad_json"),
        (b"{'a': 1}", "bad_json"),
        (b'{"a": NaN}', "bad_json"),
        (b'{"a": -Infinity}', "bad_json"),
        (b'{"a": "\n"}', "bad_json"),
        (b'{"a": "\\ud800"}', "bad_json"),
        (b'{"a": "\\uDC00"}', "bad_json"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "bad_json"),
        (b"\xff\xfe{}", "bad_encoding"),
        (b'{"a": "\xe4"}', "bad_encoding"),
        (b'{"a": "\xed\xa0\x80"}', "bad_encoding"),
    ],
)
def test_bad_json(raw: bytes, expected: str) -> None:
    """Each body that is no JSON object is refused with its code."""
    assert code(raw) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"text/plain", "unsupported_type"),
        (b"application/xml", "unsupported_type"),
        (b"multipart/form-data; boundary=x", "unsupported_type"),
        (b"application/json; charset=iso-8859-1", "unsupported_type"),
        (b"application/x-www-form-urlencoded; charset=utf-7", "unsupported_type"),
        (b"\xff\xfe", "unsupported_type"),
    ],
)
def test_unsupported_types(kind: bytes, expected: str) -> None:
    """What this source cannot read is refused with 415."""
    assert code(b'{"a": 1}', kind) == expected


@pytest.mark.parametrize(
    "kind",
    [b"", b"application/json", b"APPLICATION/JSON ; charset=UTF-8", b"text/json", b"application/vnd.api+json"],
)
def test_json_types(kind: bytes) -> None:
    """JSON has many names; without any it is known by its first sign."""
    assert records(b' {"a": 1}', kind)[0].fields == {"a": 1}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "empty_body"),
        (b"a=%FF", "bad_form"),
        (b"a=\xff", "bad_form"),
        (b"&".join(b"a%d=1" % n for n in range(1001)), "bad_form"),
    ],
)
def test_bad_forms(raw: bytes, expected: str) -> None:
    """Each form that cannot be read is refused with its code."""
    assert code(raw, b"application/x-www-form-urlencoded") == expected


def test_plus_of_a_form() -> None:
    """In a form a blank inside an address is a `+`; a source without a table knows the field by its name."""
    [record] = records(b"Email=eva+kurs@example.org&note=eva+kurs@example.org", b"application/x-www-form-urlencoded")
    assert record.fields == {"Email": "eva+kurs@example.org", "note": "eva kurs@example.org"}


def test_compressed() -> None:
    """Compressed bodies are refused: a few bytes could become gigabytes."""
    request = fixtures.verified(b"{}")
    packed = type(request)(type(request.raw)(b"{}", ((b"content-encoding", b"gzip"),)))
    with pytest.raises(errors.Unsupported, match="unsupported_encoding"):
        body.records(packed)


@given(st.binary(max_size=200), st.sampled_from([b"", b"application/json", b"application/x-www-form-urlencoded"]))
def test_any_bytes(raw: bytes, kind: bytes) -> None:
    """Any bytes are records that can be written out, or refused with one of our codes."""
    with contextlib.suppress(errors.NotParseable, errors.Unsupported):
        found = records(raw, kind)
        assert [json.loads(each.body) for each in found] == [each.fields for each in found]


@given(st.lists(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4), min_size=1, max_size=4), st.booleans())
def test_any_json(objects: list[dict[str, Any]], ascii: bool) -> None:
    """Each object of an array keeps its own bytes and its values."""
    found = records(json.dumps(objects, ensure_ascii=ascii, indent=1).encode("utf-8", "surrogatepass"))
    assert [each.fields for each in found] == objects
    assert [json.loads(each.body) for each in found] == objects


@given(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=6))
def test_any_members(fields: dict[str, Any]) -> None:
    """Walking over the members of an object finds what parsing it finds."""
    text = json.dumps(fields, indent=1)
    walk = body.members(text)
    found = {}
    try:
        name, at = next(walk)
        while True:
            found[name], end = body.value_at(text, at)
            name, at = walk.send(end)
    except StopIteration:
        pass
    assert found == fields
