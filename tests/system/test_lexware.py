"""A create at Lexware Office whose answer is lost, while others ask for the same."""

from collections.abc import Iterator

import pytest

from sandbox import faults, server
from sandbox.server import Running
from tests.conftest import wait_until
from tests.system.processes import SystemProcesses, event

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
    kind: lexware
    base: {base}
    api_key: ${{LEXWARE_API_KEY}}
    allow_private: true
    limit: 50/s
    find_lag: 1
rules:
  - name: make the invoice
    when:
      source: shop
      type: order.paid
    then:
      - crm.create_invoice:
          reference: "{{{{ data.reference }}}}"
          customer:
            email: "{{{{ data.mail }}}}"
            name: Eva Muster
            address: {{street: Weg 1, postal_code: "10115", city: Berlin}}
          lines:
            - {{text: Seminar, unit_price: 120, tax_rate: 0.19}}
"""


@pytest.fixture
def lexware() -> Iterator[Running]:
    """The stand-in."""
    with server.in_thread() as one:
        yield one


def test_doubtful_create(house: SystemProcesses, lexware: Running) -> None:
    """An invoice that was stored and answered 504 is found by reading the customer's; who races for it makes none."""
    book = house.folder / "book"
    book.mkdir()
    (book / "book.yaml").write_text(BOOK.format(base=lexware.base("lexware")))
    fault = {"vendor": "lexware", "method": "POST", "path": "/invoices", "status": 504, "after_effect": True}
    lexware.world.faults.add(faults.read(fault, frozenset(lexware.world.vendors)))
    house.work(workers=2, LEXWARE_API_KEY=lexware.world.accounts.lexware_api_key)
    mails = ["eva@example.org"] * 4 + ["kim@example.org"] * 2
    ids = [f"e{number}" for number in range(len(mails))]
    house.put(
        *(
            event(id, f"who-{id}", type="order.paid", reference="SD-1", mail=mail)
            for id, mail in zip(ids, mails, strict=True)
        )
    )
    wait_until(lambda: all(house.fate(id).settled for id in ids), "all is settled", 60)
    assert {house.fate(id).state for id in ids} == {"delivered"}
    invoices = [each for each in lexware.world.lexware.documents.values() if each["voucherType"] == "invoice"]
    assert [each["remark"] for each in invoices] == ["Ref. SD-1"]
    codes = [attempt["code"] for id in ids for sent in house.fate(id).deliveries for attempt in sent.attempts]
    assert codes.count("already_there") == len(ids)
    assert len(codes) == len(ids) + 1, "the one in doubt was tried twice, the others found it"
