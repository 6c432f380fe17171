"""One key for each e-mail address and each telephone number, however it was written.

Comes in: what a vendor, a form or a rule wrote. Goes out: the address to pass on (`clean`) and the key by which two of
them are one (`key`, `phone_key`). Never guesses, never puts the value into a refusal; no other module lowers, strips or
compares an address.
"""

import re
from contextlib import suppress
from functools import lru_cache
from typing import Final
from unicodedata import normalize
from urllib.parse import unquote, unquote_plus

import idna

#: Longer texts are refused unread. What is delivered to has at most 254 (RFC 5321), of them 64 before the @.
LONGEST_TEXT: Final = 1_000  # characters
LONGEST_ADDRESS: Final = 254  # octets
LONGEST_LOCAL: Final = 64  # octets
#: Of a part of a domain, in ASCII (RFC 1035).
LONGEST_LABEL: Final = 63
#: Default-ignorable code points of Unicode 17: nobody sees them, and people paste them.
IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
#: An address that needs no second look. Labels in punycode do: not every `xn--` is one. re.ASCII, here and without
#: re.IGNORECASE: else the Kelvin sign is a letter k.
PLAIN: Final = re.compile(
    r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64})"
    r"@((?:(?![Xx][Nn]--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.(?!\Z)|\Z))+)",
    re.ASCII,
)
#: What nearly all addresses are, found in half the time: in lower case, the domain of letters and digits.
_USUAL: Final = re.compile(r"[a-z0-9._+-]{1,64}@(?:[a-z0-9]{1,63}\.){1,9}[a-z]{2,63}", re.ASCII)
_IGNORABLE: Final = re.compile(f"[{IGNORABLE}]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_LOCAL: Final = re.compile(r"[\s\",;:()<>\[\]]")
_SCHEME: Final = re.compile(r"mailto:", re.ASCII | re.IGNORECASE)
#: Signs that NFKC, which some programs apply, turns into an @.
_OTHER_AT: Final = re.compile("[\uff20\ufe6b]")
_PLUS: Final = re.compile("[+\uff0b]")
_ADDRESS_INSIDE: Final = re.compile(r"[^\s@]@[^\s@]")

SENTENCES: Final = {
    "email_no_at": "the e-mail address has no @",
    "email_several": "there is more than one @, where one e-mail address should be",
    "email_control_character": "the e-mail address has a control character in it",
    "email_bad_local": "the part before @ is empty, too long, or holds a character that is not possible there",
    "email_bad_domain": "the part after @ is no domain name",
    "email_too_long": "the e-mail address is too long",
    "phone_no_country": "the country of the telephone number is not known; write country: at the source or in the book",
    "phone_not_possible": "that is no possible telephone number",
}


class AddressRefused(ValueError):
    """A text is no address or number. Says why by a code and a sentence, without the value."""

    def __init__(self, code: str) -> None:
        super().__init__(SENTENCES[code])
        #: One word that never changes.
        self.code = code


# E-mail. -------------------------------------------------------------------------------------------------------------


def clean(text: str, *, form: bool = False) -> str:
    """Return an address as it is passed on: bare, case as it came, the domain in ASCII. Raises AddressRefused.

    `form`: the text came by a form, where a blank before the @ is a `+` that the sender did not encode.
    """
    if len(text) > LONGEST_TEXT:
        raise AddressRefused("email_too_long")
    if len(text) <= LONGEST_ADDRESS and _USUAL.fullmatch(text):
        return text
    plain = PLAIN.fullmatch(text) if len(text) <= LONGEST_ADDRESS else None
    if plain and text.islower():
        return text
    if plain is None:
        text = _unwrap(_visible(text))
        plain = PLAIN.fullmatch(text) if len(text) <= LONGEST_ADDRESS else None
    local, domain = (plain[1], plain[2].lower()) if plain else _parts(text, form)
    if len(local) + 1 + len(domain) > LONGEST_ADDRESS - _octets_beyond(local):
        raise AddressRefused("email_too_long")
    return f"{local}@{domain}"


def key(text: str) -> str:
    """Return what is the same for all spellings of one address: what is searched, written and compared."""
    return key_of_clean(clean(text))


def ascii_key(text: str) -> str:
    """Return the key of an address that every mail server takes. Raises ValueError, AddressRefused among them."""
    if not (address := key(text)).isascii():
        raise ValueError("must be an address whose part before the @ is ASCII: few servers take others")
    return address


def key_of_clean(address: str) -> str:
    """Return the key of an address that `clean` returned. Raises AddressRefused."""
    if address.isascii():
        return address.lower()
    local, _, domain = address.rpartition("@")
    # Once more: İ takes more octets in lower case.
    return clean(f"{normalize('NFC', local.lower())}@{domain}")


def same_email(one: str, other: str) -> bool:
    """Tell whether two texts are one address; what is no address is the same as nothing."""
    with suppress(AddressRefused):
        return key(one) == key(other)
    return False


def key_or_text(text: str) -> str:
    """Return the key of a text that is an address, and any other text as it is."""
    with suppress(AddressRefused):
        return key(text) if "@" in text else text
    return text


def restore_plus(text: str) -> str:
    """Return an address of a form with its `+` put back; any other text as it is."""
    if " " in text.strip():
        with suppress(AddressRefused):
            clean(text)  # a display name has blanks, too
            return text
        with suppress(AddressRefused):
            return clean(text, form=True)
    return text


def _visible(text: str) -> str:
    """Return the text without what nobody sees."""
    text = _IGNORABLE.sub("", text).strip()
    if _CONTROL.search(text):
        raise AddressRefused("email_control_character")
    return text


def _unwrap(text: str) -> str:
    """Return the address inside `mailto:`, angle brackets, or a display name with angle brackets."""
    if text.endswith(">") and "<" in text:
        name, _, inside = text[:-1].partition("<")
        inside = inside.strip()
        if _ADDRESS_INSIDE.search(name) and not same_email(name.strip(" \"'"), inside):
            raise AddressRefused("email_several")
        text = inside
    if scheme := _SCHEME.match(text):
        try:
            text = _visible(unquote(text[scheme.end() :].partition("?")[0], errors="strict"))
        except UnicodeDecodeError:
            raise AddressRefused("email_bad_local") from None
    return text


def _parts(text: str, form: bool) -> tuple[str, str]:
    """Return both parts of an address that is not plain."""
    signs = text.count("@")
    if signs != 1 or _OTHER_AT.search(text):
        raise AddressRefused("email_several" if signs else "email_no_at")
    local, _, domain = normalize("NFC", text).partition("@")
    if form:
        local = local.replace(" ", "+")
    _check_local(local)
    if len(domain) > LONGEST_ADDRESS:
        raise AddressRefused("email_too_long")
    return local, _ascii_domain(domain)


def _check_local(local: str) -> None:
    if not local or _NOT_LOCAL.search(local) or len(local) + _octets_beyond(local) > LONGEST_LOCAL:
        raise AddressRefused("email_bad_local")


def _octets_beyond(text: str) -> int:
    """Return how many octets a text has more than characters."""
    if text.isascii():
        return 0
    try:
        return len(text.encode()) - len(text)
    except UnicodeEncodeError:  # half a character
        raise AddressRefused("email_bad_local") from None


@lru_cache(maxsize=1_024)
def _ascii_domain(domain: str) -> str:
    # In ASCII it is never shorter, and in punycode by 5 signs a label at least: what cannot fit is not read at all.
    labels = normalize("NFKC", domain).replace("\u3002", ".").split(".")
    if sum(len(label) + (1 if label.isascii() else 6) for label in labels) > LONGEST_ADDRESS:
        raise AddressRefused("email_too_long")
    if any(len(label) > (LONGEST_LABEL if label.isascii() else LONGEST_LABEL - 5) for label in labels):
        raise AddressRefused("email_bad_domain")
    try:
        found = idna.encode(domain, uts46=True, std3_rules=False).decode("ascii").removesuffix(".")
    except UnicodeError:
        raise AddressRefused("email_bad_domain") from None
    return found


#: What looks like an address in a text that nobody could read otherwise; and what may stand glued before it.
_MENTION: Final = re.compile(r"[^\s\"'<>(),;:\[\]\\]{1,200}@[^\s\"'<>(),;:\[\]\\/?&=#|{}@]{1,254}")
_GLUE: Final = re.compile(r"[=&/|{}#?!%*]")
_NUMBER: Final = re.compile(r"(?<![\w+])(?:\+|00)[1-9][0-9 ()/.\-\u00a0]{5,24}[0-9](?!\w)", re.ASCII)
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")


def find_mentioned(text: str) -> set[str]:
    """Return the identities (`email:…`, `phone:…`) of all addresses and international numbers that a text mentions.

    Also those that a form or JSON has encoded. Of a number without its country nobody can tell whose it is.
    """
    texts = {text}
    if "\\u" in text:
        texts.add(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text))
    texts |= {unquote_plus(each) for each in texts if "%" in each}
    found: set[str] = set()
    for each in texts:
        for mention in _MENTION.findall(each):
            words = mention.rstrip(".!*%$-")
            starts = [0, *(sign.end() for sign in _GLUE.finditer(words, 0, words.rindex("@")))]
            for start in starts:
                with suppress(AddressRefused):
                    found.add(f"email:{key(words[start:])}")
        for number in _NUMBER.findall(each):
            with suppress(AddressRefused):
                found.add(f"phone:{phone_key(number if number[0] == '+' else f'+{number[2:]}')}")
    return found


