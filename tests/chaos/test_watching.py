from sandbox.state import SandboxState
from tests.chaos.watching import watch


def test_searched_too_early() -> None:
    """A search for what was just made is noted, unlike one that shows it, and one for somebody else."""
    world, noted = SandboxState(), list[str]()
    watch(world, noted.append)
    world.crm.contacts.add({"email": "eva@example.org"})
    assert world.crm.contacts.find(lambda contact: contact["email"] == "eva@example.org", 0)
    assert not world.crm.contacts.find(lambda contact: contact["email"] == "kim@example.org", 60)
    assert noted == []
    assert not world.crm.contacts.find(lambda contact: contact["email"] == "eva@example.org", 60)
    assert noted == ["c1 was searched for before a search could show it"]


def test_renamed_meanwhile() -> None:
    """What a record got later, nobody makes."""
    world, noted = SandboxState(), list[str]()
    watch(world, noted.append)
    world.crm.contacts.add({"email": "eva@example.org"})["email"] = "new@example.org"
    world.crm.contacts.find(lambda contact: contact["email"] == "new@example.org", 60)
    assert noted == []
