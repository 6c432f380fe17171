from pathlib import Path

import pytest

from console import book as books
from console.errors import UserError
from tests.console.conftest import BOOK


def test_folder(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that was named counts more than RELAIS_BOOK; one that is not there is refused with the mend."""
    monkeypatch.setenv("RELAIS_BOOK", str(book / "nowhere"))
    assert books.folder(book) == book
    with pytest.raises(UserError, match=r"there is no book at .*/nowhere") as refused:
        books.folder(None)
    assert refused.value.mend == "copy the starter book: relais init\nor say where yours is: RELAIS_BOOK=FOLDER"
    monkeypatch.setenv("RELAIS_BOOK", str(book))
    assert books.folder(None) == book


def test_load(book: Path) -> None:
    """A right book is compiled."""
    assert set(books.load(book).sources) == {"cmx", "shop"}


def test_one_error(book: Path) -> None:
    """A book with one error is refused with its file and line below the folder."""
    (book / "book.yaml").write_text(BOOK.replace("gt:", "gtt:"))
    with pytest.raises(UserError) as refused:
        books.load(book)
    head, *errors = refused.value.message.splitlines()
    assert head == f"the book at {book} has 1 error:"
    assert errors[0].startswith(f"  {book}/book.yaml:28:25 ")
    assert refused.value.mend == f"relais rules check {book}"


def test_errors_and_no_warnings(book: Path) -> None:
    """Several errors are counted; warnings are not."""
    text = BOOK.replace("when:", "wen:").replace("kind: rest", "kind: rset").replace("${CRM_TOKEN}", "in clear")
    (book / "book.yaml").write_text(text)
    with pytest.raises(UserError) as refused:
        books.load(book)
    head, *errors = refused.value.message.splitlines()
    assert head == f"the book at {book} has {len(errors)} errors:"
    assert len(errors) > 1
    assert "in clear" not in refused.value.message
