import pytest

from sandbox import fallback
from sandbox.server import Running
from tests.sandbox.conftest import send


@pytest.mark.parametrize("vendor", ["etracker", "mail", "magnetis", "webhook"])
@pytest.mark.parametrize("method", fallback.METHODS)
def test_an_address_that_is_not_modelled(sandbox: Running, vendor: str, method: str) -> None:
    """It is 501 by every method, as an error of the vendor."""
    answer = send(f"{sandbox.base(vendor)}/no/such/address", method)
    assert answer.status == 501
    assert "the sandbox does not model this" in answer.text
    assert answer.text.startswith("{") is (vendor != "etracker")


@pytest.mark.parametrize("vendor", ["activetrail", "hubspot", "lexware", "pipedrive"])
def test_the_key_is_asked_first(sandbox: Running, vendor: str) -> None:
    """Whoever has no key is not told what is there."""
    assert send(f"{sandbox.base(vendor)}/no/such/address").status == 401
