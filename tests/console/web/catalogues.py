"""The sentences of the pages, as the code and the templates have them: `python -m tests.console.web.catalogues`.

Comes in: the package `console.web`, and the catalogue of sentences. Goes out: keys, and the catalogues with what is
missing at their end. Never translates.
"""

from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

import console.web
from mailroom.sentences import REASONS, SENTENCES

WEB = Path(console.web.__file__).parent
#: What a catalogue begins with: how its language counts. No dates, so that nothing but sentences changes it.
HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n"Plural-Forms: {}\\n"\n\n'
#: A sentence; with its plural where it has one.
Key = str | tuple[str, str]


def list_keys() -> Iterator[tuple[Key, str]]:
    """Yield each sentence and where it stands."""
    for file in sorted(WEB.glob("*.py")):
        with file.open("rb") as text:
            for _, key, _, _ in extract("python", text, {"N_": None, "ngettext": (1, 2)}):
                yield _as_key(key), file.name
    for told in (*SENTENCES.values(), *REASONS.values()):
        yield told, "sentences.py"
    options = {"extensions": "jinja2.ext.do", "silent": "false"}
    for file in sorted((WEB / "templates").glob("*.html")):
        with file.open("rb") as text:
            for _, key, _, _ in extract("jinja2.ext:babel_extract", text, {"_": None, "ngettext": (1, 2)}, (), options):
                yield _as_key(key), file.name


def _as_key(key: str | tuple[str, ...]) -> Key:
    return key if isinstance(key, str) else (key[0], key[1])


def read(language: str) -> Catalog:
    """Return a catalogue."""
    with (WEB / "locale" / f"{language}.po").open("rb") as text:
        return read_po(text, locale=language)


def write(language: str) -> list[Key]:
    """Add what is missing to a catalogue, take out what nobody uses; return what is missing a translation."""
    file = WEB / "locale" / f"{language}.po"
    known = read(language) if file.exists() else Catalog(locale=language)
    wanted = dict(list_keys())
    found = Catalog(locale=language, charset="utf-8", project="relais", version="", fuzzy=False)
    missing: list[Key] = []
    for key in wanted:
        message = known.get(key)
        found.add(key, message.string if message else None)
        if message is None or not all(message.string if isinstance(message.string, tuple) else (message.string,)):
            missing.append(key)
    with file.open("wb") as out:
        out.write(HEAD.format(found.plural_forms).encode())
        write_po(out, found, width=120, omit_header=True, sort_output=True)
    return missing


if __name__ == "__main__":
    for each in ("de", "fr"):
        for one in write(each):
            print(each, repr(one))
