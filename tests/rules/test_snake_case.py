import pytest

from rules.snake_case import to_snake_case


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("firstName", "first_name"),
        ("FirstName", "first_name"),
        ("emailHTML", "email_html"),
        ("HTMLBody", "html_body"),
        ("phone1", "phone1"),
        ("phone1Type", "phone1_type"),
        ("already_there", "already_there"),
        ("isSubscribedToNewsletter", "is_subscribed_to_newsletter"),
        ("vatID", "vat_id"),
        ("URLOfPage", "url_of_page"),
        ("streetAddress2", "street_address2"),
        ("ID", "id"),
        ("", ""),
    ],
)
def test_names(theirs: str, ours: str) -> None:
    """A hump begins a word, and so does the last capital of several; digits belong to the word before them."""
    assert to_snake_case(theirs) == ours
