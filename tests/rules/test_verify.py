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
        {
            "hmac": {
                "header": ["Stripe-Signature", "X-Other"],
                "secret": "${A}",
                "signed": "{timestamp}.{body}",
                "parts": {"signature": "v1", "timestamp": "t"},
            }
        },
        {
            "hmac": {
                "header": "X-S",
                "secret": "${A}",
                "encoding": "base64url",
                "signed": "POST /in/{header.X-Id}{body}",
            }
        },
        {"standard_webhooks": {"secret": "${A}"}},
        {"standard_webhooks": {"secret": "${A}", "prefix": "acme"}},
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


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"signed": "{timestamp}."}, "must hold {body}"),
        ({"signed": "x"}, "must hold {body}"),
        ({"signed": "{url}{body}"}, "must be a template"),
        ({"signed": "{body"}, "must be a template"),
        ({"signed": "{{body}}"}, "must be a template"),
        ({"signed": "{header.}{body}"}, "must be the name of a header"),
        ({"signed": "{header.X Y}{body}"}, "must be the name of a header"),
        ({"signed": "{timestamp}.{body}"}, "go together"),
        ({"timestamp_header": "X-T"}, "go together"),
        ({"parts": {"signature": "v1", "timestamp": "t"}}, "go together"),
        (
            {
                "signed": "{timestamp}.{body}",
                "timestamp_header": "X-T",
                "parts": {"signature": "v1", "timestamp": "t"},
            },
            "in one place",
        ),
        ({"signed": "{timestamp}.{body}", "timestamp_header": "x-s"}, "can never match"),
        ({"signed": "{header.x-S}{body}"}, "can never match"),
        ({"parts": {"signature": "v1"}, "prefix": "v1="}, "no place beside it"),
        ({"signed": "{timestamp}{body}", "parts": {"signature": "t", "timestamp": "t"}}, "can never match"),
        ({"parts": {"signature": "v1="}}, "name of a part"),
        ({"prefix": " sha256="}, "can never match"),
        ({"prefix": "schlüssel="}, "can never match"),
        ({"header": []}, "at least 1"),
        ({"tolerance": "5m"}, "none is read"),
        ({"signed": "{timestamp}{body}", "timestamp_header": "T", "tolerance": 0}, "1s or more"),
    ],
)
def test_signatures_that_never_match(written: dict[str, Any], says: str) -> None:
    """A composition under which nothing could ever be verified, or anything could be exchanged, is refused."""
    with pytest.raises(ValidationError, match=says):
        Verify.model_validate({"hmac": {"header": "X-S", "secret": "${A}", **written}})
