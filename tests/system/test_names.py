"""One thing under several names, from the event to the other side: order and number of objects, seen at the CRM.

Every event has an order key of its own, so that nothing but the names of the deliveries keeps them in order.
"""

import pytest

from tests.conftest import wait_until
from tests.system.processes import SystemProcesses, event

RULES = """\
  - name: keep the contact
    when:
      source: shop
      type: person.changed
    then:
      - crm.upsert_contact:
          external_id: "{{ data.number | omit }}"
          email: "{{ data.mail | omit }}"
          new_email: "{{ data.new_mail | omit }}"
          last_name: "{{ data.name }}"
  - name: make the invoice
    when:
      source: shop
      type: order.paid
    then:
      - crm.create_invoice:
          reference: "{{ data.reference }}"
          customer:
            email: "{{ data.mail }}"
          lines:
            - text: Seminar
              unit_price: 120
"""
A, B, C = "a@example.org", "b@example.org", "c@example.org"


def changed(house: SystemProcesses, id: str, **names: str) -> None:
    """Put an event of a person of their own."""
    house.put(event(id, f"who-{id}", **names))


def delivered(house: SystemProcesses, *ids: str) -> None:
    """Wait until all is done; nothing may be left that waits, and no key of boxes or names."""
    wait_until(lambda: all(house.fate(id).settled for id in ids), f"{', '.join(ids)} settled", 60)
    assert {house.fate(id).state for id in ids} == {"delivered"}
    assert [key for kind in ("b", "also", "weak", "under") for key in house.store.keys(f"relais:{{p0}}:{kind}:*")] == []


def attempted(house: SystemProcesses, email: str) -> bool:
    """Whether a write with this address has reached the other side."""
    return any(seen.body and seen.body.get("email") == email for seen in house.far.requests())


@pytest.mark.parametrize("stored", [False, True], ids=["504", "504 but stored"])
def test_newer_address_wins(house: SystemProcesses, stored: bool) -> None:
    """`{X, a}` gets a 504 and `{X, b}` follows: b is what stays, on one contact; others are not held up meanwhile."""
    house.write(RULES)
    house.far.fail(method="POST", path="/contacts", who=A, status=504, after_effect=stored)
    house.work()
    changed(house, "e1", number="X", mail=A)
    wait_until(lambda: attempted(house, A), "the first one is sent", 20)
    changed(house, "e2", number="X", mail=B)
    changed(house, "e3", mail=C)
    delivered(house, "e1", "e2", "e3")
    assert sorted(house.far.emails()) == [B, C]
    assert house.far.contact(B)["external_id"] == "X"
    writes = [seen.body.get("email") for seen in house.far.requests() if seen.method in ("POST", "PATCH")]
    # The retry of what was stored finds the contact by its address, and does not write that again.
    assert [email for email in writes if email != C] == [A, None if stored else A, B]
    assert writes.index(C) < 2, "who shares no name goes before the retry"


def test_two_names_at_once(house: SystemProcesses) -> None:
    """`{email, external_id}` and `{external_id}`, at once and slowly answered: one contact."""
    house.write(RULES)
    house.far.fail(path="/contacts", times=None, delay=0.3)
    house.work(workers=2)
    changed(house, "e1", number="X", mail=A)
    changed(house, "e2", number="X")
    changed(house, "e3", mail=A)
    delivered(house, "e1", "e2", "e3")
    assert house.far.emails() == [A]
    assert house.far.contact(A)["external_id"] == "X"


def test_rename(house: SystemProcesses) -> None:
    """A rename of a to b is delayed by a 504; what comes for b waits for it and makes no second contact."""
    house.write(RULES)
    house.work()
    changed(house, "e1", mail=A)
    delivered(house, "e1")
    house.far.fail(method="PATCH", status=504)
    changed(house, "e2", mail=A, new_mail=B)
    wait_until(lambda: len(house.far.requests("PATCH")) == 1, "the rename is sent", 20)
    changed(house, "e3", mail=B)
    delivered(house, "e2", "e3")
    assert house.far.emails() == [B]
    assert house.far.contact(B)["last_name"] == "e3"


def test_one_reference(house: SystemProcesses) -> None:
    """One reference for two customers' addresses, at once: one invoice, and the second delivery finds it there."""
    house.write(RULES)
    house.far.fail(path="/invoices", times=None, delay=0.3)
    house.work(workers=2)
    house.put(
        event("e1", "who-e1", type="order.paid", reference="SD-1", mail=A),
        event("e2", "who-e2", type="order.paid", reference="SD-1", mail=B),
        event("e3", "who-e3", type="order.paid", reference="SD-2", mail=C),
    )
    delivered(house, "e1", "e2", "e3")
    assert sorted(each["reference"] for each in house.far.invoices.values()) == ["SD-1", "SD-2"]
    notes = [attempt["code"] for id in ("e1", "e2") for sent in house.fate(id).deliveries for attempt in sent.attempts]
    assert sorted(notes) == ["", "already_there"]
