"""One trace from a webhook through the rules to each delivery, across processes, at a collector on loopback."""

import http.client
import json

from tests.conftest import wait_until
from tests.mailroom.otlp_receiver import OtlpReceiver
from tests.system.processes import SystemProcesses
from tests.system.test_upgrade import receive, write

SENDERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def post(port: int, who: str, **headers: str) -> None:
    """Send a webhook that becomes a note."""
    body = json.dumps({"event": "person.changed", "email": f"{who}@example.org", "name": who})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/in/shop", body, {"Content-Type": "application/json", **headers})
    assert connection.getresponse().status == 202
    connection.close()


def traceparents(house: SystemProcesses, who: str) -> list[str]:
    """Return what the destination was told by the requests about a person."""
    return [
        value
        for seen in house.far.requests(who=f"{who}@example.org")
        for name, value in seen.headers.items()
        if name.lower() == "traceparent"
    ]


def test_one_trace(house: SystemProcesses) -> None:
    """Webhook, rules and every attempt of the delivery are one trace, that of the sender; destinations are told."""
    write(house)
    house.far.fail(method="POST", path="/contacts/p0/notes", status=503)
    with OtlpReceiver() as collector:
        work = house.work(RELAIS_TRACES=collector.url)
        receiver, port = receive(house, "-m", "console.cli", "receive", "--port", "0", RELAIS_TRACES=collector.url)
        post(port, "p0", traceparent=SENDERS)
        post(port, "p1")
        wait_until(lambda: len(house.texts()) == 2, "both are delivered")
        assert (receiver.stop(), work.stop()) == (0, 0)
    webhook, other = sorted(collector.named("webhook shop"), key=lambda span: span.trace != SENDERS[3:35])
    mine = [span for span in collector.spans if span.trace == webhook.trace]
    [route] = [span for span in mine if span.name == "route person.changed"]
    attempts = [span for span in mine if span.name == "deliver crm.add_note"]
    assert (webhook.trace, webhook.parent, webhook.service) == (SENDERS[3:35], SENDERS[36:52], "relais-receive")
    assert (route.parent, route.service) == (webhook.id, "relais-work")
    assert [span.parent for span in attempts] == [route.id] * 2
    assert [(span.attributes["relais.attempt"], bool(span.failed)) for span in attempts] == [(1, True), (2, False)]
    assert route.attributes["relais.deliveries"] == 1
    told = traceparents(house, "p0")
    assert {text[3:35] for text in told} == {webhook.trace}
    assert {text[36:52] for text in told} == {span.id for span in attempts}
    assert (other.parent, other.trace != webhook.trace) == ("", True)
    assert not any(b"example.org" in span.raw for span in collector.spans), "a value of a person is in a span"


def test_off(house: SystemProcesses) -> None:
    """Without the setting nothing is told to destinations, whatever the sender said."""
    write(house)
    house.work()
    _, port = receive(house, "-m", "console.cli", "receive", "--port", "0")
    post(port, "p0", traceparent=SENDERS)
    wait_until(lambda: house.texts() == ["p0"], "it is delivered")
    assert traceparents(house, "p0") == []
