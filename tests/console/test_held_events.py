"""How the events of a held source are asked for."""

from console import held_events


def test_path() -> None:
    """A source's name is one part of the path, whatever it is made of."""
    assert held_events.path_of("shop", "held") == "/sources/shop/held"
    assert held_events.path_of("a/b?c", "held/release") == "/sources/a%2Fb%3Fc/held/release"
