"""All of Relais with stand-ins of the vendors, for a browser to look at, fed with webhooks of invented people.

Comes in: a folder. Goes out: addresses, links to come in by, events. Never reaches a vendor.
"""

import base64
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from console.client import ClientSettings, ConsoleClient
from tests.conftest import wait_until
from tests.console.conftest import RelaisProcess

BOOK = """\
sources:
  shop:
    kind: generic
    verify:
      basic: {user: shop, password: "${SHOP_PASSWORD}"}
    read: {id: body.id, type: body.event}
  fair:
    kind: generic
    verify:
      basic: {user: shop, password: "${SHOP_PASSWORD}"}
    read: {id: body.id, type: body.event}
    retain: 7d
destinations:
  crm:
    kind: rest
    base: https://crm.example.org
    auth: {bearer: "${CRM_TOKEN}"}
rules:
  - name: orders
    when: {source: shop, type: order.paid}
    then:
      - crm.upsert_contact: {email: "{{ data.email }}", last_name: "{{ data.name }}"}
  - name: visitors of the fair
    when: {source: fair, type: visit}
    then:
      - crm.upsert_contact: {email: "{{ data.email }}", last_name: "{{ data.name }}"}
"""
ENVIRON = {"SHOP_PASSWORD": "shop-password", "CRM_TOKEN": "crm-token"}
NAMES = ("Ada", "Ben", "Cem", "Dora", "Emil", "Fatima", "Gero", "Hanna")


class BrowserSite:
    """One running Relais."""

    def __init__(self, folder: Path) -> None:
        self.book = folder / "book" / "book.yaml"
        self.book.parent.mkdir()
        self.book.write_text(BOOK)
        environ = {**ENVIRON, "RELAIS_BOOK": str(self.book.parent), "RELAIS_CONSOLE_PORT": "0"}
        arguments = ("up", "--sandbox", "--port", "0", "--json")
        self.process = RelaisProcess(*arguments, folder=folder, environ=environ)
        self.process.wait_for('"pages":')
        self.places: Mapping[str, str] = json.loads(next(one for one in self.process.lines if '"pages":' in one))
        self.base = f"{self.places['console']}/ui"
        self._client = ConsoleClient(ClientSettings(console_url=self.places["console"]))
        self._count = 0

    def link(self, role: str = "admin", name: str = "eva", **more: bool) -> str:
        """Return a link by which somebody comes in once."""
        body = {"name": name, "role": role, "payloads": False, "reason": "a test", **more}
        return self.places["console"] + str(self._client.post("/users/link", body)["link"])

    def send(self, source: str = "shop", event: str = "order.paid", **fields: Any) -> str:
        """Send a webhook of an invented person; return the id of its event."""
        self._count += 1
        name = NAMES[self._count % len(NAMES)]
        body = {"id": f"m{self._count}", "event": event, "name": name, "email": f"{name.lower()}@example.org", **fields}
        body = {key: value for key, value in body.items() if value is not None}
        password = base64.b64encode(f"shop:{ENVIRON['SHOP_PASSWORD']}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.places['receiver']}/in/{source}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Basic {password}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            found: str = json.loads(answer.read())["events"][0]["id"]
        return found

    def events(self, **query: str) -> Any:
        """Return what the console says of events."""
        return self._client.get("/events?" + "&".join(f"{name}={text}" for name, text in query.items()))

    def find(self, text: str) -> str:
        """Return the keyed hash by which the events of a person are found, once there is one."""
        ask = {"text": text, "reason": "a test"}
        wait_until(lambda: any(one["events"] for one in self._client.post("/people/find", ask)["readings"]), "a person")
        found: str = next(one["who"] for one in self._client.post("/people/find", ask)["readings"] if one["events"])
        return found

    def await_count(self, count: int, **query: str) -> None:
        """Wait until there are so many events of a kind."""
        wait_until(lambda: self.events(total="true", **query)["total"] == count, f"{count} events with {query}")

    def mend(self, text: str, other: str) -> None:
        """Change the book, as somebody with an editor would."""
        self.book.write_text(self.book.read_text().replace(text, other))

    def stop(self) -> None:
        """Stop everything."""
        self.process.stop()
