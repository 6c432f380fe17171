import pytest

from sandbox.server import Running
from tests.sandbox.conftest import SandboxAnswer, send

RIGHT = "et=sandbox-etracker-account&et_key=sandbox-etracker-key&et_tonr=A-1"


def ask(sandbox: Running, query: str, method: str = "GET", path: str = "/lsconfirm.php") -> SandboxAnswer:
    return send(f"{sandbox.base('etracker')}{path}?{query}", method)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (f"{RIGHT}&et_sale=1&et_profit=9.90", "OK"),
        ("et_key=k&et_tonr=A-1&et_sale=1", "ERR: 0"),
        ("et=a&et_tonr=A-1&et_sale=1", "ERR: 1"),
        ("et=a&et_key=k&et_sale=1", "ERR: 2"),
        (RIGHT, "ERR: 3"),
        (f"{RIGHT}&et_sale=3", "ERR: 3"),
        (f"{RIGHT}&et_profit=9,90", "ERR: 3"),
        ("et=a&et_key=k&et_tonr=A-1&et_sale=1", "ERR: 4"),
        ("et=sandbox-etracker-account&et_key=k&et_tonr=A-1&et_sale=1", "ERR: 5"),
        (f"{RIGHT},2&et_sale=1", "ERR: 6"),
    ],
)
def test_confirm(sandbox: Running, query: str, said: str) -> None:
    """It answers OK, or the number of what is wrong, as plain text."""
    answer = ask(sandbox, query)
    assert (answer.status, answer.text) == (200, said)
    assert answer.headers["content-type"].startswith("text/plain")


def test_not_modelled(sandbox: Running) -> None:
    """Other fields and other addresses are 501."""
    assert ask(sandbox, f"{RIGHT}&et_basket=1").status == 501
    assert ask(sandbox, "", "POST", "/api/v6/subuserPublic/user").status == 501


def test_unknown_setting(sandbox: Running) -> None:
    """A setting that it does not have is an error."""
    with pytest.raises(ValueError, match="find_lag"):
        sandbox.world.etracker.tell({"find_lag": 1})
