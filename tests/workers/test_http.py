import asyncio
import logging
import socket
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.workers.wire import CLOSE, HANG, RESET, NameService, RawServer, reply
from workers import http, http_connection
from workers.http import ANSWER_CAP, HiddenHeaders, Http, HttpAnswer
from workers.outcome import Failed

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OK = reply(200, '{"id": 1}')


def send(url: str, *, timeout: float = 2.0, allow_private: bool = True, method: str = "GET", **more: Any) -> HttpAnswer:
    """Send one request through a way out of its own."""

    async def main() -> HttpAnswer:
        async with Http() as way_out:
            bound = way_out.bind(timeout=timeout, allow_private=allow_private)
            return await bound.exchange().request(method, url, **more)

    return asyncio.run(main())


def fail(url: str, **more: Any) -> Failed:
    """Send one request that must fail."""
    with pytest.raises(Failed) as caught:
        send(url, **more)
    return caught.value


def test_answer() -> None:
    """Status, type and parsed body come back; the request has a JSON body and no compression."""
    with RawServer(reply(201, '{"id": "é"}', "application/JSON; charset=utf-8")) as server:
        got = send(server.url + "/contacts", method="POST", json={"name": "Jörg"}, headers={"X-Key": "k"})
    assert (got.status, got.ok, got.content_type, got.json()) == (201, True, "application/json", {"id": "é"})
    (request,) = server.requests
    assert (request.method, request.target, request.json()) == ("POST", "/contacts", {"name": "Jörg"})
    assert request.headers["x-key"] == "k"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"


def test_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sandbox that one server is asked, and no other gets as much as a connection."""
    with RawServer(OK) as sandbox, RawServer(OK) as vendor:
        monkeypatch.setenv("RELAIS_SANDBOX", sandbox.url)
        assert send(sandbox.url + "/crm").ok
        for url in (vendor.url, "http://127.0.0.1", "https://api.example.org/1.0", sandbox.url + "0"):
            failed = fail(url)
            assert (failed.failure, failed.code) == ("permanent", "outside_sandbox")
    assert vendor.requests == []


def test_answer_is_no_json() -> None:
    """A body that is no JSON is None, whatever its type says."""
    with RawServer(reply(200, "<html>")) as server:
        assert send(server.url).json() is None


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (b'\xef\xbb\xbf{"id": 1}', {"id": 1}),
        ('{"id": 1}'.encode("utf-16"), {"id": 1}),
        (b'{"id": "\\ud83d"}', {"id": "\ud83d"}),
        (b"[" * 100_000, None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_answer_is_odd_json(body: bytes, parsed: Any) -> None:
    """A mark of the byte order, another encoding or half a character does not make JSON none; endless depth does."""
    assert HttpAnswer(200, {}, "", body).json() == parsed


def test_answer_without_type() -> None:
    """An answer without a type has an empty one."""
    with RawServer(b"HTTP/1.1 204 No Content\r\n\r\n") as server:
        got = send(server.url)
    assert (got.content_type, got.body, got.cut) == ("", b"", False)


def test_answer_hides_itself() -> None:
    """The repr of an answer and of hidden headers shows no content."""
    got = HttpAnswer(200, {"x-name": "eva"}, "text/plain", b"eva@example.org")
    assert "eva" not in repr(got)
    assert "k-1" not in f"{HiddenHeaders(Authorization='k-1')!r} {HiddenHeaders(Authorization='k-1')}"


def test_long_answer_is_cut() -> None:
    """Of an answer that does not end, the status counts and the first part of the body."""
    with RawServer(reply(200, b"x" * (ANSWER_CAP + 5))) as server:
        got = send(server.url)
    assert (got.status, len(got.body), got.cut) == (200, ANSWER_CAP, True)


def test_redirect_is_not_followed() -> None:
    """A redirect is an answer like any other."""
    with RawServer(reply(302, Location="/elsewhere")) as server:
        assert send(server.url).status == 302
    assert len(server.requests) == 1


def test_cookies_are_not_kept() -> None:
    """A cookie of the first answer is not sent with the second request, on the same connection."""

    async def main(url: str) -> None:
        async with Http() as way_out:
            exchange = way_out.bind(timeout=2, allow_private=True).exchange()
            await exchange.request("GET", url)
            await exchange.request("GET", url)

    with RawServer(reply(200, Set_Cookie="session=1")) as server:
        asyncio.run(main(server.url))
    assert server.connections == 1
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (RESET, "reset"),
        (CLOSE, "reset"),
        (HANG, "timeout"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!", "timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!" + CLOSE, "cut_off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad_answer"),
    ],
)
@pytest.mark.parametrize(("creates", "failure"), [(True, "ambiguous"), (False, "transient")])
def test_sent_and_unknown(step: bytes, code: str, creates: bool, failure: str) -> None:
    """What was sent and not answered is ambiguous where it creates, else transient."""
    with RawServer(step) as server:
        failed = fail(server.url, method="POST", json={}, creates=creates, timeout=0.3)
    assert (failed.failure, failed.code) == (failure, code)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:{closed}/", "refused"),
        ("https://127.0.0.1:{plain}/", "tls_failed"),
    ],
)
def test_not_sent(url: str, code: str) -> None:
    """What never left us is transient, also where it would have created."""
    with socket.socket() as taken, RawServer(OK, greeting=b"SSH-2.0-OpenSSH_9.2\r\n") as server:
        taken.bind(("127.0.0.1", 0))
        closed, plain = taken.getsockname()[1], server.url.rpartition(":")[2]
        failed = fail(url.format(closed=closed, plain=plain), method="POST", json={}, creates=True)
    assert (failed.failure, failed.code) == ("transient", code)


@pytest.mark.parametrize(
    ("error", "known", "code"),
    [
        (socket.EAI_NONAME, False, "unknown_host"),
        (socket.EAI_NONAME, True, "dns_failed"),
        (socket.EAI_AGAIN, False, "dns_failed"),
    ],
)
def test_unknown_host(monkeypatch: pytest.MonkeyPatch, error: int, known: bool, code: str) -> None:
    """A name that does not exist and never was resolved is a mistake of the book; else the name service is away."""
    real, lost = socket.getaddrinfo, not known
    monkeypatch.setattr(http_connection, "ADDRESSES_KEPT", 0.0)

    def resolve(*asked: Any, **more: Any) -> Any:
        if lost and asked[0] == "localhost":
            raise socket.gaierror(error, "not known")
        return real(*asked, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def run(url: str) -> Failed:
        nonlocal lost
        async with Http() as opened:
            http = opened.bind(timeout=5.0, allow_private=True)
            if known:
                await http.exchange().request("GET", url)
                lost = True
            with pytest.raises(Failed) as caught:
                await http.exchange().request("GET", url)
            return caught.value

    with RawServer(reply(200, "{}", Connection="close")) as server:
        failed = asyncio.run(run(server.url.replace("127.0.0.1", "localhost") + "/"))
    assert (failed.failure, failed.code) == ("transient", code)


@pytest.mark.parametrize("body", [None, {}])
def test_connect_timeout_is_not_sent(body: dict[str, str] | None) -> None:
    """A connection that is never taken ends in time and was not sent."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # The queue of a listener that never accepts is full after these.
            filler.setblocking(False)
            filler.connect_ex(address)
        started = time.monotonic()
        failed = fail(f"http://127.0.0.1:{address[1]}/", method="POST", json=body, creates=True, timeout=0.5)
        for filler in fillers:
            filler.close()
    assert (failed.failure, failed.code) == ("transient", "connect_timeout")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:7f00:1]:{port}/"]
)
def test_private_address_is_refused(url: str) -> None:
    """Our own network is out of reach unless allowed, by name and by number, and nothing is sent."""
    with RawServer(OK) as server:
        failed = fail(url.format(port=server.url.rpartition(":")[2]), allow_private=False)
    assert (failed.failure, failed.code) == ("transient", "private_address")
    assert "allow_private" in failed.hint
    assert server.connections == 0


