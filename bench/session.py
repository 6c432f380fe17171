"""Somebody who looks at the pages of a measured console: comes in by a link, asks for pages, watches the tail.

Comes in: the console's port. Goes out: texts, how many frames of a tail came. Never measures anything.
"""

import http.client
import json
import socket
import threading
from contextlib import closing, suppress

from bench.stage import TOKEN

#: What a browser says of itself when a form of the same origin is sent.
FORM = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}


class PageSession:
    """One person with one cookie."""

    def __init__(self, port: int) -> None:
        self._port = port
        by_hand = {"Authorization": f"Bearer {TOKEN}", "X-Relais-By-Hand": "bench", "Content-Type": "application/json"}
        body = {"name": "bench", "role": "admin", "payloads": False, "reason": "bench"}
        _, text = self._ask("POST", "/users/link", json.dumps(body), by_hand)
        headers, _ = self._ask("POST", json.loads(text)["link"], "", FORM)
        self._cookie = headers["Set-Cookie"].partition(";")[0]

    def get(self, path: str) -> str:
        """Return the text of a page."""
        return self._ask("GET", f"/ui{path}", None, {"Cookie": self._cookie})[1]

    def _ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPMessage, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]}")
            return answer.headers, text

    def watch(self) -> "TailWatch":
        """Begin to watch the tail."""
        return TailWatch(self._port, self._cookie)


class TailWatch:
    """A tail that is watched until it is closed."""

    def __init__(self, port: int, cookie: str) -> None:
        self.frames = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(
            f"GET /ui/events/tail HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode()
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            piece = self._socket.recv(65536)
            if not piece:
                return
            self.frames += piece.count(b"event: frame")

    def close(self) -> None:
        """Watch no longer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
