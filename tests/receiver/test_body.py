import contextlib
import gzip
import json
import urllib.parse
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import body, errors, verification
from receiver.body import BodyRecord
from receiver.request import RawRequest
from tests.receiver import fixtures

EVA = b'{"email": "eva@example.org"}'
FORM = b"application/x-www-form-urlencoded"
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def pack(raw: bytes) -> bytes:
    return gzip.compress(raw, mtime=0)


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
        (b"[1, null]", "not_an_object"),
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
        (b'{"a": "\\ud800}', "bad_json"),
        (b'{"a\\ud800": "\n}', "bad_json"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "bad_json"),
        (b"\xff\xfe{}", "bad_json"),
        (b'{"a": "\xe4"}', "bad_encoding"),
        (b'{"a": \xed\xa0\x80}', "bad_json"),
    ],
)
def test_bad_json(raw: bytes, expected: str) -> None:
    """Each body that is no JSON object is refused with its code."""
    assert code(raw) == expected


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        (b"text/plain", b"Hello", "unsupported_type"),
        (b"application/xml", b"<a b='c'/>", "unsupported_type"),
        (b"text/html; charset=utf-8", b"<html>", "unsupported_type"),
        (b"\xff\xfe", b"x", "unsupported_type"),
        (b"application/json; charset=x-ours", b'{"a": "\xe4"}', "unsupported_charset"),
        (b"application/x-www-form-urlencoded; charset=utf-7", b"a=%FC", "unsupported_charset"),
        (b"application/x-www-form-urlencoded; charset=rot13", b"a=%FC", "unsupported_charset"),
        (b"application/json; charset=utf-8", b'{"a": "\xe4"}', "bad_encoding"),
        (b"multipart/form-data", b"--x\r\n", "bad_form"),
    ],
)
def test_unsupported_types(kind: bytes, raw: bytes, expected: str) -> None:
    """What this source cannot read is refused, in words that name what came."""
    with pytest.raises(errors.RequestRefused) as caught:
        records(raw, kind)
    assert caught.value.code == expected
    assert "boundary" in caught.value.hint or any(
        word in caught.value.hint for word in ("text/", "/xml", '"ÿþ"', "x-ours", "utf-7", "rot13", "utf-8")
    )


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
        (b"&".join(b"a%d=1" % n for n in range(1001)), "too_many_fields"),
    ],
)
def test_bad_forms(raw: bytes, expected: str) -> None:
    """Each form that cannot be read is refused with its code."""
    assert code(raw, b"application/x-www-form-urlencoded") == expected


def test_plus_of_a_form() -> None:
    """In a form a blank inside an address is a `+`; a source without a table knows the field by its name."""
    [record] = records(b"Email=eva+kurs@example.org&note=eva+kurs@example.org", b"application/x-www-form-urlencoded")
    assert record.fields == {"Email": "eva+kurs@example.org", "note": "eva kurs@example.org"}


def packed(raw: bytes, how: bytes, kind: bytes = b"application/json", most: int = 1_000_000) -> list[BodyRecord]:
    headers = ((b"content-type", kind), (b"content-encoding", how))
    return body.records(verification.trusted(RawRequest(raw, headers, most=most)))


@pytest.mark.parametrize(
    ("raw", "how"),
    [
        (pack(EVA), b"gzip"),
        (pack(EVA), b"x-gzip"),
        (pack(EVA), b"identity, GZIP"),
        (pack(EVA[:5]) + pack(EVA[5:]) + b"\0\0", b"gzip"),
        (zlib.compress(EVA), b"deflate"),
        (zlib.compress(EVA)[2:-4], b"deflate"),
        (pack(pack(EVA)), b"gzip, gzip"),
        (EVA, b"gzip"),
        (EVA, b"br"),
        (EVA, b"UTF-8"),
        (b"email=eva%40example.org", b"utf-8"),
    ],
)
def test_f26_packed(raw: bytes, how: bytes) -> None:
    """F26: gzip and deflate are unpacked, also members in a row, bare deflate, and what a proxy has unpacked."""
    assert packed(raw, how)[0].fields == {"email": "eva@example.org"}