def test_private_connection_is_not_lent() -> None:
    """A connection that one destination may keep open is not used by another that may not."""

    async def main(url: str) -> None:
        async with Http() as way_out:
            inside, outside = way_out.bind(timeout=2, allow_private=True), way_out.bind(timeout=2)
            await inside.exchange().request("GET", url)
            with pytest.raises(Failed, match="private_address"):
                await outside.exchange().request("GET", url)

    with RawServer(OK) as server:
        asyncio.run(main(server.url))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.8",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse, not to bind to
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.8",
        "64:ff9b::a00:8",
        "2002:a00:8::1",
        "fec0::1",
        "192.0.0.9",
        "192.0.0.192",
        "168.63.129.16",
        "192.88.99.1",
        "100.100.100.200",
        "198.18.0.1",
        "::10.0.0.8",
        "::8.8.8.8",
        "100:0:0:1::1",
        "3fff::1",
        "5f00::1",
        "2001:20::1",
        "::ffff:168.63.129.16",
        "no address",
    ],
)
def test_private(host: str) -> None:
    """Loopback, private, link-local, shared and special addresses are private, also wrapped in IPv6."""
    assert http.is_private(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public(host: str) -> None:
    """What the world can reach is public."""
    assert not http.is_private(host)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://:80/",
        "http://a:99999/",
        "http://127.1/",
        "http://2130706433/",
        "http://8.8.8.8.9/",
        "ftp://a/",
    ],
)
def test_bad_address(url: str) -> None:
    """An address that is none cannot work later either; one of numbers is written with all four, and no other way."""
    failed = fail(url)
    assert (failed.failure, failed.code) == ("permanent", "bad_address")


