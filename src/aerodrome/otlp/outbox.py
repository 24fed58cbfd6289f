"""What waits for a collector: bounded in bytes, sent in large requests, and counted where it had to be dropped."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from aerodrome import clock
from aerodrome.otlp.collector import Collector, CollectorAwayError, CollectorRefusedError

MOST_WAITING = 8 * 2**20
"""Bytes; beyond that the oldest batches go."""

LARGEST_REQUEST = 2**20
"""Bytes before compression, unless one batch alone is larger."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a collector is asked again that did not take a request; the pause doubles each time."""

log = structlog.get_logger("otlp")


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """What became of batches: parts of requests, of which each could be one."""

    sent: int = 0
    dropped: int = 0
    """Those that found no room, or that the collector does not take."""
    behind_since: datetime | None = None
    """Since when nothing can be sent; None while all is well."""
    error: str | None = None


def pause(failures: int, wish: float) -> float:
    """Seconds to wait after so many failures in a row (at least 1), where the collector wishes for so many. Pure."""
    return max(wish, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16)))


class Outbox:
    """Any thread puts batches in; one thread sends them."""

    def __init__(self, collector: Collector, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._collector = collector
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._failures = 0
        self._not_before = 0.0
        self.status = OutboxStatus()

    def put(self, batch: bytes) -> None:
        """Have the batch sent, an encoded message of a request. Messages of OTLP are put together by joining them."""
        with self._lock:
            self._waiting.append(batch)
            self._bytes += len(batch)
            self._make_room()

    def drop(self) -> None:
        """Count a batch that was not even put in."""
        with self._lock:
            self._count(dropped=1)

    def send(self, beat: Callable[[], None] = lambda: None) -> float:
        """Send all that waits, as far as the collector takes it; returns for how many seconds that is vain."""
        while self._monotonic() >= self._not_before:
            beat()
            batches = self._take()
            if not batches:
                self._collector.close()
                return 0.0
            try:
                answer = self._collector.post(b"".join(batches))
            except CollectorAwayError as error:
                self._put_back(batches)
                self._away(error)
            except CollectorRefusedError as error:
                self._tell(str(error))
                with self._lock:
                    self._count(dropped=len(batches))
                    self._failures = 0
            else:
                self._taken(len(batches), _complaint(answer))
        return max(0.0, self._not_before - self._monotonic())

    def _take(self) -> list[bytes]:
        """The next batches, and nothing else than one request holds."""
        found: list[bytes] = []
        size = 0
        with self._lock:
            while self._waiting and (not found or size + len(self._waiting[0]) <= LARGEST_REQUEST):
                found.append(self._waiting.popleft())
                size += len(found[-1])
            self._bytes -= size
        return found

    def _put_back(self, batches: list[bytes]) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(batches))
            self._bytes += sum(map(len, batches))
            self._make_room()

    def _make_room(self) -> None:
        while self._bytes > MOST_WAITING:
            self._bytes -= len(self._waiting.popleft())
            self._count(dropped=1)

    def _away(self, error: CollectorAwayError) -> None:
        self._failures += 1
        self._not_before = self._monotonic() + pause(self._failures, error.delay)
        self._tell(str(error))
        with self._lock:
            self.status = replace(self.status, behind_since=self.status.behind_since or clock.now())

    def _taken(self, batches: int, complaint: str) -> None:
        self._failures = 0
        if complaint:
            self._tell(f"{self._collector.url} {complaint}")
        with self._lock:
            self._count(sent=batches)
            self.status = replace(self.status, behind_since=None, error=self.status.error if complaint else None)

    def _tell(self, sentence: str) -> None:
        with self._lock:
            is_known = self.status.error == sentence
            self.status = replace(self.status, error=sentence)
        if not is_known:
            log.warning("a collector does not take everything", error=sentence)

    def _count(self, *, sent: int = 0, dropped: int = 0) -> None:
        self.status = replace(self.status, sent=self.status.sent + sent, dropped=self.status.dropped + dropped)


def _complaint(answer: bytes) -> str:
    """What a collector says that took a request but for a part of it; empty = it has taken all. Pure."""
    if not answer:
        return ""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - 7 MB that nobody needs while OTLP is off
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415 - as above

    try:  # the answers to traces and to metrics have the same fields
        found = trace_service_pb2.ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return ""  # it has said 200
    if found.rejected_spans:
        return f"has refused {found.rejected_spans} of what it was sent: {found.error_message}"[:300]
    return f"says: {found.error_message}"[:300] if found.error_message else ""
