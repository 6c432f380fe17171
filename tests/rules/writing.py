"""What the tests of `rules` write books and events with."""

import textwrap
from typing import Any

from rules.compiler import compilation
from rules.compiler.compilation import Checked
from rules.event import Event
from rules.rulebook import Rulebook
from tests.rules.catalogue import CATALOGUE

SYSTEMS = """
sources:
  sd_nord:
    kind: seminardesk
    verify:
      none: only for the tests of this module
    api: sd_nord_api
  sd_sued:
    kind: seminardesk
    verify:
      none: only for the tests of this module
    api: sd_sued_api
  at:
    kind: activetrail
    verify:
      none: only for the tests of this module
  cmx:
    kind: cmxorganize
    verify:
      none: only for the tests of this module
  shop:
    kind: generic
    verify:
      none: only for the tests of this module
    read:
      type: body.event
destinations:
  maileon_main:
    kind: maileon
    api_key: ${MAILEON_API_KEY}
  crm:
    kind: rest
    base: https://crm.example.org
    auth:
      bearer: ${CRM_TOKEN}
  invoicing:
    kind: rest
    base: https://invoices.example.org
    auth:
      bearer: ${INVOICING_TOKEN}
  sd_nord_api:
    kind: seminardesk
    base: https://nord.example.org
    api_key: ${SD_NORD_API_KEY}
  sd_sued_api:
    kind: seminardesk
    base: https://sued.example.org
    api_key: ${SD_SUED_API_KEY}
"""


def checked(*texts: str) -> Checked:
    """Return what the check says of rules beside the systems above."""
    return checked_with(SYSTEMS, *texts)


def checked_with(systems: str, *texts: str) -> Checked:
    """Return the same with other systems."""
    files = {"00-systems.yaml": systems.encode()}
    files |= {f"{number:02}-rules.yaml": textwrap.dedent(text).encode() for number, text in enumerate(texts, 1)}
    return compilation.compile_book(files, CATALOGUE)


def book(*texts: str) -> Rulebook:
    """Return a book of rules beside the systems above."""
    found = checked(*texts)
    assert found.book is not None, "\n".join(str(problem) for problem in found.problems)
    return found.book


def event(type: str = "contact.unsubscribed", source: str = "at", body: bytes = b"{}", **data: Any) -> Event:
    """Return an event with this data."""
    kinds = {"sd_nord": "seminardesk", "sd_sued": "seminardesk", "at": "activetrail", "cmx": "cmxorganize"}
    return Event(
        id="e1",
        source=source,
        kind=kinds.get(source, "generic"),
        type=type,
        received_at="2026-01-15T10:00:00.000Z",
        body=body,
        data=data,
        order_key="email:eva@example.org",
    )
