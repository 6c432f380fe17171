from typing import Any

import pytest
from pydantic import ValidationError

from rules.verify import Verify


@pytest.mark.parametrize(
    "written",
    [
        {"header": {"name": "X-Token", "value": "${A}"}},
        {"header": {"name": "X-Token", "value": ["${A}", "${B}"]}},
        {"query": {"name": "token", "value": "${A}"}},
        {"basic": {"user": "relais", "password": "${A}"}},
        {"hmac": {"header": "X-Signature", "prefix": "sha256=", "encoding": "base64", "secret": "${A}"}},
        {
            "hmac": {
                "header": "X-Signature",
                "secret": "${A}",
                "signed": "timestamp.body",
                "timestamp_header": "X-Timestamp",
                "tolerance": "2m",
            }
        },
        {"standard_webhooks": {"secret": "${A}"}},
        {"ip": {"allow": "192.0.2.0/24"}, "basic": {"user": "relais", "password": "${A}"}},
        {"none": "only reachable from the same machine"},
    ],
)
def test_ways(written: dict[str, Any]) -> None:
    """Each way to verify can be written, several together too, and "none" with its reason."""
    verify = Verify.model_validate(written)
    assert all(not secret.literal for secret in verify.secrets)


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"none": ""},
        {"none": "only inside", "query": {"name": "token", "value": "${A}"}},
        {"header": {"name": "X Token", "value": "${A}"}},
        {"header": {"name": "X-Token", "value": []}},
        {"header": {"name": "X-Token", "value": ""}},
        {"basic": {"user": "", "password": "${A}"}},
        {"hmac": {"header": "X-Signature", "algorithm": "md5", "secret": "${A}"}},
        {"hmac": {"header": "X-Signature", "signed": "timestamp.body", "secret": "${A}"}},
        {"ip": {"allow": "300.0.0.1"}},
        {"ip": {"allow": []}},
    ],
)
def test_refused(written: dict[str, Any]) -> None:
    """What verifies nothing, or cannot be verified with, is refused; "no verification" has to be written down."""
    with pytest.raises(ValidationError):
        Verify.model_validate(written)


def test_rotation() -> None:
    """Several secrets are valid at once, in their order."""
    verify = Verify.model_validate({"header": {"name": "X-Token", "value": ["${NEW}", "${OLD}"]}})
    assert [secret.names for secret in verify.secrets] == [("NEW",), ("OLD",)]
