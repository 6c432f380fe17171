"""An OTLP collector on loopback: takes spans over HTTP, and reads them with the protocol's own messages."""

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it came."""

    name: str
    service: str
    trace: str
    id: str
    parent: str
    #: Spans of other traces that it follows.
    links: tuple[str, ...]
    attributes: dict[str, Any]
    #: The code for which it failed; empty: it did not.
    failed: str
    raw: bytes


class OtlpReceiver:
    """Use it as `with`."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces", self.path
                assert self.headers["Content-Type"] == "application/x-protobuf"
                outer.take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "OtlpReceiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Take one parcel of spans."""
        for resource in request.resource_spans:
            [service] = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    found = {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}
                    self.spans.append(
                        ReceivedSpan(
                            span.name,
                            service,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            tuple(f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links),
                            found,
                            span.status.message if span.status.code == 2 else "",
                            span.SerializeToString(),
                        )
                    )

    def named(self, begin: str) -> list[ReceivedSpan]:
        """Return the spans whose name begins so."""
        return [span for span in list(self.spans) if span.name.startswith(begin)]
