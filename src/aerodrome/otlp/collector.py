"""Sends requests to a collector, by OTLP over HTTP, with the standard library's client.

OpenTelemetry's own exporters were weighed: they have no bound in bytes, give a request up after ten seconds without
counting it, do not heed Retry-After, and take their settings from variables of the process.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

from aerodrome.errors import CallerError
from aerodrome.otlp.addresses import CollectorAddress
from aerodrome.otlp.headers import HeadersFile

METRICS, TRACES = "/v1/metrics", "/v1/traces"

TIMEOUT = 10.0
"""Seconds without a byte."""

LONGEST = 30.0
"""Seconds that a request and its answer may take together, however it trickles."""

ANSWER_LIMIT = 64 * 1024
"""Bytes of an answer that are read."""

SENTENCE_LIMIT = 300

CONTENT_TYPE = "application/x-protobuf"

LATER = frozenset({429, 502, 503, 504})
"""What a collector answers that may take the same request later; OTLP says that nothing else is to be repeated."""

LONGEST_WISH = 300.0
"""Seconds of Retry-After that are heeded."""


class CollectorAwayError(Exception):
    """The request was not taken; it may be later, after `delay` seconds if the collector has said so."""

    def __init__(self, sentence: str, delay: float = 0.0) -> None:
        super().__init__(sentence)
        self.delay = delay


class CollectorRefusedError(Exception):
    """The collector will not take this request."""


class Collector:
    """What takes one kind of data; for one thread."""

    def __init__(self, address: CollectorAddress, path: str) -> None:
        self.url = address.endpoint.rstrip("/") + path
        self._parts = urlsplit(self.url)
        self._headers = HeadersFile(address.headers)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes) -> bytes:
        """Send a request; returns what is answered.

        Raises:
            CollectorAwayError: it may be taken later.
            CollectorRefusedError: it will not.
        """
        try:
            headers = self._headers.read()
        except CallerError as error:
            raise CollectorAwayError(str(error)) from error
        headers |= {"Content-Type": CONTENT_TYPE, "Content-Encoding": "gzip"}
        try:
            if self._connection is None:
                self._connection = self._connect()
            if self._connection.sock is None:  # it is new, or the collector has ended it
                self._connection.connect()
            with _cut_off(self._connection.sock, LONGEST):
                self._connection.request("POST", self._parts.path, body=gzip.compress(body), headers=headers)
                response = self._connection.getresponse()
                answer = response.read(ANSWER_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CollectorAwayError(f"{self.url} does not answer: {why}"[:SENTENCE_LIMIT]) from error
        if not response.isclosed():  # it says more than anybody wants to know
            self.close()
        if response.status == http.client.OK:
            return answer
        self.close()
        sentence = f"{self.url} answers {response.status} {response.reason}"[:SENTENCE_LIMIT]
        if response.status in LATER:
            raise CollectorAwayError(sentence, _delay(response.getheader("retry-after", "")))
        raise CollectorRefusedError(sentence)

    def close(self) -> None:
        """Drop the connection; the next request makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)


@contextlib.contextmanager
def _cut_off(connection: socket.socket, after: float) -> Iterator[None]:
    """Ends a connection that the block still reads or writes after so many seconds, and then raises TimeoutError."""
    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        with contextlib.suppress(OSError):
            # The plain socket's: what TLS has of its own is the other thread's.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = threading.Timer(after, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if is_cut.is_set():  # what was read until then may look like an answer
        raise TimeoutError(f"its answer took longer than {after:.0f} seconds")


def _delay(wish: str) -> float:
    """Seconds that Retry-After asks for; a date is not understood."""
    return min(float(wish), LONGEST_WISH) if wish.isascii() and wish.isdecimal() else 0.0
