"""A book for the tests of the receiver, and the catalogue to check it with."""

from collections.abc import Mapping
from pathlib import Path

from receiver import sources
from receiver.rulebook import RulebookWatcher
from rules import event_types
from rules.catalogue import Catalogue

CATALOGUE = Catalogue({name: each.kind for name, each in sources.SOURCES.items()}, {}, event_types.TYPES)
#: Invented for these tests.
ENVIRON = {
    "SD_PASSWORD": "geheim",
    "AT_TOKEN": "new",
    "AT_TOKEN_OLD": "old",
    "SHOP_SECRET": "shop",
    "CMX": "cmx-pass",
    "TEL": "tel-key",
    "ML": "ml-token",
}

TEXT = """
sources:
  sd_nord:
    kind: seminardesk
    verify:
      basic:
        user: relais
        password: ${SD_PASSWORD}
  sd_streng:
    kind: seminardesk
    on_invalid: refuse
    verify:
      basic:
        user: relais
        password: ${SD_PASSWORD}
  at:
    kind: activetrail
    verify:
      header:
        name: X-Relais-Token
        value:
          - ${AT_TOKEN}
          - ${AT_TOKEN_OLD}
  cmx:
    kind: cmxorganize
    verify:
      basic:
        user: cmx
        password: ${CMX}
  export:
    kind: cmxorganize
    verify:
      basic_key:
        value:
          - ${CMX}
          - ${AT_TOKEN_OLD}
  shop:
    kind: generic
    retain: 7d
    verify:
      hmac:
        header: X-Signature
        prefix: sha256=
        secret: ${SHOP_SECRET}
    read:
      id: body.id
      type: body.event
      order_key: body.customer.email
  proof:
    kind: generic
    verify:
      hmac:
        header: X-Proof
        secret: ${SHOP_SECRET}
    read:
      type: body.event
  typed:
    kind: generic
    verify:
      none: a source for tests
    fields:
      total: number
    read:
      id: body.id
      type: body.event
  url:
    kind: activetrail
    verify:
      query:
        name: token
        value:
          - ${AT_TOKEN}
          - ${AT_TOKEN_OLD}
  calls:
    kind: generic
    verify:
      query:
        name: token
        value: ${AT_TOKEN}
    get_is_event: true
    read:
      id: body.call
      type: call.ended
  greeted:
    kind: generic
    verify:
      hmac:
        header: X-Hub-Signature-256
        prefix: sha256=
        secret: ${SHOP_SECRET}
      handshake:
        name: hub.verify_token
        value: ${AT_TOKEN}
    handshake:
      head: true
      echo: query.hub.challenge
      origins: [events.example.org]
    answer:
      body: EVENT_RECEIVED
    items: body.entry
    read:
      type: body.object
  tel:
    kind: magnetis
    country: FR
    verify:
      hmac:
        header: X-CALLTRACKING-SIGNATURE
        algorithm: sha1
        secret: ${TEL}
  mailing:
    kind: maileon
    verify:
      query:
        name: token
        value: ${ML}
  half:
    kind: activetrail
    verify:
      header:
        name: X-Relais-Token
        value: ${NOT_SET}
"""

#: Kind of the recorded bodies -> source of this book.
SOURCES = {
    "seminardesk": "sd_nord",
    "activetrail": "at",
    "cmxorganize": "cmx",
    "generic": "shop",
    "magnetis": "tel",
    "maileon": "mailing",
}


def write(folder: Path, text: str = TEXT) -> Path:
    """Write a book and return its folder."""
    book = folder / "book"
    book.mkdir(exist_ok=True)
    (book / "sources.yaml").write_text(text)
    return book


def holder(folder: Path, text: str = TEXT, environ: Mapping[str, str] = ENVIRON) -> RulebookWatcher:
    """Return a holder of the book, loaded."""
    held = RulebookWatcher(write(folder, text), CATALOGUE, environ)
    held.load()
    return held