# Telephone. ----------------------------------------------------------------------------------------------------------


#: Numbers that are their own key, as the library finds in 50 µs (tested for all of them): Germany, Austria, France,
#: Switzerland, written as most platforms write them.
PLAIN_PHONE: Final = re.compile(r"\+(?:4[39][1-9][0-9]{6,11}|(?:33|41)[1-9][0-9]{8})\Z", re.ASCII)
#: What may stand before a number: words that end with a mark, or that a prefix follows ("room 3 030…" is no number).
_LABEL: Final = re.compile(r"\A[^\d+\uff0b]*(?:[:.][\s(]*|(?=[+\uff0b0\uff10]))")
#: Where `tel:` says something beside the number (RFC 3966).
_TEL_PARAMETER: Final = re.compile(r";(?:phone-context|isub)=[^;]*", re.ASCII | re.IGNORECASE)
#: At most one word names it.
_EXTENSION: Final = re.compile(r"\W*[^\W\d]*\W*\d+\W*\Z")
_LETTER: Final = re.compile(r"[^\W\d_]")


def phone_key(text: str, country: str | None = None) -> str:
    """Return a telephone number as `+4930123456`, with an extension as `+4930123456;ext=12`. Raises AddressRefused.

    `country`: two letters, where a number without `+` belongs; without it such a number is nobody's in particular.
    Letters are no digits (0800-RELAIS): beside a label before the number and an extension there may be none.
    """
    if PLAIN_PHONE.match(text):
        return text
    return _parse_phone(text, country)


