from rules import book_losses
from rules.compiler import loader
from rules.rulebook import Rulebook
from tests.rules.catalogue import CATALOGUE

RULE = """\
  - name: {}
    when:
      type: contact.changed
    then:
      - crm.upsert_contact:
          email: e@example.org
"""
HEAD = """\
destinations:
  crm:
    kind: rest
    base: https://crm.example.org
    auth:
      bearer: ${TOKEN}
rules:
"""


def book(*rules: str) -> Rulebook:
    made = loader.check_texts({"a.yaml": HEAD + "".join(RULE.format(name) for name in rules)}, CATALOGUE).book
    assert made is not None
    return made


def test_nothing() -> None:
    """A book loses nothing against itself, nor when it grows or changes its order."""
    assert not book_losses.compare(book("a", "b"), book("c", "b", "a"))


def test_half_of_the_rules() -> None:
    """Half of the rules may go without a person's word, more may not."""
    assert not book_losses.compare(book("a", "b"), book("b")).need_approval
    assert book_losses.compare(book("a", "b", "c"), book("b")).need_approval


def test_many_are_counted() -> None:
    """A sentence names the first of many, and says how many more there are."""
    losses = book_losses.compare(book(*"abcdefgh"), book("a"))
    assert str(losses) == "rules b, c, d, e, f and 2 more"
