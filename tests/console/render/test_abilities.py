from console.render import abilities
from rules.catalogue import DestinationKind
from tests.rules.catalogue import API, NEWSLETTER, REST


def test_rows() -> None:
    """Shared actions come first; a cell says doubt, look-up, that it cannot be done, or nothing."""
    other = DestinationKind("books", "Books.", REST.options, {}, cannot={"add_note": "it keeps no notes"})
    taken = DestinationKind("crm", "", REST.options, {"add_note": REST.actions["add_note"].adopt("held")})
    rows = dict(abilities.list_rows([API, other, taken]))
    assert next(iter(rows)) == "add_note"
    assert rows["add_note"] == ["", "no", "held"]
    assert rows["person"] == ["look-up", "", ""]


def test_width() -> None:
    """However many destinations there are, no line is wider than 80 columns, and each is shown once."""
    kinds = {f"destination_{number}": each for number, each in enumerate([REST, API, NEWSLETTER] * 5)}
    drawn = abilities.draw(kinds)
    assert max(len(line) for line in drawn.splitlines()) <= abilities.WIDTH
    assert all(drawn.count(f"{name} ") + drawn.count(f"{name}\n") == 1 for name in kinds)
    assert abilities.draw({}) == ""
