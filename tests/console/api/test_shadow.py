from typing import Any

import pytest

from console.client import ClientSettings, ConsoleClient
from console.errors import UserError
from mailroom import INBOX, Mailroom, RoomRequest, Settlement, ledger, shadow
from rules.compiler import loader
from tests.conftest import PrivateValkey
from tests.console.api.console_process import DAY, asked, event, with_mailroom
from tests.console.api.stuck_things import StuckConsole

SYSTEMS = """
sources:
  shop:
    kind: generic
    verify:
      none: only a test posts here
"""
RULES = """
rules:
  - name: greet
    when:
      source: shop
    then: nothing
"""


def post(url: str, path: str, body: dict[str, Any]) -> Any:
    return ConsoleClient(ClientSettings(console_url=url)).post(path, body)


def test_shadow(relais: StuckConsole, valkey: PrivateValkey, tmp_path: Any) -> None:
    """A book is checked and observed until it is ended; what differs is told by rule, with the latest events."""
    old = {"10.yaml": SYSTEMS + RULES}
    more = SYSTEMS.replace("shop:", "crm:").replace("sources:\n", "")
    new = {"10.yaml": SYSTEMS + more + RULES.replace("greet", "welcome")}
    (tmp_path / "10.yaml").write_text(old["10.yaml"], encoding="utf-8")
    current = loader.fingerprint(tmp_path)
    (tmp_path / "10.yaml").write_text(new["10.yaml"], encoding="utf-8")
    version = loader.fingerprint(tmp_path)
    assert "No book is observed" in relais("rules", "shadow")

    async def keep(mailroom: Mailroom) -> None:
        await mailroom.keep_book(current, old)

    with_mailroom(valkey, keep)
    begun = relais("rules", "shadow", str(tmp_path))
    assert f"{version} is observed" in begun
    assert "the source crm is not in force" in begun

    async def route(mailroom: Mailroom) -> None:
        await mailroom.beat("d1", register=True)
        await mailroom.put([event("e1")])
        (lease,) = (await mailroom.take("d1", "r", [RoomRequest(INBOX, 1)])).leases
        differs = [("added", "crm.add_note", "welcome", "")]
        line = ledger.routed(
            source="shop",
            type="order.paid",
            received=f"{DAY}T10:00:00.000Z",
            book=current,
            fired=["greet"],
            made=[],
            shadow={"book": version, "differs": differs},
        )
        page = f"@shadow:{version}"
        counter = f"{page} differs\n{page} added|crm.add_note|welcome\n>shadowed:{version} e1"
        await mailroom.settle("d1", "s", [Settlement(lease, "e1", "done", "e1", DAY, line=line, counter=counter)])

    with_mailroom(valkey, route)
    found = relais.json("rules", "shadow")
    assert (found["version"], found["in_force"], found["unknown_sources"]) == (version, current, ["crm"])
    assert found["events"] == {"same": 0, "differs": 1, "failed": 0}
    ((rule, change, action, count),) = [tuple(each.values())[:4] for each in found["differences"]]
    assert (rule, change, action, count) == ("welcome", "added", "crm.add_note", 1)
    assert [(each["event"], each["differs"][0]["rule"]) for each in found["latest"]] == [("e1", "welcome")]
    assert "would send in addition" in relais("rules", "shadow")
    assert "would send in addition crm.add_note" in relais("events", "show", "e1")
    assert relais("rules", "shadow", "--end") == f"{version} is no longer observed.\n"
    assert asked(relais.url, "/book/shadow") == {"version": None, "in_force": current}
    assert relais("rules", "shadow", "--end") == "No book was observed.\n"


def test_refused(relais: StuckConsole, valkey: PrivateValkey, tmp_path: Any) -> None:
    """A book with errors, or the one in force, is not observed."""
    (tmp_path / "10.yaml").write_text(SYSTEMS + RULES, encoding="utf-8")

    async def keep(mailroom: Mailroom) -> None:
        await mailroom.keep_book(loader.fingerprint(tmp_path), {"10.yaml": SYSTEMS + RULES})

    with_mailroom(valkey, keep)
    with pytest.raises(UserError, match="bad_book"):
        post(relais.url, "/book/shadow/begin", {"files": {"10.yaml": "rules: [1]\n"}})
    assert "in_force: these files are the book in force" in relais("rules", "shadow", str(tmp_path), status=1)

    async def nobody(mailroom: Mailroom) -> None:
        assert await shadow.find_version(mailroom) == ""

    with_mailroom(valkey, nobody)
