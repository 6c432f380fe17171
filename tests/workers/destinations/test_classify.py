import pytest
from pydantic import ValidationError

from workers.destinations.classify import ErrorRule, SuccessTest, classify
from workers.http import HttpAnswer


def make(status: int, body: str = "", content_type: str = "application/json", **headers: str) -> HttpAnswer:
    """Return an answer."""
    return HttpAnswer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, content_type, body.encode()
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207, 299])
def test_done(status: int) -> None:
    """Every 2xx is done, with or without a body."""
    assert classify(make(status)) is None


@pytest.mark.parametrize(
    ("status", "failure", "code"),
    [
        (301, "transient", "redirected"),
        (304, "transient", "redirected"),
        (400, "permanent", "bad_request"),
        (401, "credential", "unauthorised"),
        (402, "credential", "payment_required"),
        (403, "credential", "forbidden"),
        (404, "permanent", "not_found"),
        (408, "transient", "request_timeout"),
        (409, "permanent", "conflict"),
        (418, "permanent", "refused"),
        (422, "permanent", "invalid"),
        (423, "transient", "locked"),
        (425, "transient", "too_early"),
        (429, "limited", "limited"),
        (500, "transient", "server_error"),
        (501, "permanent", "not_implemented"),
        (502, "transient", "server_error"),
        (503, "transient", "unavailable"),
        (504, "transient", "server_error"),
        (522, "transient", "unavailable"),
        (599, "transient", "server_error"),
    ],
)
def test_by_status(status: int, failure: str, code: str) -> None:
    """The status decides where nothing creates, also when the body is HTML."""
    failed = classify(make(status, "<html>", "text/html"))
    assert failed is not None
    assert (failed.failure, failed.code, failed.status) == (failure, code, status)


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (500, "ambiguous"),
        (502, "ambiguous"),
        (504, "ambiguous"),
        (524, "ambiguous"),
        (503, "transient"),
        (521, "transient"),
    ],
)
def test_creates(status: int, failure: str) -> None:
    """After a server error on a create nobody knows, unless the server says that it did nothing."""
    failed = classify(make(status), creates=True)
    assert failed is not None
    assert failed.failure == failure


@pytest.mark.parametrize(("status", "wait"), [(429, 58.0), (503, 58.0), (400, 0.0)])
def test_retry_after(status: int, wait: float) -> None:
    """The wait that is asked for is kept where waiting helps."""
    failed = classify(make(status, retry_after="58"))
    assert failed is not None
    assert failed.wait == wait


def test_first_rule_that_holds_decides() -> None:
    """Rules are asked in their order, before the table; all that one says must hold."""
    rules = [
        ErrorRule.model_validate({"status": [400], "contains": "Must Be Unique", "is": "transient", "code": "racing"}),
        ErrorRule.model_validate({"status": [400, 409], "path": "error.code", "equals": "exists", "is": "done"}),
        ErrorRule.model_validate({"content_type": "text/html", "is": "limited", "code": "blocked"}),
    ]

    def judge(answer: HttpAnswer) -> str:
        failed = classify(answer, rules=rules)
        return "done" if failed is None else f"{failed.failure} {failed.code}"

    assert judge(make(400, '{"message": "the code must be unique"}')) == "transient racing"
    assert judge(make(409, '{"error": {"code": "exists"}}')) == "done"
    assert judge(make(409, '{"error": {"code": "locked"}}')) == "permanent conflict"
    assert judge(make(403, "<html>", "text/html")) == "limited blocked"
    assert judge(make(200, "<html>", "text/html")) == "limited blocked"
    assert judge(make(403)) == "credential forbidden"


def test_rule_without_condition() -> None:
    """A rule that would hold for every answer is refused."""
    with pytest.raises(ValidationError, match="at least one of"):
        ErrorRule.model_validate({"is": "transient"})


def test_success_in_body() -> None:
    """A success must say so in its body, where the destination asks for it."""
    success = SuccessTest(path="success", equals=True)
    assert classify(make(200, '{"success": true}'), success=success) is None
    failed = classify(make(200, '{"success": false, "error": "eva@example.org"}'), success=success)
    assert failed is not None
    assert (failed.failure, failed.code) == ("permanent", "refused_in_body")
    assert "eva" not in f"{failed!r} {failed.hint}"
