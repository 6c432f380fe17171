"""Deliveries that race for one person, by real workers at a real Tryton, which has no uniqueness of its own."""

from pathlib import Path

import pytest

from tests.conftest import PrivateValkey, wait_until
from tests.system import processes
from tests.system.processes import SystemProcesses, event
from tests.tryton.conftest import Tryton
from tests.tryton.test_live import ask

pytestmark = pytest.mark.tryton

BOOK = """\
sources:
  shop:
    kind: generic
    verify:
      none: only for tests
    read:
      type: body.event
destinations:
  crm:
    kind: tryton
    base: {url}
    database: {database}
    key: ${{TRYTON_KEY}}
    allow_private: true
    concurrency: 8
rules:
  - name: keep the contact
    when:
      source: shop
      type: person.changed
    then:
      - crm.upsert_contact:
          external_id: "{{{{ data.number | omit }}}}"
          email: "{{{{ data.mail | omit }}}}"
          first_name: Eva
          last_name: Muster
"""
BOTH = {"number": "race:1", "mail": "race@example.org"}


def test_one_new_person(tryton: Tryton, short_folder: Path, tmp_path: Path) -> None:
    """Eight at once of one new person, by id, by address and by both, with two workers, leave one party."""
    valkey = PrivateValkey(short_folder)
    valkey.start()
    try:
        with processes.house(valkey, tmp_path) as house:
            race(house, tryton)
    finally:
        valkey.stop(kill=True)
    (party,) = ask(tryton, "party.party", [["identifiers.code", "=", "race:1"]], "contact_mechanisms.value", "name")
    assert [each["value"] for each in party["contact_mechanisms"]] == ["race@example.org"]
    same = ask(tryton, "party.party", [["contact_mechanisms.value", "ilike", "race@example.org"]])
    assert [each["id"] for each in same] == [party["id"]]


def race(house: SystemProcesses, tryton: Tryton) -> None:
    """Put all at once and wait for the end."""
    book = house.folder / "book"
    book.mkdir()
    (book / "book.yaml").write_text(BOOK.format(url=tryton.url, database=tryton.database))
    house.work(workers=2, TRYTON_KEY=tryton.key)
    names = [
        BOTH,
        {"mail": "Race@Example.ORG"},
        {"number": "race:1"},
        BOTH,
        {"mail": "race@example.org"},
        {"number": "race:1"},
        {"mail": " race@example.org "},
        BOTH,
    ]
    house.put(*(event(f"e{at}", f"who{at}", **each) for at, each in enumerate(names)))
    wait_until(lambda: all(house.fate(f"e{at}").settled for at in range(8)), "all is settled", 60)
    assert {house.fate(f"e{at}").state for at in range(8)} == {"delivered"}
