"""Sends what was measured to CloudWatch, as the execution role: each minute, or sooner; in a thread of its own."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
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
        self._cloudwatch = cloudwatch
        self._as_service = as_service or cloudwatch
        self._clock = clock
        self._every = every
        self._measure = measure
        self._leaving = threading.Event()
        self._waiting: deque[Measured] = deque()
        self._lost = 0
        self._unheard = 0
        self._failures = 0
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
        self._waiting += self._measure(self._clock().timestamp())
        found, unheard = self._finished(
            self._clock().timestamp() - LATE, is_early=self._every < MINUTE or self._leaving.is_set()
        )
        self._waiting += found
        if unheard > self._unheard:
            log.warning("metrics were lost on their way from units, or were too many", metrics=unheard - self._unheard)
        self._unheard = unheard
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._lost += 1
        self.status = replace(self.status, dropped=self._lost + unheard)
        try:
            while self._waiting:
                self._send(list(_first(self._waiting)))
        except AwayError as error:
            return self._away(str(error))
        self._failures = 0
        self.status = replace(self.status, behind_since=None)
        now = self._clock().timestamp() - LATE
        return self._every - now % self._every

    def _send(self, batch: Sequence[Measured]) -> None:
        try:
            endpoint = self._as_service if batch[0].namespace == measuring.NAMESPACE else self._cloudwatch
            endpoint.put(self._environment, batch)
        except RefusalError as error:
            if self.status.error != str(error):
                log.warning("metrics are refused", error=str(error), metrics=len(batch))
            self._lost += len(batch)
            self.status = replace(self.status, dropped=self.status.dropped + len(batch), error=str(error))
        else:
            self.status = replace(self.status, published=self.status.published + len(batch), error=None)
        for _ in batch:
            self._waiting.popleft()

    def _away(self, sentence: str) -> float:
        self._failures += 1
        if self.status.error != sentence:
            log.warning("metrics cannot be published now", error=sentence)
        since = self.status.behind_since or self._clock()
        self.status = replace(self.status, error=sentence, behind_since=since)
        return backoff.back_off(self._failures)


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
