"""The languages of the pages: catalogues of sentences, and which one a browser asks for.

Comes in: a language, or what a browser says. Goes out: translations; the key of each is the English sentence.
"""

import gettext
import io
from functools import cache
from importlib import resources

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

#: Language -> what its people call it.
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français"}


def N_(text: str) -> str:  # noqa: N802 - the name that tools for catalogues look for
    """Mark a sentence that is translated where it is shown."""
    return text


@cache
def translations(language: str) -> gettext.NullTranslations:
    """Return the sentences of a language."""
    file = resources.files("console.web").joinpath(f"locale/{language}.po")
    if not file.is_file():
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with file.open("rb") as text:
        write_mo(compiled, read_po(text, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def choose(accepted: str) -> str:
    """Return the first language of a header `Accept-Language` that there is; else English."""
    wanted = []
    for place, part in enumerate(accepted.split(",")[:20]):
        name, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1), place, name[:2].lower()))
        except ValueError:
            continue
    return next((name for _, _, name in sorted(wanted) if name in LANGUAGES), "en")
