import re
import sys
import unicodedata
from collections.abc import Callable

import idna
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from idna import uts46data

from rules import addresses
from rules.addresses import AddressRefused

EVA = "eva@example.org"
KELVIN, LONG_S, DOTLESS, DOTTED = "\u212a", "\u017f", "\u0131", "\u0130"


@pytest.mark.parametrize(
    ("spellings", "expected"),
    [
        (
            [
                EVA,
                "Eva@Example.ORG",
                " eva@example.org\t\r\n",
                "\u00a0eva@example.org\u3000",
                "eva@example.org.",
                "eva@example。org",
                "eva@ｅｘａｍｐｌｅ．ｏｒｇ",
                "eva@ex\u00adample.org",
                "\ufeffeva@example.org",
                "e\u200bva@exa\u200dmple.org\u200c",
                "\u202aeva@example.org\u202c",
                "\u2066eva\u2060@example.org\u2069",
                "eva\ufe0f@example.org",
                "eva\U000e0061@example.org",
                "\u200b \u200beva@example.org",
                "<eva@example.org>",
                "< eva@example.org >",
                "Eva Muster <eva@example.org>",
                "Eva Muster<EVA@example.org>",
                '"Muster, Eva" <eva@example.org>',
                "Praxis @ Markt <eva@example.org>",
                '"Eva@example.org" <eva@example.org>',
                "'eva@example.org' <eva@example.org>",
                "eva@example.org <eva@example.org>",
                "mailto:eva@example.org",
                "MailTo:eva@example.org?subject=a@b&cc=bob@example.org",
                "mailto:eva%40example.org",
                "mailto:%20e%76a@example.org%E2%80%8B",
                "<mailto:eva@example.org>",
                "Eva <mailto:eva@example.org?subject=x>",
            ],
            EVA,
        ),
        (
            ["jürgen@example.org", "Ju\u0308rgen@example.org", "JÜRGEN@Example.org", "mailto:J%C3%BCrgen@example.org"],
            "jürgen@example.org",
        ),
        (
            [
                "eva@bücher.example",
                "eva@BÜCHER.example",
                "eva@bu\u0308cher.example",
                "eva@xn--bcher-kva.example",
                "eva@XN--BCHER-KVA.Example.",
                "Eva <eva@bücher。example>",
            ],
            "eva@xn--bcher-kva.example",
        ),
        (["eva@straße.example", "eva@STRASSE.example".replace("SS", "ẞ")], "eva@xn--strae-oqa.example"),
        ([f"{KELVIN}arl@example.org", "Karl@example.org", f"karl@example.org.{KELVIN}"[:16]], "karl@example.org"),
        ([f"eva@mar{KELVIN}t.example", "eva@markt.example"], "eva@markt.example"),
        (["ΟΔΟΣ@example.org", "οδος@example.org"], "οδος@example.org"),
        (["eva+kurs@example.org", "Eva+Kurs@example.org"], "eva+kurs@example.org"),
        (["eva@LOCALHOST", "eva@localhost."], "eva@localhost"),
        (["eva@crm.local"], "eva@crm.local"),
        ([f"eva@{'b' * 40}{dot}bücher{dot}{'c' * 40}" for dot in ".。．｡"], f"eva@{'b' * 40}.xn--bcher-kva.{'c' * 40}"),
        (["a..b.@example.org"], "a..b.@example.org"),  # telephone companies in Japan gave out such ones
    ],
)
def test_one_key(spellings: list[str], expected: str) -> None:
    """However people and programs write an address, it has one key."""
    assert {each: addresses.key(each) for each in spellings} == dict.fromkeys(spellings, expected)
    assert all(addresses.same_email(each, expected) for each in spellings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("eva@example.org", "eva+kurs@example.org"),
        ("eva+kurs@example.org", "eva+kur@example.org"),
        ("eva.muster@example.org", "evamuster@example.org"),
        ("e.va@gmail.com", "eva@gmail.com"),
        ("eva@gmail.com", "eva@googlemail.com"),
        ("groß@example.org", "gross@example.org"),
        ("eva@straße.example", "eva@strasse.example"),
        ("jürgen@example.org", "juergen@example.org"),
        ("jürgen@example.org", "jurgen@example.org"),
        (f"{LONG_S}@example.org", "s@example.org"),
        (f"eva{DOTLESS}@example.org", "evai@example.org"),
        (f"{DOTTED}@example.org", "i@example.org"),
        ("ｅｖａ@example.org", EVA),
        ("ﬁ@example.org", "fi@example.org"),
        ("еva@example.org", EVA),  # a Cyrillic е
        ("eva@example.org", "eva@mail.example.org"),
        ("eva-@example.org", "eva@example.org"),
        ("eva_@example.org", "eva@example.org"),
        ("0815@example.org", "815@example.org"),
    ],
)
def test_two_keys(one: str, other: str) -> None:
    """Two people are worse than one twice: what may be two addresses stays two."""
    assert addresses.key(one) != addresses.key(other)
    assert not addresses.same_email(one, other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Eva.Muster@Example.ORG", "Eva.Muster@example.org"),
        ("Eva Muster <Eva@Bücher.example>", "Eva@xn--bcher-kva.example"),
        ("Ju\u0308rgen@example.org", "Jürgen@example.org"),
        (f"{KELVIN}arl@example.org", "Karl@example.org"),
        ("!#$%&'*+/=?^_`{|}~.-@example.org", "!#$%&'*+/=?^_`{|}~.-@example.org"),
        ("a" * 64 + "@" + "a" * 63 + ".org", "a" * 64 + "@" + "a" * 63 + ".org"),
        ("ü" * 32 + "@example.org", "ü" * 32 + "@example.org"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    """A cleaned address is bare, its domain is ASCII, and its case is as it came."""
    assert addresses.clean(text) == expected


REFUSED = [
    ("", "email_no_at"),
    ("eva", "email_no_at"),
    ("eva＠example.org", "email_no_at"),
    ("eva at example.org", "email_no_at"),
    ("mailto:", "email_no_at"),
    ("<>", "email_no_at"),
    ("a@b@example.org", "email_several"),
    ("eva@example.org, bob@example.org", "email_several"),
    ("mailto:eva@example.org,bob@example.org", "email_several"),
    ("bob@example.org <eva@example.org>", "email_several"),
    ('"bob@example.org" <eva@example.org>', "email_several"),
    ("Eva <eva@example.org> <bob@example.org>", "email_several"),
    ("ev＠a@example.org", "email_several"),
    ('"eva@home"@example.org', "email_several"),
    ("ev\x00a@example.org", "email_control_character"),
    ("eva@example.org\nBcc: bob", "email_control_character"),
    ("eva\x7f@example.org", "email_control_character"),
    ("eva\x85x@example.org", "email_control_character"),
    ("mailto:eva%0D%0ABcc%3Abob@example.org", "email_control_character"),
    ("@example.org", "email_bad_local"),
    ("eva muster@example.org", "email_bad_local"),
    ("eva\u2003muster@example.org", "email_bad_local"),
    ('"eva"@example.org', "email_bad_local"),
    ("eva,bob@example.org", "email_bad_local"),
    ("eva;bob@example.org", "email_bad_local"),
    ("eva\u037ebob@example.org", "email_bad_local"),  # in NFC it is a semicolon
    ("http:eva@example.org", "email_bad_local"),
    ("eva(home)@example.org", "email_bad_local"),
    ("<eva@example.org", "email_bad_local"),
    ("mailto:%FF@example.org", "email_bad_local"),
    ("\ud800@example.org", "email_bad_local"),
    ("a" * 65 + "@example.org", "email_bad_local"),
    ("ü" * 33 + "@example.org", "email_bad_local"),
    ("eva@", "email_bad_domain"),
    ("eva@.", "email_bad_domain"),
    ("eva@.org", "email_bad_domain"),
    ("eva@example..org", "email_bad_domain"),
    ("eva@example.org..", "email_bad_domain"),
    ("eva@-example.org", "email_bad_domain"),
    ("eva@my_shop.example", "email_bad_domain"),
    ("eva@[192.0.2.1]", "email_bad_domain"),
    ("eva@[IPv6:2001:db8::1]", "email_bad_domain"),
    ("eva@example.org>", "email_bad_domain"),
    ("eva@example.org (home)", "email_bad_domain"),
    ("eva@exam ple.org", "email_bad_domain"),
    ("eva@xn--a.example", "email_bad_domain"),
    ("eva@\ud800.example", "email_bad_domain"),
    ("eva@" + "a" * 64 + ".org", "email_bad_domain"),
    ("eva@" + "ü" * 60 + ".org", "email_bad_domain"),
    ("eva@" + "a." * 125 + "org", "email_too_long"),
    ("eva@" + "ü." * 60 + "org", "email_too_long"),
    ("eva@" + "ü" * 990, "email_too_long"),
    ("Eva " * 300 + "<eva@example.org>", "email_too_long"),
    ("e" * 100_000, "email_too_long"),
]


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_refused(text: str, code: str) -> None:
    """What is no address is refused with one code and one sentence, which never has the value."""
    for read in (addresses.clean, addresses.key):
        with pytest.raises(AddressRefused) as caught:
            read(text)
        assert caught.value.code == code
        assert str(caught.value) == addresses.SENTENCES[code]
        assert caught.value.args == (addresses.SENTENCES[code],)
        assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert not addresses.same_email(text, text)
    assert addresses.key_or_text(text) == text


def test_codes() -> None:
    """Each refusal of an e-mail has a case in the table above."""
    assert {code for _, code in REFUSED} == {code for code in addresses.SENTENCES if code.startswith("email_")}


#: Text in which an address may hide, and plain text.
SIGNS = st.sampled_from(
    ["@", "<", ">", ".", "+", "mailto:", "%40", "%", " ", "ß", KELVIN, DOTTED, "u\u0308", "\u200d", "xn--", "σ", "Σ"]
)
TEXTS = st.text() | st.lists(SIGNS | st.text(max_size=3), max_size=12).map("".join)
NEARLY = st.tuples(TEXTS, st.sampled_from(["@example.org", "@Bücher.example", "@x"]) | TEXTS.map("@{}".format)).map(
    "".join
)


@given(TEXTS | NEARLY)
@example(DOTTED * 32 + "@example.org")
@example("Σ@Σ.example")
@example("eva@example.org.。")
def test_key_of_a_key(text: str) -> None:
    """A key is its own key, and so is a cleaned address; nothing but a refusal is ever raised."""
    try:
        key = addresses.key(text)
    except AddressRefused:
        return
    assert addresses.key(key) == key
    cleaned = addresses.clean(text)
    assert addresses.clean(cleaned) == cleaned
    assert addresses.key(cleaned) == addresses.key_of_clean(cleaned) == key
    assert key == unicodedata.normalize("NFC", key.lower())
    assert len(key.encode()) <= 254
    assert key.rpartition("@")[2].isascii()


LOCAL = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~.-", min_size=1, max_size=64)
LABEL = st.text("abcXYZ019-", min_size=1, max_size=10)


@given(st.tuples(LOCAL, st.just("@"), st.lists(LABEL, min_size=1, max_size=4).map(".".join)).map("".join))
def test_plain_addresses_are_left_alone(text: str) -> None:
    """What the pattern of plain addresses takes is what all the other steps would make of it."""
    assume(addresses.PLAIN.fullmatch(text))
    local, _, domain = text.rpartition("@")
    assert addresses.clean(text) == f"{local}@{domain.lower()}"
    assert addresses.clean(f"\u200b<{text}>") == f"{local}@{domain.lower()}"
    if "--" not in domain:  # in the third and fourth place of a label the standard wants xn there, or nothing
        assert addresses._ascii_domain(domain) == domain.lower()


@pytest.mark.parametrize("sign", [KELVIN, LONG_S, DOTLESS, DOTTED, "ß", "é", "９"])
@pytest.mark.parametrize("place", ["{}@example.org", "eva@{}.example", "eva@a{}a.example"])
def test_letters_that_look_plain(sign: str, place: str) -> None:
    """Letters that a pattern without re.ASCII takes for a to z are none."""
    assert addresses.PLAIN.fullmatch(place.format(sign)) is None


def test_ignorable_signs() -> None:
    """What UTS 46 ignores, in a domain, is taken out of all of an address; and no letter, digit or blank is."""
    table = re.compile(f"[{addresses.IGNORABLE}]")
    starts = [*uts46data.uts46_starts, sys.maxunicode + 1]
    ignored = {
        each
        for start, end, status in zip(starts, starts[1:], uts46data.uts46_statuses, strict=False)
        if chr(status) == "I"
        for each in range(start, end)
    }
    assert len(ignored) > 200
    assert {each for each in ignored if not table.match(chr(each))} == set()
    taken = [chr(each) for each in range(sys.maxunicode + 1) if table.match(chr(each))]
    fillers = {"\u115f", "\u1160", "\u3164", "\uffa0"}  # letters of Hangul by name, but never seen
    categories = {unicodedata.category(each) for each in taken if each not in fillers}
    assert categories <= {"Cf", "Mn", "Cn"}
    assert not any(each.isspace() for each in taken)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eva kurs@example.org", "eva+kurs@example.org"),
        (" eva kurs@example.org ", "eva+kurs@example.org"),
        ("eva a b@example.org", "eva+a+b@example.org"),
        ("Eva Muster <eva kurs@example.org>", "eva+kurs@example.org"),
        ("Eva Muster <eva@example.org>", "Eva Muster <eva@example.org>"),
        (" eva@example.org ", " eva@example.org "),
        ("eva@exam ple.org", "eva@exam ple.org"),
        ("not an address", "not an address"),
    ],
)
def test_plus_of_forms(text: str, expected: str) -> None:
    """A blank in the part before the @ is a `+` that nobody encoded, where a form was sent; all else stays."""
    assert addresses.restore_plus(text) == expected


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that cannot be an address is never read as a domain, which is what takes time."""
    asked: list[str] = []

    def encode(domain: str, **_: bool) -> bytes:
        asked.append(domain)
        return b"x"

    monkeypatch.setattr(idna, "encode", encode)
    addresses._ascii_domain.cache_clear()
    for text in (
        "eva@" + "ü" * 996,
        "eva@" + "ü." * 120,
        "eva@" + "ü" * 64,
        "ü" * 1001 + "@x",
        "a" * 99 + "@ü.example",
    ):
        with pytest.raises(AddressRefused):
            addresses.clean(text)
    assert asked == []
    addresses._ascii_domain.cache_clear()


# Telephone.


@pytest.mark.parametrize(
    ("numbers", "country", "expected"),
    [
        (
            [
                "+4930123456",
                "+49 30 123456",
                "+49 (0)30 123456",
                "+49 (0) 30 / 12 34-56",
                "0049 30 123456",
                "00 49 30 12 34 56",
                "030 123456",
                "030/123456",
                "(030) 123456",
                "tel:+49-30-123456",
                "tel:030-123456;phone-context=+49",
                "Tel. 030 123456",
                "Telefon (privat): 030 123456",
                "Mobil 030 123456",
                "T +49 30 123456",
                "privat: (030) 12 34 56",
                "\u202a+49 30 123456\u202c",
                "\u200e030\u00a0123\u2011456",
                "＋４９ ３０ １２３４５６",
            ],
            "DE",
            "+4930123456",
        ),
        (["+49 30 123456", "+49 (0)30 123456", "tel:+49-30-123456", "\u202d+49\u202c30123456"], None, "+4930123456"),
        (
            [
                "030 123456 ext. 12",
                "Tel.: 030 123456 ext 12",
                "+49 30 123456 x12",
                "+49 30 123456 extension 12",
                "+4930123456;ext=12",
                "tel:+49-30-123456;ext=12",
                "tel:030-123456;ext=12;phone-context=+49",
            ],
            "DE",
            "+4930123456;ext=12",
        ),
        (["0316 123456", "+43 316 123456", "0043 316 123456"], "AT", "+43316123456"),
        (["06 1234567", "+39 06 1234567"], "IT", "+39061234567"),  # Italy keeps the zero
        (["(212) 555-0123", "1-212-555-0123", "011 1 212 555 0123"], "US", "+12125550123"),
    ],
)
def test_one_number(numbers: list[str], country: str | None, expected: str) -> None:
    """However a number is parted and prefixed, it has one key; and a key is its own key, in any country."""
    assert {each: addresses.phone_key(each, country) for each in numbers} == dict.fromkeys(numbers, expected)
    assert addresses.phone_key(expected) == addresses.phone_key(expected, "US") == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("030 123456", "030 1234567"),
        ("030 123456", "+4930123456;ext=12"),  # a switchboard is not a person
        ("030 123456 ext. 12", "030 123456 ext. 13"),
        ("030 123456", "+43 30 123456"),
    ],
)
def test_two_numbers(one: str, other: str) -> None:
    """What may be two telephones stays two."""
    assert addresses.phone_key(one, "DE") != addresses.phone_key(other, "DE")


@pytest.mark.parametrize(
    ("number", "country", "code"),
    [
        ("030 123456", None, "phone_no_country"),
        ("0049 30 123456", None, "phone_no_country"),  # in the USA 00 leads nowhere
        ("123456", None, "phone_no_country"),
        ("", None, "phone_not_possible"),
        ("+", "DE", "phone_not_possible"),
        ("unknown", "DE", "phone_not_possible"),
        ("110", "DE", "phone_not_possible"),
        ("555-0123", "US", "phone_not_possible"),
        ("+49 1", None, "phone_not_possible"),
        ("+" + "1" * 20, None, "phone_not_possible"),
        ("+999 123456", None, "phone_not_possible"),
        ("030 123456 / 0171 1234567", "DE", "phone_not_possible"),
        ("1" * 100_000, "DE", "phone_not_possible"),
        ("+49 30 123456 (privat)", "DE", "phone_not_possible"),  # letters are no digits, in whatever country
        ("+49 30 123456 p.", None, "phone_not_possible"),
        ("030 12 34 56 nur abends", "DE", "phone_not_possible"),
        ("030 12O456", "DE", "phone_not_possible"),
        ("030 123456 ext. 12 abends", "DE", "phone_not_possible"),
        ("030 123456 privat x12", "DE", "phone_not_possible"),
        ("030 123456 / privat", "DE", "phone_not_possible"),
        ("030 123456 oder 0171 1234567", "DE", "phone_not_possible"),
        ("Raum 3 030 123456", "DE", "phone_not_possible"),
        ("0800-RELAIS", "DE", "phone_not_possible"),
        ("0800 RELAIS", None, "phone_no_country"),
        ("1-800-FLOWERS", "US", "phone_not_possible"),
    ],
)
def test_no_number(number: str, country: str | None, code: str) -> None:
    """A number without a country, and what is no number, have no key; the refusal does not say the number."""
    with pytest.raises(AddressRefused) as caught:
        addresses.phone_key(number, country)
    assert (caught.value.code, str(caught.value)) == (code, addresses.SENTENCES[code])


@given(st.text() | st.text("0123456789+-/() x;ext=.", max_size=30), st.sampled_from([None, "DE", "IT", "US", "AR"]))
def test_key_of_a_number(text: str, country: str | None) -> None:
    """The key of a number is its own key; nothing but a refusal is ever raised."""
    try:
        key = addresses.phone_key(text, country)
    except AddressRefused:
        return
    assert addresses.phone_key(key, country) == key
    assert re.fullmatch(r"\+[1-9][0-9]{2,16}(;ext=[0-9]{1,20})?", key)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((known, known) for known in ("DE", "AT", "CH", "NO", "GB", "US")),
        *[("49", "DE"), ("+43", "AT"), ("1", "US")],
        *((none, None) for none in ("XX", "de", "0", "", "999", "Germany", "800", "٤٩", "49000000000000")),
    ],
)
def test_country(text: str, expected: str | None) -> None:
    """A country is two letters or its calling code."""
    assert addresses.country_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+49 (0)30 123456", "+4930123456"),
        ("tel:+49-30-123456;ext=7", "+4930123456;ext=7"),
        ("030 123456", "030 123456"),
        (" in the evening ", " in the evening "),
        ("", ""),
    ],
)
def test_phone_key_or_text(text: str, expected: str) -> None:
    """What is no number with a country stays as it is, to the blank."""
    assert addresses.phone_key_or_text(text) == expected


@pytest.mark.parametrize(
    ("same", "one", "other", "expected"),
    [
        (addresses.same_phone, "+49 30 123456", "+4930123456", True),
        (addresses.same_phone, "030 123456", " 030 123456", True),
        (addresses.same_phone, "030 123456", "+4930123456", False),
        (addresses.same_email, "Eva <EVA@example.org>", EVA, True),
        (addresses.same_email, "", EVA, False),
    ],
)
def test_same(same: Callable[[str, str], bool], one: str, other: str, expected: bool) -> None:
    """Two texts are one when their keys are."""
    assert same(one, other) is expected
    assert same(other, one) is expected


@given(st.from_regex(addresses.PLAIN_PHONE, fullmatch=True))
def test_plain_numbers(number: str) -> None:
    """A number that is taken for its own key is what the library makes of it."""
    assert addresses.phone_key(number) == addresses._parse_phone(number, None) == number


@pytest.mark.parametrize("number", ["+490301234567", "+3312345678", "+4312345", "+41441234567890", "+49301234567\n"])
def test_not_plain(number: str) -> None:
    """A trunk zero, a length that is none and a line end are the library's to judge."""
    assert not addresses.PLAIN_PHONE.match(number)
