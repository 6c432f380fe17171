"""Each preset with the vector that its vendor publishes, or with an example of its pages; the people are invented."""

import base64
import hashlib
import hmac
import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from receiver import errors, presets, verification
from receiver.request import RawRequest
from receiver.sources.base import SourceItem
from receiver.sources.generic import SOURCE
from rules.compiler import loader
from rules.rulebook import Source
from tests.receiver import book

PAGE = Path(__file__).parents[2] / "docs" / "sources" / "generic.md"
NOW = 1_795_000_000.0
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

#: openssl dgst -sha256 -hmac invented -binary | base64
SHOPIFY_BY_OPENSSL = "+/1TeIpcrd4y9Te8WTtGxmHmVa9yiArFykkhmodsQ18="
#: What the docs tell ops to write beside `preset:`.
VERIFY = {
    "github": "hmac: {secret: '${A}'}",
    "stripe": "hmac: {secret: '${A}'}",
    "shopify": "hmac: {secret: '${A}'}",
    "mailchimp": "query: {value: '${A}'}",
    "brevo": "header: {value: 'Bearer ${A}'}",
    "standard_webhooks": "standard_webhooks: {secret: '${A}'}",
    "cloudevents": "none: only reachable inside the house",
}


def source_of(preset: str, more: str = "") -> Source:
    text = f"sources:\n  x:\n    kind: generic\n    preset: {preset}\n    verify:\n      {VERIFY[preset]}\n"
    checked = loader.check_texts({"book.yaml": text + textwrap.indent(textwrap.dedent(more), "    ")}, book.CATALOGUE)
    assert checked.book is not None, checked.problems
    return checked.book.sources["x"]


def received(
    preset: str,
    secret: str,
    body: bytes | Any,
    headers: Mapping[str, str],
    query: bytes = b"",
    *,
    now: float = NOW,
    more: str = "",
) -> list[SourceItem]:
    """Return the items of a request that was verified, as the receiver does it."""
    source = source_of(preset, more)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = RawRequest(raw, [(name.lower().encode(), value.encode()) for name, value in headers.items()], query)
    checks = verification.checks(source.verify, {"A": secret})
    return SOURCE.unpack(verification.verify(sent, checks, now), source.options, None).items


def mac(secret: str, content: bytes) -> bytes:
    """Sign as the vendors' pages say, past our own code."""
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()


@pytest.mark.parametrize("name", VERIFY)
def test_says_what_is_known(name: str) -> None:
    """A preset compiles, names its vendor's pages, and says what was concluded and what is unknown."""
    preset = presets.read_presets()[name]
    assert source_of(name).kind == "generic"
    assert all(page.startswith("https://") for page in preset.pages)
    assert preset.documented


def test_all_are_tested() -> None:
    """No preset is without a test of its own here."""
    assert set(VERIFY) == set(presets.read_presets())


