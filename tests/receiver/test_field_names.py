import pytest

from receiver import field_names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("firstName", "first_name"),
        ("FirstName", "first_name"),
        ("first_name", "first_name"),
        ("vatId", "vat_id"),
        ("streetAddress2", "street_address2"),
        ("headerPictureURL", "header_picture_url"),
        ("SMS", "sms"),
        ("Wie gefunden", "Wie gefunden"),
        ("E-Mail", "E-Mail"),
        ("Ernährung", "Ernährung"),
    ],
)
def test_snake(name: str, expected: str) -> None:
    """Identifiers become snake_case; other names stay as people gave them."""
    assert field_names.snake(name) == expected


def test_squash() -> None:
    """A label is found whatever its case, umlauts and punctuation."""
    assert field_names.squash("Berufs- und Amtsbezeichnung") == "berufsundamtsbezeichnung"
    assert field_names.squash("Namenspräfix") == field_names.squash("NAMENSPRAEFIX")
    assert field_names.squash("e_mail") == field_names.squash("E-Mail")


def test_ours() -> None:
    """All names of a value are spelled anew, except below names that people gave."""
    assert field_names.ours({"aB": [{"cD": 1}], "additionalFields": {"xY": {"zZ": 1}}}) == {
        "a_b": [{"c_d": 1}],
        "additional_fields": {"xY": {"zZ": 1}},
    }


def test_two_spellings_of_one_name() -> None:
    """Where two names become one, the one that was ours already stays."""
    assert field_names.ours({"firstName": 1, "first_name": 2}) == {"first_name": 2}
    assert field_names.ours({"first_name": 2, "FirstName": 1}) == {"first_name": 2}


def test_looked_up() -> None:
    """A table gives the names; empty texts are null, and a later spelling does not overwrite a value."""
    names = field_names.Names({"vorname": "first_name"})
    assert field_names.looked_up({"Vorname": "", "VORNAME": "Eva", "vorname": "Ada", "someThing": "x"}, names) == {
        "first_name": "Eva",
        "some_thing": "x",
    }


def test_long_names_are_not_remembered() -> None:
    """A stranger's long names do not fill the memory."""
    before = field_names._snake.cache_info().currsize
    for n in range(100):
        field_names.snake(f"{n}" + "aB" * 100)
    assert field_names._snake.cache_info().currsize == before