@pytest.mark.parametrize(
    ("raw", "how", "status", "code"),
    [
        (pack(b" " * 50_000_000), b"gzip", 413, "too_large"),
        (zlib.compress(b" " * 50_000_000), b"deflate", 413, "too_large"),
        (pack(b" " * 600_000) * 2, b"gzip", 413, "too_large"),
        (pack(b"") * 200, b"gzip", 400, "bad_packing"),
        (pack(EVA)[:-3], b"gzip", 400, "bad_packing"),
        (pack(EVA) + b"x", b"gzip", 400, "bad_packing"),
        (b"no gzip", b"gzip", 400, "bad_packing"),
        (b"", b"gzip", 400, "empty_body"),
        (b"\x1b\0", b"br", 415, "unsupported_encoding"),
        (pack(EVA), b"gzip, gzip, gzip", 415, "unsupported_encoding"),
    ],
)
def test_f26_packed_wrongly(raw: bytes, how: bytes, status: int, code: str) -> None:
    """F26: what grows too large, is cut short or packed otherwise is refused with its code, and within bounds."""
    with pytest.raises(errors.RequestRefused) as caught:
        packed(raw, how)
    assert (caught.value.status, caught.value.code) == (status, code)


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
    expected = body.clean(objects) if found[0].unread else objects
    assert [each.fields for each in found] == expected
    assert [json.loads(each.body) for each in found] == expected


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


def fields(raw: bytes, kind: bytes = FORM) -> dict[str, Any]:
    [record] = records(raw, kind)
    assert json.loads(record.body) == record.fields
    return record.fields


@pytest.mark.parametrize(
    "charset",
    ["ISO-8859-1", "us-ascii", "latin1", "windows-1252", "iso-8859-15", "ANSI_X3.4-1968", "utf8", '"UTF-8"', "x-any"],
)
def test_f16_label_of_ascii(charset: str) -> None:
    """F16: what is UTF-8 is read, whatever charset its label names."""
    assert fields(EVA, b"application/json; charset=" + charset.encode()) == {"email": "eva@example.org"}
    assert fields('{"a": "Müller"}'.encode(), b"application/json; charset=" + charset.encode()) == {"a": "Müller"}


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("ISO-8859-1", "Müller – 5 €"),  # Windows-1252 under the name that it is mostly given
        ("latin1", "Müller"),
        ("windows-1252", "Müller – 5 €"),
        ("cp1252", "Müller"),
        ("iso-8859-15", "Müller 5 €"),
        ("iso-8859-2", "Żółć"),
        ("shift_jis", "日本"),
        ("utf-16", "Müller"),
        ("utf-16le", "Müller"),
    ],
)
def test_f18_charsets(charset: str, text: str) -> None:
    """F18: JSON and forms are decoded by the charset that their label names."""
    encoding = "cp1252" if charset in ("ISO-8859-1", "latin1") else charset
    label = b"; charset=" + charset.encode()
    assert fields(json.dumps({"a": text}, ensure_ascii=False).encode(encoding), b"application/json" + label) == {
        "a": text
    }
    if not charset.startswith("utf-16"):
        escaped = "a=" + urllib.parse.quote_plus(text, encoding=encoding)
        assert fields(escaped.encode(), FORM + label) == {"a": text}
        assert fields(b"a=" + text.encode(encoding), FORM + label) == {"a": text}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_json_in_other_widths(encoding: str) -> None:
    """JSON in UTF-16 and UTF-32 is known by its mark, or by the zeros around its first sign."""
    assert fields('{"a": "Müller 😀"}'.encode(encoding), b"application/json") == {"a": "Müller 😀"}


@pytest.mark.parametrize("kind", [FORM, b"text/plain", b"text/html", b"application/octet-stream", b"application/xml"])
def test_f19_json_under_another_label(kind: bytes) -> None:
    """F19: JSON is known by its first sign, whatever its label says; so is a form under the label of JSON."""
    assert fields(EVA, kind) == {"email": "eva@example.org"}
    assert fields(b"\xef\xbb\xbf\r\n" + EVA, kind) == {"email": "eva@example.org"}
    assert fields(b"email=eva%40example.org", b"application/json") == {"email": "eva@example.org"}


def test_f21_zones_of_times() -> None:
    """F21's kind: the zone of a time in a form or query keeps its `+`."""
    pairs = [("timestamp", "2026-11-20T10:00:00 0100"), ("a", "2026-11-20 10:00 01:00"), ("b", "2026-11-20 10:00")]
    assert [value for _, value in body.restore_plus(pairs)] == [
        "2026-11-20T10:00:00+0100",
        "2026-11-20 10:00+01:00",
        "2026-11-20 10:00",
    ]


def test_f21_plus_of_a_form() -> None:
    """F21: in a form the `+` of an address is put back, also inside brackets."""
    assert fields(b"email=eva+x@example.org") == {"email": "eva+x@example.org"}
    assert fields(b"contact[email]=eva+x@example.org") == {"contact": {"email": "eva+x@example.org"}}


def test_f23_form_of_one_json_field() -> None:
    """F23: a form of one field that is JSON is that JSON; text that only looks like it stays text."""
    assert fields(b"payload=%7B%22action%22%3A%22opened%22%7D") == {"action": "opened"}
    mandrill = records(b"mandrill_events=" + urllib.parse.quote('[{"event":"open"},{"event":"click"}]').encode(), FORM)
    assert [each.fields for each in mandrill] == [{"event": "open"}, {"event": "click"}]
    assert fields(b"note=[sic]") == {"note": "[sic]"}


