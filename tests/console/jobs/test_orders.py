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
    ],
)
def test_refused(text: str, says: str) -> None:
    """An order that cannot be carried out as it stands is refused, and says why."""
    with pytest.raises(ValidationError, match=says):
        order(text)


def test_tell() -> None:
    """The audit is told what was chosen, and ids by their number."""
    assert JobFilter(destination="crm", code="invalid", ids=["a", "b"]).tell() == "destination=crm code=invalid 2 by id"
    assert JobFilter().tell() == "all"
