import pytest

from tests.rules import writing

RULE = """
rules:
  - name: a
    when:
      type: ACTED
    then:
      - {action}:
{arguments}
"""


def errors(action: str, *arguments: str, type: str = "booking.created") -> list[str]:
    lines = "\n".join(f"          {line}" for line in arguments)
    checked = writing.checked(RULE.format(action=action, arguments=lines).replace("ACTED", type))
    return [problem.text for problem in checked.errors]


INVOICE = ("reference: '{{ data.id }}'", "lines: '{{ data.lines }}'")


@pytest.mark.parametrize(
    "arguments",
    [
        (*INVOICE, "customer: {email: x@example.org}"),
        (*INVOICE, "customer: {email: '{{ data.booker.name }}', name: '{{ data.booker.name }}'}"),
        ("reference: A-1", "lines: []", "customer: {email: x@example.org}", "currency: '{{ data.marker }}'"),
        (
            "reference: A-1",
            "lines: [{text: '{{ data.marker }}', quantity: '{{ data.total }}'}]",
            "customer: {email: x}",
        ),
    ],
)
def test_fits(arguments: tuple[str, ...]) -> None:
    """A template fits wherever some value fits: text, number, list or a group of fields."""
    assert errors("invoicing.create_invoice", *arguments) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (INVOICE, "invoicing.create_invoice needs customer"),
        ((*INVOICE, "customer: {name: Ada}"), "invoicing.create_invoice needs customer.email"),
        (
            (*INVOICE, "customer: {email: a, tax_number: '{{ data.booker.name }}'}"),
            "invoicing.create_invoice cannot write customer.tax_number: it keeps no tax numbers",
        ),
        ((*INVOICE, "customer: {email: a, mail: b}"), '"mail" is unknown here'),
        ((*INVOICE, "customer: {email: '{{ data.booker.name }}', mail: b}"), '"mail" is unknown here'),
        ((*INVOICE, "customer: nobody"), "invoicing.create_invoice: customer must be a mapping"),
        ((*INVOICE, "customer: {email: a}", "lnes: []"), 'invoicing.create_invoice takes no argument "lnes"'),
        (
            ("reference: A-1", "lines: [{text: Kurs, quantity: many}]", "customer: {email: '{{ data.booker.name }}'}"),
            "invoicing.create_invoice: quantity must be a number",
        ),
    ],
)
def test_does_not_fit(arguments: tuple[str, ...], error: str) -> None:
    """What cannot be right is an error beside any templates, also further in."""
    assert errors("invoicing.create_invoice", *arguments) == [error]


def test_about_the_whole() -> None:
    """What the action asks of its arguments together is checked too, unless templates may still provide it."""
    assert errors("crm.upsert_contact", "first_name: Ada") == ["crm.upsert_contact needs email or external_id"]
    assert errors("crm.upsert_contact", "first_name: '{{ data.marker }}'") == [
        "crm.upsert_contact needs email or external_id"
    ]
    assert errors("crm.upsert_contact", "email: '{{ data.marker }}'") == []


@pytest.mark.parametrize("word", ["on", "no", "yes", "'true'", "t"])
def test_word_for_boolean(word: str) -> None:
    """A word that other YAML takes for true or false is text, and text is no boolean."""
    found = errors("crm.set_consent", "email: x@example.org", f"newsletter: {word}")
    assert found == ["newsletter must be true or false, not text"]


def test_consent_is_no_argument() -> None:
    """`consent` belongs to actions that need it; elsewhere it is unknown."""
    assert errors("crm.add_note", "email: x@example.org", "text: x", "consent: {}") == [
        'crm.add_note takes no argument "consent"'
    ]
