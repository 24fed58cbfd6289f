"""Sends what was measured to CloudWatch each minute, or sooner; in a thread of its own.

Airflow's metrics go as the execution role, and what MWAA measures as the service: neither waits for the other.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog

from aerodrome.clock import Clock
from aerodrome.sidecar import backoff
from aerodrome.sidecar.config import AccessKeys
from aerodrome.sidecar.metrics import measuring
from aerodrome.sidecar.metrics.aggregation import MINUTE, Measured
from aerodrome.sidecar.metrics.listening import Beat
from aerodrome.sidecar.signed_http import AwayError, AwsEndpoint, AwsRequest, RefusalError
from aerodrome.sidecar.status import MetricsStatus

TARGET = "GraniteServiceVersion20100801.PutMetricData"

BATCH = 250
"""Metrics of one request; a thousand are allowed, and a megabyte."""

MOST_WAITING = 30_000
"""Metrics of all minutes that could not be sent yet; the oldest go first."""

LONGEST_PAUSE = 5.0
"""Seconds between two signs of life."""

LATE = 2.0
"""Seconds after a minute's end until it is sent: packets are still on their way."""

ANSWER_LIMIT = 64 * 1024

EXPIRED = frozenset({"ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"})

THROTTLED = frozenset({"Throttling", "ThrottlingException", "LimitExceeded", "LimitExceededException"})

log = structlog.get_logger("sidecar.metrics")


Measure = Callable[[float], list[Measured]]
"""What is to be measured besides, at a time, if it is time."""


class Finished(Protocol):
    """What hands out measurements, each once, and says how many found no room."""

    def __call__(self, now: float, *, is_early: bool) -> tuple[list[Measured], int]:
        """Those of minutes that are over, or all until now."""


class MetricsEndpoint:
    """PutMetricData, for one environment; for one thread."""

    def __init__(
        self, endpoint: AwsEndpoint, keys: Callable[[], AccessKeys], reject: Callable[[], None] | None = None
    ) -> None:
        """`reject` says that the keys are refused, and there will be others; None = there are no others."""
        self._endpoint = endpoint
        self._keys = keys
        self._reject = reject

    def put(self, environment: str, measured: Sequence[Measured]) -> None:
        """Send these, which are of one namespace.

        Raises:
            AwayError: it may work later. RefusalError: it never will, or is not allowed.
        """
        data = [_datum(environment, each) for each in measured]
        body = {"Namespace": measured[0].namespace, "MetricData": data}
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": TARGET}
        try:
            response = self._endpoint.send(
                AwsRequest(method="POST", headers=headers, body=json.dumps(body).encode()), self._keys()
            )
            response.read(ANSWER_LIMIT)
        except RefusalError as error:
            word = error.code.rpartition("#")[2]
            if word in EXPIRED and self._reject is not None:
                self._reject()
                raise AwayError(str(error)) from error
            if word in THROTTLED:
                raise AwayError(str(error)) from error
            raise
        except OSError as error:
            self._endpoint.close()
            raise self._endpoint.away(error) from error


@dataclass(slots=True, eq=False)
class _Outlet:
    """One endpoint, what waits for it, and what became of it; it says nothing of another one."""

    endpoint: MetricsEndpoint
    waiting: deque[Measured] = field(default_factory=deque)
    failures: int = 0
    behind_since: datetime | None = None
    error: str | None = None


class Publisher:
    """Publishes one environment's metrics."""

    def __init__(
        self,
        *,
        environment: str,
        finished: Finished,
        cloudwatch: MetricsEndpoint,
        as_service: MetricsEndpoint | None = None,
        clock: Clock,
        every: int = MINUTE,
        measure: Measure = lambda _now: [],
    ) -> None:
        """`as_service` takes what MWAA itself measures, which no execution role may write."""
        self._environment = environment
        self._finished = finished
        self._as_role = _Outlet(cloudwatch)
        self._as_service = self._as_role if as_service is None else _Outlet(as_service)
        self._ways = [self._as_role] if as_service is None else [self._as_role, self._as_service]
        self._clock = clock
        self._every = every
        self._measure = measure
        self._leaving = threading.Event()
        self._published = 0
        self._lost = 0
        self._unheard = 0
        self.status = MetricsStatus()

    def run(self, beat: Beat) -> None:
        """Publish again and again, and once more when told to leave."""
        while not self._leaving.wait(min(self.once(), LONGEST_PAUSE)):
            beat()
        self.once()

    def leave(self) -> None:
        """Let `run` return, after what has been measured until now is published. Safe from any thread."""
        self._leaving.set()

    def once(self) -> float:
        """Publish what there is; how many seconds there is nothing to do."""
        self._take(self._measure(self._clock().timestamp()))
        found, unheard = self._finished(
            self._clock().timestamp() - LATE, is_early=self._every < MINUTE or self._leaving.is_set()
        )
        self._take(found)
        if unheard > self._unheard:
            log.warning("metrics were lost on their way from units, or were too many", metrics=unheard - self._unheard)
        self._unheard = unheard
        while sum(len(way.waiting) for way in self._ways) > MOST_WAITING:
            max(self._ways, key=lambda way: len(way.waiting)).waiting.popleft()
            self._lost += 1
        pauses = [self._publish(way) for way in self._ways]
        self._tell()
        return min(pauses)

    def _take(self, found: list[Measured]) -> None:
        for each in found:
            way = self._as_service if each.namespace == measuring.NAMESPACE else self._as_role
            way.waiting.append(each)

    def _publish(self, way: _Outlet) -> float:
        try:
            while way.waiting:
                self._send(way, list(_first(way.waiting)))
                self._tell()
        except AwayError as error:
            return self._away(way, str(error))
        way.failures, way.behind_since = 0, None
        now = self._clock().timestamp() - LATE
        return self._every - now % self._every

    def _send(self, way: _Outlet, batch: Sequence[Measured]) -> None:
        try:
            way.endpoint.put(self._environment, batch)
        except RefusalError as error:
            if way.error != str(error):
                log.warning("metrics are refused", error=str(error), metrics=len(batch))
            way.error = str(error)
            self._lost += len(batch)
        else:
            way.error = None
            self._published += len(batch)
        for _ in batch:
            way.waiting.popleft()

    def _away(self, way: _Outlet, sentence: str) -> float:
        way.failures += 1
        if way.error != sentence:
            log.warning("metrics cannot be published now", error=sentence)
        way.error, way.behind_since = sentence, way.behind_since or self._clock()
        return backoff.back_off(way.failures)

    def _tell(self) -> None:
        self.status = MetricsStatus(
            published=self._published,
            dropped=self._lost + self._unheard,
            behind_since=min((way.behind_since for way in self._ways if way.behind_since is not None), default=None),
            error=self._as_role.error,
            service_error=None if self._as_service is self._as_role else self._as_service.error,
        )


def _first(waiting: deque[Measured]) -> Iterator[Measured]:
    for number, each in enumerate(waiting):
        if number == BATCH or each.namespace != waiting[0].namespace:
            return
        yield each


def _datum(environment: str, measured: Measured) -> Mapping[str, object]:
    dimensions = (*measured.dimensions, ("Environment", environment))
    return {
        "MetricName": measured.name,
        "Dimensions": [{"Name": name, "Value": value[:1024]} for name, value in dimensions],
        "Timestamp": measured.minute,
        "Values": list(measured.values),
        "Counts": list(measured.values.values()),
        "Unit": measured.unit,
    }
