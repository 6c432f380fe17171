"""How an attempt ended."""

from typing import get_args

from mailroom.ledger import Outcome
from workers.outcome import Done, Failed, Failure


def test_failed() -> None:
    """A failure shows its code and nothing else, however much it knows."""
    failed = Failed("limited", "rate_limited", wait=7.5, status=429, hint="too many requests")
    assert str(failed) == "rate_limited"
    assert (failed.failure, failed.code, failed.wait, failed.status) == ("limited", "rate_limited", 7.5, 429)
    assert failed.hint == "too many requests"
    plain = Failed("transient", "timeout")
    assert (plain.wait, plain.status, plain.hint) == (0.0, 0, "")


def test_done() -> None:
    """What is done without a request has no status and no result."""
    assert (Done().result, Done().note, Done().status) == ({}, "", 0)
    assert Done(result={"id": 1}) == Done(result={"id": 1})


def test_words_of_the_ledger() -> None:
    """The ledger knows each class of failure, and done."""
    assert {*get_args(Failure), "done"} == set(get_args(Outcome))