def test_f23_nested_names() -> None:
    """F23: `data[email]` stands inside `data`; `tags[]` and `tags[0]` are lists; other names with brackets stay."""
    assert fields(b"data[email]=e&data[merges][FNAME]=Eva&t[]=1&t[]=2&u[1]=b&u[0]=a&[x]=1&n[a/b]=2&a[=3") == {
        "data": {"email": "e", "merges": {"FNAME": "Eva"}},
        "t": ["1", "2"],
        "u": {"1": "b", "0": "a"},
        "[x]": "1",
        "n[a/b]": "2",
        "a[": "3",
    }
    assert fields(b"a=1&a[b]=2") == {"a": "1", "a[b]": "2"}
    assert fields(b"a" + b"[b]" * 500 + b"=2") == {"a" + "[b]" * 500: "2"}


def test_f25_multipart() -> None:
    """F25: the fields of multipart/form-data are read; files are left out, and said so."""
    raw = (
        b'preamble\r\n--xY\r\nContent-Disposition: form-data; name="email"\r\n\r\neva+x@example.org\r\n'
        b"--xY\r\ncontent-disposition: form-data; name=tags[]\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"\r\na\r\nb\r\n"
        b'--xY\r\nContent-Disposition: form-data; name="cv"; filename="cv.pdf"\r\n\r\n%PDF\x00\xff\r\n--xY--\r\nend'
    )
    [record] = records(raw, b'Multipart/Form-Data; boundary="xY"')
    assert record.fields == {"email": "eva+x@example.org", "tags": ["a\r\nb"]}
    assert record.unread == ("(files)",)
    [record] = records(raw.replace(b"\r\n", b"\n"), b"multipart/form-data; boundary=xY")
    assert record.fields["email"] == "eva+x@example.org"
    latin = (
        b'--x\r\nContent-Disposition: form-data; name="n"\r\n'
        b"Content-Type: text/plain; charset=latin1\r\n\r\n\xfc\r\n--x--"
    )
    assert fields(latin, b"multipart/form-data; boundary=x") == {"n": "ü"}


@pytest.mark.parametrize(
    "raw",
    [
        b"email=eva%40example.org;first_name=Eva",
        b"email=eva%40example.org&first_name=Eva\r\n",
        b"\xef\xbb\xbfemail=eva%40example.org&&first_name=Eva\n",
        b"first_name=Ev&email=eva%40example.org&first_name=Eva",
    ],
)
def test_f41_separators(raw: bytes) -> None:
    """F41: `;` parts fields, too; a line end behind a form, a mark before it and empty fields are no part of it."""
    assert fields(raw) == {"email": "eva@example.org", "first_name": "Eva"}
    assert fields(b"note=a;b") == {"note": "a;b"}


@pytest.mark.parametrize(
    ("raw", "kind", "read"),
    [
        (rb'{"a": "E\u0000va"}', b"application/json", "Eva"),
        (rb'{"a": "E\bv\fa\u001b\u0085\u007F"}', b"application/json", "Eva"),
        (b'{"a": "E\x00v\x1ba\x7f"}', b"application/json", "Eva"),
        (b"a=E%00va%1B", FORM, "Eva"),
        (rb'{"a": "Eva \ud83d"}', b"application/json", "Eva \ufffd"),
        (rb'{"a": "\uDE00Eva"}', b"application/json", "\ufffdEva"),
        (rb'{"a": "Eva \ud83d\ud83d\ude00"}', b"application/json", "Eva \ufffd😀"),
        (b'{"a": "Eva \xed\xa0\xbd"}', b"application/json", "Eva \ufffd"),
        (b'{"a": "Eva \xf0\x9f\x98"}', b"application/json", "Eva \ufffd"),
        ('{"a": "Grüße \ud83d"}'.encode("utf-16-le", "surrogatepass"), b"application/json", "Grüße \ufffd"),
    ],
)
def test_f43_d14s_bad_characters(raw: bytes, kind: bytes, read: str) -> None:
    """F43, D14s: NUL and other controls are taken out, halves of characters become U+FFFD, and it is said so."""
    [record] = records(raw, kind)
    assert record.fields == json.loads(record.body) == {"a": read}
    assert record.unread == ("(characters)",)