def _parse_phone(text: str, country: str | None) -> str:
    import phonenumbers  # 2.7 MB, for those who have numbers

    text = _IGNORABLE.sub("", text)
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException as exc:
        invalid = exc.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE
        at_home = invalid and country is None and not _PLUS.search(text)
        raise AddressRefused("phone_no_country" if at_home else "phone_not_possible") from None
    # Not what is possible inside a town only: such a number is another telephone in each of them.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise AddressRefused("phone_not_possible")
    if _LETTER.search(text) and _has_words(text, bool(number.extension)):
        raise AddressRefused("phone_not_possible")
    found = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{found};ext={number.extension}" if number.extension else found


def _has_words(text: str, extension: bool) -> bool:
    """Tell whether a number has letters other than its label and its extension: the library reads them as digits."""
    text = _LABEL.sub("", _TEL_PARAMETER.sub("", text), count=1)
    return bool(_LETTER.search(_EXTENSION.sub("", text) if extension else text))


def phone_key_or_text(text: str) -> str:
    """Return the key of a text that is a telephone number with its country, and any other text as it is."""
    with suppress(AddressRefused):
        return phone_key(text)
    return text


def same_phone(one: str, other: str) -> bool:
    """Tell whether two texts are one telephone number; those without a country, if they are written alike."""
    return phone_key_or_text(one).strip() == phone_key_or_text(other).strip()


def country_of(text: str) -> str | None:
    """Return the country that a text names, `DE` or its calling code `49`, as two letters; None where it names none."""
    import phonenumbers

    if text in phonenumbers.SUPPORTED_REGIONS:
        return text
    code = text.removeprefix("+")
    if not (code.isascii() and code.isdigit() and len(code) <= 3):
        return None
    region: str = phonenumbers.region_code_for_country_code(int(code))
    return region if region in phonenumbers.SUPPORTED_REGIONS else None
