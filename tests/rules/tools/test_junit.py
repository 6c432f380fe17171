from xml.etree import ElementTree

from rules.tools import junit
from rules.tools.junit import JUnitCase


def test_write() -> None:
    """A case that failed says why, and a sign that XML cannot hold does not spoil the file."""
    text = junit.write(
        "replay", [JUnitCase("a.json", "shop", "refused\x00", "one\ntwo", {"time": "0.1"}), JUnitCase("b", "shop")]
    )
    suite = ElementTree.fromstring(text)  # noqa: S314 - our own
    assert suite.attrib == {"name": "replay", "tests": "2", "failures": "1", "errors": "0"}
    first, second = suite
    assert first.attrib == {"name": "a.json", "classname": "shop", "time": "0.1"}
    assert [(each.attrib["message"], each.text) for each in first] == [("refused?", "one\ntwo")]
    assert len(second) == 0