def test_github() -> None:
    """The vector of GitHub's page on validating deliveries; event and action make the type; also as a form."""
    secret = "It's a Secret to Everybody"
    vector = {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
    checks = verification.checks(source_of("github").verify, {"A": secret})
    signed = RawRequest(b"Hello, World!", [(name.lower().encode(), each.encode()) for name, each in vector.items()])
    verification.verify(signed, checks, NOW)
    body = json.dumps(
        {"action": "opened", "issue": {"number": 7}, "repository": {"full_name": "muster/kurse"}}
    ).encode()
    form = (
        b"payload=%7B%22action%22%3A%22opened%22%2C%22repository%22%3A%7B%22full_name%22%3A%22muster%2Fkurse%22%7D%7D"
    )
    for raw, label in ((body, JSON), (form, FORM)):
        headers = {
            **label,
            "X-Hub-Signature-256": f"sha256={mac(secret, raw).hex()}",
            "X-GitHub-Event": "issues",
            "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        }
        [item] = received("github", secret, raw, headers)
        assert (item.type, item.order_key, item.invalid) == ("issues.opened", "id:muster/kurse", None)
        assert item.sender_id == "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def test_stripe() -> None:
    """A header as on Stripe's page on signatures (t, v1, v0), over timestamp, dot and body."""
    body = json.dumps(
        {
            "id": "evt_1MqqbKLt4dXK03v5qaIbiNCC",
            "object": "event",
            "created": 1_794_999_990,
            "type": "customer.subscription.updated",
            "data": {"object": {"id": "sub_1", "customer": "cus_7", "status": "active"}, "previous_attributes": {}},
        }
    ).encode()
    secret = "whsec_invented"
    v1 = mac(secret, b"%d." % NOW + body).hex()
    headers = {**JSON, "Stripe-Signature": f"t={NOW:.0f},v1={v1},v0=6ffbb59b2300aae63f272406069a9788598b792a"}
    more = "read:\n  order_key: body.data.object.customer\n"
    [item] = received("stripe", secret, body, headers, more=more)
    assert (item.type, item.sender_id) == ("customer.subscription.updated", "evt_1MqqbKLt4dXK03v5qaIbiNCC")
    assert (item.order_key, item.subject, item.time) == ("id:cus_7", "sub_1", "2026-11-18T11:06:30.000Z")
    assert json.loads(item.body) == {"id": "sub_1", "customer": "cus_7", "status": "active"}
    with pytest.raises(errors.Unverified, match="stale_timestamp"):
        received("stripe", secret, body, headers, now=NOW + 301)
    with pytest.raises(errors.Unverified, match="wrong_signature"):
        received("stripe", secret, body + b" ", headers)


def test_shopify() -> None:
    """The signature of Shopify's page on HTTPS webhooks, base64 over the body; made with openssl, past our code."""
    body = b'{"id":1234567890,"email":"eva@example.org","admin_graphql_api_id":"gid://shopify/Order/1234567890"}'
    headers = {
        **JSON,
        "X-Shopify-Hmac-Sha256": SHOPIFY_BY_OPENSSL,
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        "X-Shopify-Triggered-At": "2026-11-18T11:06:30.123456789Z",
    }
    [item] = received("shopify", "invented", body, headers)
    assert (item.type, item.sender_id) == ("orders.create", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043")
    assert (item.order_key, item.time) == ("email:eva@example.org", "2026-11-18T11:06:30.123Z")


def test_mailchimp() -> None:
    """The form of Mailchimp's guide to syncing an audience, and the GET before a webhook is saved."""
    body = (
        b"type=unsubscribe&fired_at=2026-11-18+11%3A06%3A30&data%5Baction%5D=unsub&data%5Breason%5D=manual"
        b"&data%5Bid%5D=8a25ff1d98&data%5Blist_id%5D=a6b5da1054&data%5Bemail%5D=eva%2Bkurs%40example.org"
        b"&data%5Bmerges%5D%5BFNAME%5D=Eva"
    )
    [item] = received("mailchimp", "s3cret", body, FORM, b"token=s3cret")
    assert (item.type, item.order_key) == ("unsubscribe", "email:eva+kurs@example.org")
    assert (item.time, item.subject) == ("2026-11-18T11:06:30.000Z", "a6b5da1054")
    assert json.loads(item.body)["merges"] == {"FNAME": "Eva"}
    assert item.sender_id is not None
    source = source_of("mailchimp")
    checks = verification.checks(source.verify, {"A": "s3cret"})
    asked = verification.greet(RawRequest(b"", (), b"token=s3cret"), checks, NOW)
    answer = SOURCE.greet("GET", asked, source.options)
    assert answer is not None
    assert answer.status == 200
    with pytest.raises(errors.Unverified):
        verification.greet(RawRequest(b"", (), b"token=wrong"), checks, NOW)


def test_brevo() -> None:
    """The example of Brevo's page on transactional webhooks: one id in all events of a webhook makes no duplicates."""
    sent = {"event": "delivered", "email": "eva@example.org", "id": 26224, "ts": 1_794_999_990, "date": "2026-11-18"}
    sent |= {"message-id": "<1@example.org>", "ts_event": 1_794_999_990, "tags": ["kurs"]}
    headers = {**JSON, "Authorization": "Bearer s3cret"}
    [first] = received("brevo", "s3cret", sent, headers)
    assert (first.type, first.order_key, first.subject) == ("delivered", "email:eva@example.org", "<1@example.org>")
    assert first.time == "2026-11-18T11:06:30.000Z"
    bounced = {**sent, "event": "hard_bounce", "email": "jean@example.org"}
    [second, third] = received("brevo", "s3cret", [bounced, sent], headers)
    assert second.sender_id != first.sender_id == third.sender_id
    with pytest.raises(errors.Unverified):
        received("brevo", "other", sent, headers)


@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_standard_webhooks(prefix: str) -> None:
    """The vector of the Standard Webhooks libraries, under both names of the headers."""
    headers = {
        **JSON,
        f"{prefix}-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        f"{prefix}-timestamp": "1614265330",
        f"{prefix}-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    [item] = received("standard_webhooks", secret, body, headers, now=1_614_265_330)
    assert (item.sender_id, item.type) == ("msg_p5jXN8AQM9LWM0D4loKWxJek", "unknown")
    sent = {"type": "contact.updated", "timestamp": "2026-11-18T11:06:30Z", "data": {"email": "eva@example.org"}}
    raw = json.dumps(sent).encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b"msg_1.%d." % NOW + raw, hashlib.sha256).digest()
    headers |= {f"{prefix}-id": "msg_1", f"{prefix}-timestamp": f"{NOW:.0f}"}
    headers[f"{prefix}-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    [item] = received("standard_webhooks", secret, raw, headers)
    assert (item.type, item.invalid, item.order_key) == ("contact.updated", None, "email:eva@example.org")


def test_cloudevents() -> None:
    """The example of the HTTP binding, structured and binary, is one event."""
    attributes = {"specversion": "1.0", "type": "com.example.someevent", "id": "A234-1234-1234", "source": "/mycontext"}
    data = {"appinfoA": "abc"}
    structured = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}
    [one] = received("cloudevents", "", {**attributes, "data": data}, structured)
    binary = {**JSON, **{f"ce-{name}": value for name, value in attributes.items()}}
    [other] = received("cloudevents", "", data, binary)
    batch = {"Content-Type": "application/cloudevents-batch+json"}
    [third] = received("cloudevents", "", [{**attributes, "data": data}], batch)
    assert one == other == third
    assert (one.type, one.sender_id) == ("com.example.someevent", '["/mycontext","A234-1234-1234"]')


def test_what_the_source_says_wins() -> None:
    """What a source says itself wins over its preset, key by key; a way to verify that it does not name stays away."""
    more = """
        data: null
        read:
          type: order.paid
          id: [body.id, body.account]
    """
    options = source_of("stripe", more).options.model_dump(exclude_unset=True)
    assert options["data"] is None
    assert options["read"] == {
        "type": "order.paid",
        "id": ("body.id", "body.account"),
        "time": "body.created",
        "subject": "body.data.object.id",
    }
    text = """
        sources:
          x:
            kind: generic
            preset: stripe
            verify:
              query: {name: token, value: "${A}"}
    """
    checked = loader.check_texts({"book.yaml": textwrap.dedent(text)}, book.CATALOGUE)
    assert checked.book is not None
    verify = checked.book.sources["x"].verify
    assert (verify.hmac, verify.query is not None) == (None, True)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("preset: strip\n    verify: {hmac: {secret: '${A}'}}", 'no preset "strip"; did you mean "stripe"'),
        ("preset: [stripe]\n    verify: {hmac: {secret: '${A}'}}", "preset must be text"),
        ("preset: stripe", "does not say how it is verified"),
        ("preset: stripe\n    verify: {hmac: {}}", "secret is missing"),
        ("preset: stripe\n    verify: {hmac: {secret: '${A}', parts: {signature: t}}}", "can never match"),
    ],
)
def test_wrong_presets(lines: str, says: str) -> None:
    """A preset that does not exist, or that is not completed, is one problem of its source."""
    text = f"sources:\n  x:\n    kind: generic\n    {lines}\n"
    checked = loader.check_texts({"book.yaml": text}, book.CATALOGUE)
    assert checked.book is None
    [problem] = checked.problems
    assert says in str(problem)


def test_the_page_compiles() -> None:
    """Every example of the page on generic sources is right, and so is each line of its table of presets."""
    page = PAGE.read_text()
    examples = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    assert len(examples) >= 5
    for example in examples:
        text = example if example.startswith("sources:") else f"sources:\n  x:\n    kind: generic\n{example}"
        if "verify:" not in text:
            text += "    verify:\n      none: an example of the docs\n"
        checked = loader.check_texts({"book.yaml": text}, book.CATALOGUE)
        assert checked.book is not None, (text, checked.problems)
    rows = re.findall(r"^\| `(\w+)` \| `([a-z_]+: \{.*?\})` \|", page, re.M)
    assert {name for name, _ in rows} == set(VERIFY) - {"cloudevents"}
    handshakes = re.findall(r"`(handshake: \{.*?\})`", page)
    assert len(handshakes) >= 6
    texts = [f"    preset: {name}\n    verify: {{{said}}}\n" for name, said in rows]
    texts += [f"    verify: {{none: an example of the docs}}\n    {said}\n" for said in handshakes]
    for text in texts:
        checked = loader.check_texts({"book.yaml": f"sources:\n  x:\n    kind: generic\n{text}"}, book.CATALOGUE)
        assert checked.book is not None, (text, checked.problems)