def test_bad_characters_elsewhere() -> None:
    """They are mended in names, nested values and all elements of an array; what is text stays, and nothing is said."""
    found = records(rb'[{"a\u0000b": [{"c": "\ud800"}]}, {"d": "\t\n\r\ud83d\ude00 \\u0000"}]')
    assert [each.fields for each in found] == [{"ab": [{"c": "\ufffd"}]}, {"d": "\t\n\r😀 \\u0000"}]
    [whole] = records(rb'{"d": "\t\n\ud83d\ude00"}')
    assert whole == BodyRecord(rb'{"d": "\t\n\ud83d\ude00"}', {"d": "\t\n😀"})
    [raw] = records(b'{"a": "one\ntwo\tthree"}')  # no JSON, but sent: line ends and tabs are text
    assert raw.fields == json.loads(raw.body) == {"a": "one\ntwo\tthree"}


def test_f46_too_many_fields() -> None:
    """F46: a form of too many fields is refused for that."""
    with pytest.raises(errors.NotParseable, match="too_many_fields") as caught:
        records(b"&".join(b"a%d=1" % n for n in range(1001)), FORM)
    assert "1000 fields" in caught.value.hint


def test_f48_elements_that_are_no_objects() -> None:
    """F48: an element that is no object does not refuse the others; each says so."""
    found = records(b'[{"a": 1}, 5, null, [], {"b": 2}]')
    assert [(each.fields, bool(each.unfit)) for each in found] == [
        ({"a": 1}, False),
        ({}, True),
        ({}, True),
        ({}, True),
        ({"b": 2}, False),
    ]
    assert found[1].body == b"5"


def test_bad_json_says_where() -> None:
    """The hint says what the parser missed, and where."""
    with pytest.raises(errors.NotParseable) as caught:
        records(b'{"a" 1}')
    assert "delimiter at character 6" in caught.value.hint
    with pytest.raises(errors.NotParseable) as caught:
        records(b'{"a":' * 250 + b"1" + b"}" * 250)
    assert "200 deep" in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"a": NaN}', "NaN is no value of JSON (null is)"),
        (b'{"a": -Infinity}', "-Infinity is no value of JSON (null is)"),
        (b'{"a": 1}\n{"a": 2}', "send one object, or an array of them, at character 10"),
        (b'{"a": 1} x', "Extra data at character 10"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of thousands of digits"),
    ],
)
def test_bad_json_says_why(raw: bytes, said: str) -> None:
    """What Python's parser would take, or says in no words, has words of its own: nobody guesses what to mend."""
    with pytest.raises(errors.NotParseable) as caught:
        records(raw)
    assert caught.value.hint.endswith(said)


def test_files_only() -> None:
    """A form of files alone is refused as what it is: its sender put the body into a file."""
    raw = b'--x\r\nContent-Disposition: form-data; name="p"; filename="p.json"\r\n\r\n{"a": 1}\r\n--x--\r\n'
    with pytest.raises(errors.NotParseable, match="empty_body") as caught:
        records(raw, b"multipart/form-data; boundary=x")
    assert "files only" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "steps", "found"),
    [
        ('{"a": {"b" : 1.50 }, "c": 2}', ("a",), '{"b" : 1.50 }'),
        ('{"a": {"b" : 1.50 }}', ("a", "b"), "1.50"),
        ('{"a": [1, {"x": "ü"}]}', ("a", "1"), '{"x": "ü"}'),
        ('{"a": 1, "a": {"b": 2}}', ("a",), '{"b": 2}'),
        ('{"a": "{\\"b\\": 1}"}', ("a",), '{"b": 1}'),
        ('{"a": "{\\"b\\": 1}"}', ("a", "b"), "1"),
        ('{"a": "{broken"}', ("a",), '"{broken"'),
        ('{"a": []}', ("a", "0"), None),
        ('{"a": {}}', ("b",), None),
        ('{"a": 5}', ("a", "b"), None),
    ],
)
def test_cut(text: str, steps: tuple[str, ...], found: str | None) -> None:
    """A value inside JSON is cut out as it stands there, also out of JSON inside a text."""
    assert body.cut(text, steps) == found


PLAIN = st.text(st.characters(exclude_characters="{[", exclude_categories=("Cs", "Cc")), max_size=5)


@given(
    st.recursive(
        st.integers() | PLAIN,
        lambda inner: st.dictionaries(PLAIN, inner, max_size=3) | st.lists(inner, max_size=3),
    )
)
def test_cut_is_what_parsing_finds(value: Any) -> None:
    """What is cut out is what stands there, at every place of a value."""
    text = json.dumps({"top": value}, ensure_ascii=False)

    def walk(at: Any, steps: tuple[str, ...]) -> None:
        found = body.cut(text, steps)
        assert found is not None
        assert json.loads(found) == at
        inner = at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ()
        for name, each in inner:
            walk(each, (*steps, str(name)))

    walk(value, ("top",))