@pytest.mark.parametrize(
    ("values", "query", "url"),
    [
        ({"email": "eva+news@example.org"}, None, "/contacts/eva%2Bnews%40example.org"),
        ({"email": "a/b?c#d%e"}, None, "/contacts/a%2Fb%3Fc%23d%25e"),
        (
            {"email": "jörg@example.org"},
            {"src": "a b&c=d+e"},
            "/contacts/j%C3%B6rg%40example.org?src=a%20b%26c%3Dd%2Be",
        ),
    ],
)
def test_address(values: dict[str, str], query: dict[str, str] | None, url: str) -> None:
    """Values are percent-encoded into the template, and arrive as they were encoded."""
    with RawServer(OK) as server:
        send(http.build_url(server.url + "/", "/contacts/{email}", query, **values))
    assert server.requests[0].target == url


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_address_does_not_climb(value: str) -> None:
    """A value that would change the path is refused before anything is sent."""
    with pytest.raises(Failed, match="bad_address"):
        http.build_url("https://crm.example.org", "/contacts/{id}/notes", id=value)


def test_pace() -> None:
    """Every request of a delivery but the first waits for the pace; a new delivery starts anew."""
    waited: list[int] = []

    async def main(server: RawServer) -> None:
        class CountingPace:
            async def wait(self) -> None:
                waited.append(len(server.requests))

        async with Http() as way_out:
            bound = way_out.bind(timeout=2, allow_private=True, pace=CountingPace())
            exchange = bound.exchange()
            for _ in range(3):
                await exchange.request("GET", server.url)
            await bound.exchange().request("GET", server.url)
            assert exchange.sent == 3

    with RawServer(OK) as server:
        asyncio.run(main(server))
    assert waited == [1, 2]


