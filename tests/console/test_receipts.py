"""The file of receipts: what it holds, and what stops a start."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from console import receipts
from console.errors import UserError
from console.receipts import ReceiptFile
from mailroom.forgetting import ForgetReceipt
from mailroom.settings import QueueSettings
from tests.conftest import PrivateValkey

ONE = ForgetReceipt("a1", "2026-11-21T10:00:00.000Z", "ada", "case 7", "2999-11-21T10:00:00.000Z", ("h" * 16,))


def test_kept(tmp_path: Path) -> None:
    """Receipts are kept in their order, one for each id, readable by nobody else."""
    file = ReceiptFile(tmp_path / "new" / "forgotten.jsonl")
    assert file.read() == []
    file.keep([ONE])
    file.keep([replace(ONE, id="b2"), replace(ONE, hashes=())])
    assert [(each.id, each.hashes) for each in file.read()] == [("a1", ()), ("b2", ONE.hashes)]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_damaged(tmp_path: Path) -> None:
    """A file that cannot be read stops a start, and says where and what to do; without a file nothing is asked."""
    path = tmp_path / "forgotten.jsonl"
    settings = QueueSettings(REDIS_URL=f"unix://{tmp_path}/none", receipts=str(path))
    receipts.before_start(settings)
    path.write_text("no receipt\n")
    with pytest.raises(UserError, match="receipts of who was forgotten"):
        receipts.before_start(settings)
    path.write_text(f"{ONE.encode()}\n")
    with pytest.raises(UserError, match="nobody can say yet"):
        receipts.before_start(settings)


def test_start(site_valkey: PrivateValkey, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A start forgets whom the store does not know to be forgotten, and says so once."""
    path = tmp_path / "forgotten.jsonl"
    ReceiptFile(path).keep([replace(ONE, id=tmp_path.name[-12:])])
    settings = QueueSettings(REDIS_URL=site_valkey.url, receipts=str(path))
    receipts.before_start(settings)
    receipts.before_start(settings)
    assert capsys.readouterr().err == "The store was restored: 1 person forgotten once more.\n"
