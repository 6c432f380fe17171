"""A stand-in that answers as far as Redis 6.2.14 does to whoever asks what it is; it keeps nothing.

Comes in: commands of a client. Goes out: its version, and that it knows no functions.
"""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from typing import ClassVar

INFO = b"# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\nrole:master\r\naof_enabled:0\r\n"


class OldRedisConversation(socketserver.StreamRequestHandler):
    """One connection."""

    ANSWERS: ClassVar = {
        b"HELLO": b"%3\r\n+server\r\n+redis\r\n+version\r\n+6.2.14\r\n+proto\r\n:3\r\n",
        b"INFO": b"$%d\r\n%b\r\n" % (len(INFO), INFO),
        b"CONFIG": b"%0\r\n",
        b"CLIENT": b"+OK\r\n",
        b"PING": b"+PONG\r\n",
        b"GET": b"_\r\n",
    }

    def handle(self) -> None:
        """Answer until the client goes."""
        with contextlib.suppress(OSError):
            while head := self.rfile.readline():
                words = [self._word() for _ in range(int(head[1:]))]
                name = words[0].upper()
                unknown = b"-ERR unknown command `%b`, with args beginning with: \r\n" % words[0]
                self.wfile.write(self.ANSWERS.get(name, unknown))

    def _word(self) -> bytes:
        word = self.rfile.read(int(self.rfile.readline()[1:]))
        self.rfile.readline()
        return word


@contextlib.contextmanager
def listening() -> Iterator[str]:
    """Yield its REDIS_URL."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OldRedisConversation) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
