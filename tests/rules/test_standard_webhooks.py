import pytest

from rules import standard_webhooks

#: The vector of the Standard Webhooks libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_sign() -> None:
    """The signature is the one that the libraries publish, with or without the prefix of the secret."""
    for secret in (SECRET, SECRET.removeprefix("whsec_")):
        keys = [standard_webhooks.read_key(secret)]
        signed = standard_webhooks.sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
        assert signed == SIGNATURE


def test_several() -> None:
    """Each key signs, parted by blanks."""
    one, other = standard_webhooks.sign([b"a", b"b"], "m", 1, b"").split(" ")
    assert one == standard_webhooks.sign([b"a"], "m", 1, b"")
    assert other == standard_webhooks.sign([b"b"], "m", 1, b"")


def test_padding() -> None:
    """Signs at the end of base64 may be left away."""
    assert standard_webhooks.read_key("whsec_YWI=") == standard_webhooks.read_key("YWI") == b"ab"


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_?", "whsec_a", "whsec_ä", "whsec_ab_-"])
def test_no_key(text: str) -> None:
    """What is no secret is refused, and not shown."""
    with pytest.raises(ValueError, match="whsec_ followed by base64") as caught:
        standard_webhooks.read_key(text)
    assert caught.value.__cause__ is None
