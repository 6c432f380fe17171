import pytest
from pydantic import ValidationError

from console.jobs import JobFilter, JobOrder


def order(text: str) -> JobOrder:
    return JobOrder.model_validate_json(text)


def test_where() -> None:
    """A verb acts where it can, first of all at the place that is meant by it alone."""
    assert order('{"verb": "retry", "dry": true}').where == "dead"
    assert order('{"verb": "reroute", "dry": true}').where == "unmatched"
    assert order('{"verb": "drop", "place": "refused", "expect": 3, "rate": 5}').where == "refused"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"verb": "skip", "place": "dead", "dry": true}', "skip acts on boxes"),
        ('{"verb": "retry"}', "say how many are expected"),
        ('{"verb": "explode", "dry": true}', "verb"),
        ('{"verb": "retry", "dry": true, "filter": {"colour": "red"}}', "colour"),
        ('{"verb": "retry", "dry": true, "rate": -1}', "rate"),
        ('{"verb": "release", "place": "held", "dry": true}', "of which source"),
        ('{"verb": "discard", "filter": {"source": "shop"}, "expect": 1}', "say why"),
    ],
)
def test_refused(text: str, says: str) -> None:
    """An order that cannot be carried out as it stands is refused, and says why."""
    with pytest.raises(ValidationError, match=says):
        order(text)


def test_tell() -> None:
    """The audit is told what was chosen, and the first ids by name."""
    assert JobFilter(destination="crm", code="invalid", ids=["a", "b"]).tell() == "destination=crm code=invalid a, b"
    assert JobFilter(ids=[str(n) for n in range(9)]).tell() == "0, 1, 2 and 6 more"
    assert JobFilter(since=1_800_000_000_000).tell() == "since=2027-01-15T08:00:00.000Z"
    assert JobFilter().tell() == "all"
