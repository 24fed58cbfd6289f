"""The control plane's thread that exports metrics, its own and every environment's, again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from aerodrome.otlp import points
from aerodrome.otlp.outbox import Outbox
from aerodrome.otlp.points import Collected
from aerodrome.threads import SupervisedThread

LONGEST_REST = 5.0
"""Seconds between two signs of life."""

PATIENCE = 120.0
"""Seconds that one look, or one request, may take."""

log = structlog.get_logger("otlp")


class MetricsExport:
    """Collects what there is `every` so many seconds, and sends it. `collect` may block and raise whatever it likes."""

    def __init__(
        self, collect: Callable[[], Iterable[Collected]], outbox: Outbox, *, every: float, instance: str
    ) -> None:
        self._collect = collect
        self._outbox = outbox
        self._every = every
        self._instance = instance
        self._stop = threading.Event()
        self.thread = SupervisedThread("otlp", self._run, patience=PATIENCE)

    def start(self) -> None:
        """Export from now on."""
        self.thread.start()

    def close(self) -> None:
        """Export no more. What could not be sent is lost: the next export has the same totals, and later ones."""
        self._stop.set()
        self.thread.join(1.0)

    def troubles(self) -> list[str]:
        """A sentence while metrics do not reach the collector, for `aerodrome status`."""
        error = self._outbox.status.error
        return [f"Metrics are not exported: {error}."] if error else []

    def once(self) -> None:
        """Collect, and have it sent."""
        try:
            collected = [*self._collect()]
        except Exception as error:  # noqa: BLE001 - the ledger is away; the next look may find it
            log.warning("metrics not collected", error=type(error).__name__)
            return
        for request in points.requests(collected, now=time.time(), instance=self._instance):
            self._outbox.put(request)

    def _run(self) -> None:
        due = time.monotonic()
        rest = 0.0
        while not self._stop.wait(rest):
            self.thread.beat()
            if time.monotonic() >= due:
                self.once()
                due = max(due + self._every, time.monotonic())
            vain = self._outbox.send(self.thread.beat)
            until_due = max(0.0, due - time.monotonic())
            rest = min(until_due, vain or until_due, LONGEST_REST)
