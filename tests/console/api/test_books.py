import pytest

from console.errors import UserError
from mailroom import Mailroom
from tests.conftest import PrivateValkey
from tests.console.api.console_process import asked, with_mailroom


def test_books(console: str, valkey: PrivateValkey) -> None:
    """The files of every book that was in force are there by its version; `current` is the one that is."""

    async def keep(mailroom: Mailroom) -> None:
        await mailroom.keep_book("v1", {"a.yaml": "rules: []\n"})
        await mailroom.keep_book("v2", {"a.yaml": "rules: [1]\n", "b.yaml": ""})

    with pytest.raises(UserError, match="unknown_book"):
        asked(console, "/books/current")
    with_mailroom(valkey, keep)
    newest = {"version": "v2", "current": "v2", "files": {"a.yaml": "rules: [1]\n", "b.yaml": ""}}
    assert asked(console, "/books/current") == asked(console, "/books/v2") == newest
    assert asked(console, "/books/v1") == {"version": "v1", "current": "v2", "files": {"a.yaml": "rules: []\n"}}
    with pytest.raises(UserError, match="unknown_book: no book of this version was ever in force"):
        asked(console, "/books/v3")
