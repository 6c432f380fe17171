from datetime import datetime

import pytest
from pydantic import ValidationError

from workers.destinations.classify import ErrorRule, SuccessTest, classify, until_midnight
from workers.http import HttpAnswer

#: What success looks like where `success` does not say it.
DONE_STATE = SuccessTest(path="state", equals="done")


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
    ("body", "xml", "done"),
    [
        ("", False, True),
        (" \r\n", False, True),
        ("null", False, True),
        ("7", False, True),
        ('{"id": 7}', False, True),
        ("OK", False, False),
        ("<id>7</id>", False, False),
        ("<id>7</id>", True, True),
        ('<?xml version="1.0"?><id>7</id>', True, True),
        ("<html><body>Log in</body></html>", False, False),
        ("<html><body>Log in</body></html>", True, False),
        ('<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">', True, False),
        ("<!-- cached --><!doctype html>", True, False),
        ("<HEAD>", True, False),
        ("7", True, True),
        ("OK", True, False),
        ("<id>7</id", True, False),
        ("<contact><id>7</id>", True, False),
        ("<contact/>", True, True),
        ("<center>Maintenance</center>", True, False),
        ("<errors><error>no</error></errors>", True, False),
        ('{"id": 7', False, False),
    ],
)
def test_done_means_shown(body: str, xml: bool, done: bool) -> None:
    """A 2xx counts with JSON, with XML where the vendor speaks that, or without any body; a page is none."""
    page, made = classify(make(200, body), xml=xml), classify(make(200, body), xml=xml, creates=True)
    if done:
        assert (page, made) == (None, None)
    else:
        assert page is not None
        assert made is not None
        assert (page.failure, page.code, page.status) == ("transient", "bad_answer", 200)
        assert (made.failure, made.code) == ("ambiguous", "bad_answer")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('{"success": false}', True),
        ('{"ok": false, "id": 7}', True),
        ('{"error": "no"}', True),
        ('{"errors": [{"field": "x"}], "data": null}', True),
        ('{"id": 7, "errors": ["of an older import"]}', False),  # a field of an object that is there
        ('{"error": null, "errors": []}', False),
        ('{"success": true}', False),
        ('{"data": {"success": false}}', False),
        ("[]", False),
    ],
)
def test_error_in_a_success(body: str, error: bool) -> None:
    """A 200 whose JSON says error at its top is none: in doubt after a create; the book may say what counts instead."""
    written, made = classify(make(200, body)), classify(make(200, body), creates=True)
    assert (written and (written.failure, written.code)) == (("transient", "error_in_body") if error else None)
    assert (made and (made.failure, made.code)) == (("ambiguous", "error_in_body") if error else None)
    done = ErrorRule.model_validate({"status": [200], "is": "done"})
    assert classify(make(200, body), rules=[done]) is None
    assert classify(make(200, '{"success": false, "state": "done"}'), success=DONE_STATE) is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            '{"message": "The number of digits in the value 84.0336134 for field Unit Price exceeds the limit."}',
            "they say: a number has more digits than they take",
        ),
        (
            '{"error": {"code": "invalid", "message": "eva@example.org is no address", "field": "email"}}',
            "they say: a value is not valid; fields: email; codes: invalid",
        ),
        (
            '{"details": [{"field": "lineItems[0].price", "violation": "NOTNULL", "message": "darf nicht null sein"}]}',
            "they say: something is missing; fields: lineItems[0].price; codes: NOTNULL",
        ),
        (
            '{"errors": {"email": ["Contact already exists with this email eva@example.org"]}}',
            "they say: there is one already; fields: email",
        ),
        (
            '{"errors": {"eva@example.org": ["no"], "Eva Muster": ["no"]}}',
            "refused with HTTP 422, and no reason that we know",
        ),
        ('{"field": "Eva Muster", "code": 4711, "source": "eva@example.org", "type": "+4930123"}', ""),
        ("<h1>Eva Muster</h1>", ""),
        ("", ""),
        ("[" * 50_000, ""),
        ('{"type": "Muster", "source": "Muster", "code": "Muster", "email": "eva@example.org"}', ""),
        ('{"contact": {"category": "Muster"}, "errors": [{"input": {"field": "Muster"}, "value": "Muster"}]}', ""),
        (f'{{"errors": [{{"field": "{"a" * 100_000} "}}]}}', ""),
        (
            '{"category": "VALIDATION_ERROR", "errors": [{"code": "DOUBLE", "context": {"propertyName": ["email"]}}]}',
            "they say: fields: email; codes: DOUBLE",
        ),
        (
            '{"IssueList": [{"i18nKey": "invalid_value", "source": "email", "type": "validation_failure"}]}',
            "they say: fields: email; codes: invalid_value, validation_failure",
        ),
    ],
)
def test_reason_without_a_value(body: str, reason: str) -> None:
    """Of a refusal the names of fields, codes and known sentences are kept, and no value; it is never empty."""
    failed = classify(make(422, body))
    assert failed is not None
    assert failed.hint == (reason or "refused with HTTP 422, and no reason that we know")


def test_rule_for_a_vendor_that_answers_in_words() -> None:
    """Where a vendor says success in words, the book can tell, and that counts."""
    rule = ErrorRule.model_validate({"status": [200], "contains": "OK", "is": "done"})
    assert classify(make(200, "OK", "text/plain"), rules=[rule]) is None


def test_answer_that_was_cut() -> None:
    """JSON that is too long to be read to its end is a success; a page is none, however long."""
    assert classify(HttpAnswer(200, {}, "", b'{"id": 7', cut=True)) is None
    assert classify(HttpAnswer(200, {}, "", b"<html>", cut=True)) is not None


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
        (421, "transient", "unavailable"),
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


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        ("2026-11-29T12:00:00+00:00", 3600.0),
        ("2026-11-29T22:30:00+00:00", 1800.0),
        ("2026-11-29T22:59:59.900000+00:00", 1.0),
        ("2026-11-29T23:00:00+00:00", 3600.0),
    ],
)
def test_until_midnight(now: str, seconds: float) -> None:
    """A quota of a day is asked for again when the day ends in its zone, and each hour until then."""
    assert until_midnight("Europe/Berlin", datetime.fromisoformat(now)) == pytest.approx(seconds)
