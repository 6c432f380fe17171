"""The audit over the private port: what is done, searched and seen by the command line stands there."""

import csv
import io
import json

from console.client import ClientSettings, ConsoleClient
from tests.console.api.stuck_things import StuckConsole


def test_audit(relais: StuckConsole) -> None:
    """Each act, each search for a person and each look says who and why; the address that was searched for nowhere."""
    client = ConsoleClient(ClientSettings(console_url=relais.url))
    four = {"verb": "drop", "filter": {"ids": ["a", "b", "c", "d"]}, "expect": 0}
    client.post("/jobs", {**four, "reason": "=1+1"})
    client.post("/people/find", {"text": "eva@example.org", "reason": "she asks"})
    client.post("/jobs", {"verb": "release", "expect": "any"})
    found = json.loads(relais("audit", "list", "--json"))
    assert [(line["verb"], line["count"], line["reason"]) for line in found] == [
        ("release", 0, ""),
        ("find_person", 1, "she asks"),
        ("find_person", 1, "she asks"),
        ("drop", 0, "=1+1"),
    ]
    assert found[3]["what"] == "dead: a, b, c and 1 more"
    assert "eva@" not in json.dumps(found)
    assert len({line["by"] for line in found}) == 1
    rows = list(csv.DictReader(io.StringIO(relais("audit", "list", "--csv", "--verb", "drop"))))
    assert [(row["verb"], row["count"], row["reason"]) for row in rows] == [("drop", "0", "'=1+1")]
    assert "drop" in relais("audit", "list", "--by", found[0]["by"])
    assert "Nobody has done" in relais("audit", "list", "--by", "nobody")
