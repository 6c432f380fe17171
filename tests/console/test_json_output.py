"""What `--json` prints."""

import json
from decimal import Decimal

import pytest

from console import json_output


def test_write(capsys: pytest.CaptureFixture[str]) -> None:
    """It is indented JSON with letters as they are; what JSON has no value for is text."""
    json_output.write({"name": "Zoé", "amount": Decimal("1.50")})
    out = capsys.readouterr().out
    assert "Zoé" in out
    assert out.startswith('{\n  "name"')
    assert json.loads(out) == {"name": "Zoé", "amount": "1.50"}
