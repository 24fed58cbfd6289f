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
        self._uncollected = ""
        self._odd: dict[str | None, str] = {}
        """Why metrics of an environment could not be written in the last round; None = of the control plane."""
        self._falls_before_round = 0
        """How often the thread had ended by an error when it last did all of its work."""
        self.thread = SupervisedThread("otlp", self._run, patience=PATIENCE)

    def start(self) -> None:
        """Export from now on."""
        self.thread.start()

    def close(self) -> None:
        """Export no more. What could not be sent is lost: the next export has the same totals, and later ones."""
        self._stop.set()
        self.thread.join(1.0)

    def troubles(self) -> list[str]:
        """Sentences while metrics do not reach the collector, for `aerodrome status`."""
        found = [
            f"Metrics are not exported: {error}." for error in (self._outbox.status.error, self._uncollected) if error
        ]
        found += [
            f"Metrics of {environment or 'the control plane'} are not exported: {error}. The log otlp has more."
            for environment, error in self._odd.items()
        ]
        if self.thread.falls > self._falls_before_round:
            found.append(f"Metrics are not exported: the thread that does it ends by an error: {self.thread.reason}.")
        return found

    def once(self) -> None:
        """Collect, and have it sent. What is odd at one environment holds up none of the others."""
        try:
            series = points.sorted_out(self._collect())
        except Exception as error:  # noqa: BLE001 - the ledger is away; the next look may find it
            log.warning("metrics not collected", error=type(error).__name__)
            self._uncollected = f"they could not be collected ({type(error).__name__}), which is tried again"
            return
        self._uncollected = ""
        odd = {}
        ready: list[list[bytes]] = []
        for environment, found in series.items():
            try:
                batches = [*points.requests(environment, found, now=time.time(), instance=self._instance)]
            except Exception as error:
                log.exception("metrics of an environment cannot be written by OTLP", environment=environment)
                odd[environment] = type(error).__name__
                self._outbox.drop()
                continue
            ready.append(batches)
        self._odd = odd
        # The outbox drops the oldest where all is too much: so who sends much loses, and nobody else.
        for batches in sorted(ready, key=lambda each: sum(map(len, each)), reverse=True):
            for batch in batches:
                self._outbox.put(batch)

    def _run(self) -> None:
        due = time.monotonic()
        rest = 0.0
        while not self._stop.wait(rest):
            self.thread.beat()
            if time.monotonic() >= due:
                self.once()
                due = max(due + self._every, time.monotonic())
            vain = self._outbox.send(self.thread.beat)
            self._falls_before_round = self.thread.falls
            until_due = max(0.0, due - time.monotonic())
            rest = min(until_due, vain or until_due, LONGEST_REST)
