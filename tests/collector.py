"""A collector of OpenTelemetry's for tests: a real HTTP server that reads what comes by the messages of OTLP."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from aerodrome.otlp.addresses import CollectorAddress

REQUESTS = {
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "/v1/traces": trace_service_pb2.ExportTraceServiceRequest,
}


@dataclass(frozen=True)
class Received:
    """A request, whatever it was answered."""

    path: str
    headers: dict[str, str]
    message: Any


@dataclass
class Behaviour:
    """What is answered."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class TestCollector:
    """The server. `behaviour` may be changed at any time; while `hangs` is set, nothing is answered."""

    __test__ = False

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.received: list[Received] = []
        self.hangs = threading.Event()
        self.goes_on = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["content-type"] == "application/x-protobuf"
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                message = REQUESTS[self.path].FromString(body)
                collector.received.append(Received(self.path, headers, message))
                if collector.hangs.is_set():
                    collector.goes_on.wait()
                behaviour = collector.behaviour
                self.send_response(behaviour.status)
                for name, value in behaviour.headers:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(behaviour.body)))
                self.end_headers()
                self.wfile.write(behaviour.body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # who sent has gone, as when it has waited for long enough

        self._server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def address(self) -> CollectorAddress:
        return CollectorAddress(self.endpoint, None)

    def spans(self) -> Iterator[tuple[dict[str, str], Any]]:
        """Every span that came, with the attributes of its resource."""
        for each in [*self.received]:
            for found in getattr(each.message, "resource_spans", ()):
                for scope in found.scope_spans:
                    yield from ((attributes(found.resource.attributes), span) for span in scope.spans)

    def metrics(self) -> Iterator[tuple[dict[str, str], Any]]:
        """Every metric that came, with the attributes of its resource."""
        for each in [*self.received]:
            for found in getattr(each.message, "resource_metrics", ()):
                for scope in found.scope_metrics:
                    yield from ((attributes(found.resource.attributes), metric) for metric in scope.metrics)

    def close(self) -> None:
        self.goes_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def attributes(found: Any) -> dict[str, str]:
    """Attributes whose values are texts; one that comes twice fails."""
    names = [each.key for each in found]
    assert len(names) == len(set(names))
    return {each.key: each.value.string_value for each in found}


@contextmanager
def started() -> Iterator[TestCollector]:
    """A collector that listens."""
    made = TestCollector()
    try:
        yield made
    finally:
        made.close()


def request_with_spans(*names: str, **resource: str) -> bytes:
    """The body of a request with spans of these names."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    made = request.resource_spans.add()
    for key, value in resource.items():
        made.resource.attributes.add(key=key.replace("_", ".")).value.string_value = value
    scope = made.scope_spans.add()
    for name in names:
        scope.spans.add(name=name, trace_id=b"t" * 16, span_id=b"s" * 8)
    return request.SerializeToString()
