from typing import Any

import pytest

from console.client import ClientSettings, ConsoleClient
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


def posted(url: str, path: str, version: str) -> Any:
    return ConsoleClient(ClientSettings(console_url=url)).post(path, {"version": version})


def test_approval(console: str, valkey: PrivateValkey) -> None:
    """A person approves one version, which nobody else has to know yet; what is no version is refused."""

    async def approved(mailroom: Mailroom) -> None:
        assert await mailroom.approved_book() == "0123456789ab"

    assert posted(console, "/books/approve", "0123456789ab") == {
        "approved": "0123456789ab",
        "current": None,
    }
    with_mailroom(valkey, approved)
    with pytest.raises(UserError, match="version"):
        posted(console, "/books/approve", "../etc")
