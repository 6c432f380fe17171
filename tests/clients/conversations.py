"""What the clients that vendors' users run say to the sandbox, and what they make of its answers.

Runs in the clients' own venv: `python conversations.py NAME URL KEY`. Goes out: JSON of what the client has read.
"""

import datetime
import json
import sys
from typing import Any

Json = dict[str, Any]


def lexoffice_client(url: str, key: str) -> Json:
    """Ask lexoffice-client: it validates each answer by its own models."""
    from lexoffice_client.client import LexofficeClient  # type: ignore[import-not-found]
    from lexoffice_client.contact import ContactWritable  # type: ignore[import-not-found]
    from lexoffice_client.invoice import InvoiceWritable  # type: ignore[import-not-found]

    client = LexofficeClient(key, url)
    person = {"version": 0, "roles": {"customer": {}}, "person": {"firstName": "Eva", "lastName": "Muster"}}
    mails = {"emailAddresses": {"business": ["eva@example.org"]}}
    made = client.create_contact(ContactWritable.model_validate(person | mails))
    shown = client.retrieve_contact(made.id)
    found = client.filter_contacts(email="eva@example.org")
    invoice = {
        "voucherDate": datetime.date.today().strftime("%Y-%m-%dT00:00:00.000+01:00"),
        "address": {"contactId": str(made.id)},
        "lineItems": [
            {
                "type": "custom",
                "name": "Seminar",
                "quantity": 1,
                "unitName": "Stück",
                "unitPrice": {"currency": "EUR", "netAmount": 100, "taxRatePercentage": 19},
            }
        ],
        "totalPrice": {"currency": "EUR"},
        "taxConditions": {"taxType": "net"},
        "shippingConditions": {"shippingType": "none"},
    }
    document = client.create_invoice(InvoiceWritable.model_validate(invoice), finalize=True)
    read = client.retrieve_invoice(document.id)
    return {
        "name": shown.person.lastName,
        "found": [str(each.id) for each in found.content] == [str(made.id)],
        "status": read.voucherStatus.value,
        "gross": read.totalPrice.totalGrossAmount,
    }


def lexoffice_py(url: str, key: str) -> Json:
    """Ask lexoffice-py, which reads lists page by page."""
    from lexoffice_py import client as module  # type: ignore[import-not-found]

    # It knows one host only, and joins paths to its root.
    module.urljoin = lambda base, path: base + "/" + path.removeprefix("/").removeprefix("v1/")
    client = module.Lexoffice(key)
    client.BASE_URL = url
    contacts = client.get_contacts()
    invoices = client.get_voucherlist(["invoice"], ["open"])
    [read] = client.get_invoices([each["id"] for each in invoices])
    return {"contacts": len(contacts), "invoices": len(invoices), "number": read["voucherNumber"]}


def hubspot_sdk(url: str, key: str) -> Json:
    """Ask HubSpot's own SDK."""
    from hubspot_sdk import HubSpot  # type: ignore[import-not-found]

    contacts = HubSpot(access_token=key, base_url=url, max_retries=0).crm.objects.contacts
    made = contacts.create(properties={"email": "eva@example.org", "firstname": "Eva"}, associations=[])
    contacts.update("eva@example.org", id_property="email", properties={"lastname": "Muster"})
    shown = contacts.get("eva@example.org", id_property="email", properties=["email", "firstname", "lastname"])
    is_eva = {"propertyName": "email", "operator": "EQ", "value": "eva@example.org"}
    found = contacts.search(filter_groups=[{"filters": [is_eva]}], properties=["email"], limit=10, after="", sorts=[])
    return {"same": made.id == shown.id, "properties": dict(shown.properties), "total": found.total}


CONVERSATIONS = {each.__name__: each for each in (lexoffice_client, lexoffice_py, hubspot_sdk)}

if __name__ == "__main__":
    name, url, key = sys.argv[1:]
    print(json.dumps(CONVERSATIONS[name](url, key)))
