import dataclasses

from rules.catalogue import StandIn
from rules.compiler import compilation
from rules.rulebook import AlertSettings, Rulebook
from tests.rules.catalogue import CATALOGUE
from tests.rules.writing import SYSTEMS

URL = "http://127.0.0.1:8030"
ALERTS = "alerts:\n  webhook: https://chat.example.org/hook\n"
REST = StandIn({"base": "{sandbox}/crm", "auth": {"bearer": "${SANDBOX_REST_TOKEN}"}})
NEWSLETTER = StandIn({"api_key": "${SANDBOX_KEY}"}, keeps=frozenset({"base"}))


def read(sandbox: str) -> Rulebook:
    """The usual systems, compiled with a sandbox that imitates CRM and newsletter, and not the API."""
    kinds = dict(CATALOGUE.destinations)
    for name, stand_in in (("rest", REST), ("maileon", NEWSLETTER)):
        kinds[name] = dataclasses.replace(kinds[name], stand_in=stand_in)
    catalogue = dataclasses.replace(CATALOGUE, destinations=kinds, sandbox=sandbox)
    book = compilation.compile_book({"a.yaml": (SYSTEMS + ALERTS).encode()}, catalogue).book
    assert book is not None
    return book


def test_leads_to_the_sandbox() -> None:
    """In a sandbox each destination has the options of its stand-in, and nobody is alerted."""
    book = read(URL)
    crm = book.destinations["crm"]
    assert crm.options.model_dump(mode="json") == {
        "base": f"{URL}/crm",
        "auth": {"bearer": "${SANDBOX_REST_TOKEN}"},
    }
    assert (crm.allow_private, crm.absent, crm.pool) == (True, False, "default")
    assert book.alerts == AlertSettings()


def test_same_book() -> None:
    """It is the same book: version, files, sources and rules."""
    real, led = read(""), read(URL)
    assert (led.version, led.files, led.sources, led.rules) == (real.version, real.files, real.sources, real.rules)
    assert real.alerts.webhook is not None
    assert real.destinations["crm"].options.model_dump()["base"] == "https://crm.example.org"


def test_absent() -> None:
    """What the sandbox does not imitate is marked."""
    assert [name for name, each in read(URL).destinations.items() if each.absent] == ["sd_nord_api", "sd_sued_api"]
    assert not any(each.absent for each in read("").destinations.values())


def test_keeps() -> None:
    """Options that lead nowhere stay as the book has them, if it has them; else they are the kind's."""
    assert read(URL).destinations["maileon_main"].options.model_dump()["base"] == "https://api.example.org"


def test_accounts() -> None:
    """Destinations with one key are one account; another key of the kind is another account, and so is one without."""
    more = "".join(
        f"  {name}:\n    kind: rest\n    base: https://{name}.example.org\n    auth:\n      bearer: ${{{key}}}\n"
        for name, key in (("one", "ONE"), ("south", "SOUTH"), ("south_too", "SOUTH"))
    )
    kinds = {**CATALOGUE.destinations, "rest": dataclasses.replace(CATALOGUE.destinations["rest"], stand_in=REST)}
    catalogue = dataclasses.replace(CATALOGUE, destinations=kinds, sandbox=URL)
    book = compilation.compile_book({"a.yaml": f"destinations:\n{more}".encode()}, catalogue).book
    assert book is not None
    bases = {name: each.options.model_dump()["base"] for name, each in book.destinations.items()}
    assert bases == {"one": f"{URL}/crm", "south": f"{URL}/of/south/crm", "south_too": f"{URL}/of/south/crm"}
