import re
from collections.abc import Iterator

import pytest
from babel.messages.catalog import Message

from console.web import language
from tests.console.web import catalogues

PLACE = re.compile(r"%\(\w+\)s|\{\w+\}")
TRANSLATED = sorted(set(language.LANGUAGES) - {"en"})


def messages(name: str) -> Iterator[Message]:
    yield from (one for one in catalogues.read(name) if one.id)


@pytest.mark.parametrize("name", TRANSLATED)
def test_every_sentence_is_translated_and_used(name: str) -> None:
    """No sentence of the pages is missing in a language, none is there that nobody uses, none is empty."""
    wanted = dict(catalogues.list_keys())
    assert len(wanted) > 400
    found = {one.id: one.string for one in messages(name)}
    assert sorted(map(str, set(wanted) - set(found))) == [], "python -m tests.console.web.catalogues adds them"
    assert sorted(map(str, set(found) - set(wanted))) == [], "python -m tests.console.web.catalogues takes them out"
    assert [key for key, said in found.items() if not (all(said) if isinstance(said, tuple) else said)] == []


@pytest.mark.parametrize("name", TRANSLATED)
def test_what_is_filled_in_is_the_same(name: str) -> None:
    """A translation has the places to fill in that its key has."""
    for one in messages(name):
        key = one.id if isinstance(one.id, str) else one.id[0]
        for text in (one.string,) if isinstance(one.string, str) else one.string or ():
            assert set(PLACE.findall(text)) == set(PLACE.findall(key)), one.id


def test_french_signs_stay_with_their_word() -> None:
    """Before a colon, a semicolon, ! and ? French has a space, at which no line may break."""
    for one in messages("fr"):
        for text in (one.string,) if isinstance(one.string, str) else one.string or ():
            assert not re.search(r" [:;!?»]|« ", text), text


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("de-CH,de;q=0.9,en;q=0.8", "de"),
        ("es,fr;q=0.5", "fr"),
        ("", "en"),
        ("en;q=0.2,de;q=0.7", "de"),
        ("x;q=y", "en"),
    ],
)
def test_what_a_browser_asks_for(accepted: str, chosen: str) -> None:
    """The language that a browser likes best, of those that there are."""
    assert language.choose(accepted) == chosen


def test_how_languages_count() -> None:
    """One, several and none are said as each language says them."""
    said = {name: language.translations(name).ngettext("%(num)s event", "%(num)s events", 0) for name in TRANSLATED}
    assert said == {"de": "%(num)s Ereignisse", "fr": "%(num)s événement"}


def test_templates_trust_only_their_own_sentences() -> None:
    """`_` takes its sentence for HTML of ours: it is given none but those that stand in a template."""
    for file in (catalogues.WEB / "templates").glob("*.html"):
        assert re.findall(r"""(?<![A-Za-z])_\((?!["'])""", file.read_text(encoding="utf-8")) == [], file.name
        assert "|safe" not in file.read_text(encoding="utf-8"), file.name