def test_pace_may_refuse() -> None:
    """When the pace raises, nothing more is sent."""

    class RefusingPace:
        async def wait(self) -> None:
            raise Failed("transient", "lease_lost")

    async def main(url: str) -> None:
        async with Http() as way_out:
            exchange = way_out.bind(timeout=2, allow_private=True, pace=RefusingPace()).exchange()
            await exchange.request("GET", url)
            with pytest.raises(Failed, match="lease_lost"):
                await exchange.request("POST", url, creates=True)

    with RawServer(OK) as server:
        asyncio.run(main(server.url))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "script",
    [[RESET], [CLOSE], [b"SSH-2.0\r\n"], [HANG], [reply(302, Location="http://127.0.0.1:1/?token=s3cret")]],
)
def test_nothing_leaks(script: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    """Neither error, nor its causes, nor the log say the key, the query or the person."""
    caplog.set_level(logging.DEBUG)
    said = ""
    with RawServer(*script) as server:
        url = http.build_url(server.url, "/contacts/{email}", {"token": "s3cret"}, email="eva@example.org")
        try:
            said = repr(send(url, headers=HiddenHeaders(Authorization="Bearer s3cret"), timeout=0.3))
        except Failed as failed:
            said = f"{failed!r} {failed.hint} {failed.__cause__!r} {failed.__context__!r}"
    said += caplog.text
    assert "s3cret" not in said
    assert "eva" not in said


@pytest.mark.parametrize(
    "url",
    [
        "http://eva@example.org s3cret/",  # no address
        "http://nobody.invalid/eva?token=s3cret",
        "http://127.0.0.1:1/eva?token=s3cret",
    ],
)
def test_no_exception_behind_a_failure(url: str) -> None:
    """What was raised below holds the address with its token and person: a failure carries nothing of it along."""
    failed = fail(url, headers={"Authorization": "Bearer s3cret"})
    assert failed.__context__ is None
    assert failed.__cause__ is None


def test_servers_that_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any number of servers only so many are remembered, and those that were forgotten answer all the same."""
    monkeypatch.setattr(http, "MOST_ORIGINS", 2)

    async def main(urls: list[str]) -> list[int]:
        async with Http() as way_out:
            bound = way_out.bind(timeout=2, allow_private=True)
            for url in urls:
                assert (await bound.exchange().request("GET", url)).status == 200
                assert len(way_out._origins._found) <= 2
            return [(await bound.exchange().request("GET", url)).status for url in urls]

    with RawServer(OK) as server:
        number = server.url.rpartition(":")[2]
        # Names that differ in capitals are remembered one by one, and lead to the same server.
        urls = [f"http://{host}:{number}/" for host in ("127.0.0.1", "localhost", "LocalHost", "LOCALHOST")]
        assert asyncio.run(main(urls)) == [200] * 4


def test_own_headers_win() -> None:
    """A header of the destination replaces ours of the same name, however it is spelled, and is not sent twice."""
    with RawServer(OK) as server:
        send(
            server.url,
            headers={"ACCEPT": "text/x", "user-agent": "mine", "content-length": "7"},
            method="POST",
            json={},
        )
    headers = server.requests[0].headers
    assert (headers["accept"], headers["user-agent"], headers["content-length"]) == ("text/x", "mine", "2")


def test_header_is_one_line() -> None:
    """A value that would begin another header, or another request, is refused before anything is sent."""
    with RawServer(OK) as server:
        failed = fail(server.url, headers={"X-Name": "Eva\r\nX-Admin: yes"}, method="POST", json={}, creates=True)
    assert (failed.failure, failed.code) == ("transient", "bad_header")
    assert server.requests == []


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX-Admin: yes", "/ü", "/a\tb", "/a\x00"])
def test_address_is_one_word(path: str) -> None:
    """An address that was not encoded is refused before anything is sent."""
    with RawServer(OK) as server:
        assert fail(server.url + path).code == "bad_address"
    assert server.connections == 0


def test_target() -> None:
    """The fragment stays here, the root is asked for as /, and a query needs no path."""
    with RawServer(OK) as server:
        for rest in ("", "#there", "?a=b#c", "/x?y"):
            send(server.url + rest)
    assert [request.target for request in server.requests] == ["/", "/", "/?a=b", "/x?y"]


def test_name_and_password_in_the_address() -> None:
    """They are sent as HTTP Basic, not as part of the address."""
    with RawServer(OK) as server:
        send(server.url.replace("http://", "http://relais:pass@") + "/x")
    (request,) = server.requests
    assert (request.target, request.headers["authorization"]) == ("/x", "Basic cmVsYWlzOnBhc3M=")
    assert "pass" not in request.headers["host"]


#: Stands for a public address, which no test reaches.
PUBLIC = "127.0.0.2"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameService:
    really_private = http.is_private
    monkeypatch.setattr(http, "is_private", lambda host: host != PUBLIC and really_private(host))
    return NameService(monkeypatch)


def test_name_that_leads_elsewhere_later(names: NameService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was public when it was asked for first and leads into our network now is refused when it connects."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply(200, "{}", Connection="close"))
        writer.close()

    monkeypatch.setattr(http_connection, "ADDRESSES_KEPT", 0.0)

    async def main() -> None:
        server = await asyncio.start_server(serve, [PUBLIC, "127.0.0.1"], 0)
        ports = {sock.getsockname()[0]: sock.getsockname()[1] for sock in server.sockets}
        async with server, Http() as way_out:
            bound = way_out.bind(timeout=5)
            names.addresses = [PUBLIC]
            assert (await bound.exchange().request("GET", f"http://crm.example.org:{ports[PUBLIC]}/")).ok
            names.addresses = ["127.0.0.1"]
            with pytest.raises(Failed, match="private_address"):
                await bound.exchange().request("GET", f"http://crm.example.org:{ports['127.0.0.1']}/")

    asyncio.run(main())
    assert len(heard) == 1


def test_private_address_behind_a_public_one(names: NameService) -> None:
    """Of several addresses of a name none of our network is tried, also where the public ones take no connection."""
    names.addresses = [PUBLIC, "127.0.0.1"]
    with RawServer(OK) as server:
        failed = fail(f"http://crm.example.org:{server.url.rpartition(':')[2]}/", allow_private=False)
    assert failed.failure == "transient"
    assert server.connections == 0


def test_slow_name_service(names: NameService) -> None:
    """A name that is not resolved in time ends as a connection that was not taken: nothing was sent."""
    names.addresses = [PUBLIC]
    names.answers.clear()
    releasing = threading.Timer(0.6, names.answers.set)
    releasing.start()
    failed = fail("http://crm.example.org:1/", method="POST", json={}, creates=True, timeout=0.3)
    releasing.join()
    assert (failed.failure, failed.code) == ("transient", "connect_timeout")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_key_along(status: int) -> None:
    """Whatever kind of redirect it is, and wherever it leads, no second server hears of us."""
    with RawServer(OK) as other, RawServer(reply(status, Location=other.url)) as server:
        answer = send(server.url, method="POST", json={}, headers={"Authorization": "Bearer s3cret"})
    assert (answer.status, other.connections, len(server.requests)) == (status, 0, 1)


def test_hears_each_answer() -> None:
    """Whoever wants to learn from answers gets each one, whatever its status."""
    heard: list[int] = []

    async def hear(answer: HttpAnswer) -> None:
        heard.append(answer.status)

    async def main(url: str) -> None:
        async with Http() as way_out:
            exchange = way_out.bind(timeout=2, allow_private=True, hear=hear).exchange()
            await exchange.request("GET", url)
            await exchange.request("GET", url)

    with RawServer(OK, reply(429)) as server:
        asyncio.run(main(server.url))
    assert heard == [200, 429]
