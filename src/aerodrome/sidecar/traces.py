"""Spans of an environment's units, taken at the sidecar's port and sent to the operator's collector.

Units know no address and no key of the collector. DAG code may send too, and is hostile: bytes, and bytes in a while,
are bounded, and whatever a span says, it is of this environment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus

from aerodrome.listening import heads
from aerodrome.otlp import resources, spans
from aerodrome.otlp.addresses import AddressFile, CollectorAddress
from aerodrome.otlp.collector import CONTENT_TYPE, TRACES, Collector
from aerodrome.otlp.outbox import Outbox, OutboxStatus
from aerodrome.threads import SupervisedThread

LONGEST_BODY = 4 * 2**20
"""Bytes of a request; OpenTelemetry's exporters send 512 spans."""

RATE, BURST = 2**20, 2 * LONGEST_BODY
"""Bytes a second, and at once after a rest."""

EVERY = 5.0
"""Seconds for which spans are gathered."""


def asked(raw: bytes) -> int | HTTPStatus | None:
    """How many bytes of spans follow this head; a status = it is refused; None = it is about something else. Pure."""
    try:
        head = heads.read(raw)
    except heads.BadHeadError:
        return None
    if head.target != TRACES.encode():
        return None
    headers = dict(head.headers)
    if head.method != b"POST":
        return HTTPStatus.METHOD_NOT_ALLOWED
    if headers.get(b"content-type") != CONTENT_TYPE.encode() or b"content-encoding" in headers:
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    length = headers.get(b"content-length", b"")
    if not length.isdigit():
        return HTTPStatus.LENGTH_REQUIRED
    return int(length) if int(length) <= LONGEST_BODY else HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Forwarding:
    """Takes spans in one thread, and sends them in another, which begins when there is something to send."""

    def __init__(self, environment: str, file: AddressFile, *, monotonic: Callable[[], float]) -> None:
        self._environment = environment
        self._file = file
        self._monotonic = monotonic
        self._address: CollectorAddress | None = None
        self._outbox: Outbox | None = None
        self._room = float(BURST)
        self._seen_at = monotonic()
        self._leaving = threading.Event()
        self._thread: SupervisedThread | None = None

    @property
    def status(self) -> OutboxStatus | None:
        """What became of spans; None: none was to be sent."""
        outbox = self._outbox
        return outbox.status if outbox is not None else None

    def take(self, body: bytes) -> HTTPStatus:
        """Have the spans of a request sent, later; never waits.

        While OTLP is off they are thrown away: units send on that were started while it was on.
        """
        self._look()
        if self._outbox is None:
            return HTTPStatus.OK
        now = self._monotonic()
        self._room = min(BURST, self._room + (now - self._seen_at) * RATE)
        self._seen_at = now
        if len(body) > self._room:
            self._outbox.drop()
            return HTTPStatus.TOO_MANY_REQUESTS
        self._room -= len(body)
        try:
            batch = spans.named(body, resources.attributes(self._environment))
        except spans.UnreadableSpansError:
            return HTTPStatus.BAD_REQUEST
        if batch:
            self._outbox.put(batch)
        return HTTPStatus.OK

    def close(self, patience: float) -> None:
        """Take nothing any more, and send what was taken, within so many seconds."""
        self._leaving.set()
        if self._thread is not None:
            self._thread.join(patience)

    def _look(self) -> None:
        address = self._file.read()
        if address == self._address:
            return
        self._address = address
        self._outbox = Outbox(Collector(address, TRACES)) if address is not None else None
        if self._outbox is not None and self._thread is None:
            self._thread = SupervisedThread("traces", self._run)
            self._thread.start()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._leaving.wait(EVERY)
            outbox = self._outbox
            if outbox is not None:
                outbox.send()
