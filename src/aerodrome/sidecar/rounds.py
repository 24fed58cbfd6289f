"""The sidecar's one-second rhythm: a round of the sync, the row for Airflow, the credentials, the status file.

`process` builds it and calls `run`; tests call `once`. It catches every failure that time or a person can mend: this
process must outlive an endpoint that is away for days.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog

from aerodrome.clock import Clock
from aerodrome.errors import AerodromeError
from aerodrome.otlp.outbox import OutboxStatus
from aerodrome.sidecar import backoff, parsing
from aerodrome.sidecar.config import PriorityParse
from aerodrome.sidecar.credentials import RefreshableCredentials
from aerodrome.sidecar.parsing import PriorityParsing
from aerodrome.sidecar.status import LogsStatus, MetricsStatus, SidecarStatus, StatusFile
from aerodrome.sidecar.sync import Round

log = structlog.get_logger("sidecar.rounds")


class Syncs(Protocol):
    """What the rhythm needs of a `sync.Syncer`."""

    def round(self) -> Round:
        """As `Syncer.round`."""

    def holds(self, path: str) -> bool:
        """As `Syncer.holds`."""


class Telling:
    """How Airflow is told of the files that were placed; a line without the table is told nothing."""

    def __init__(self, table: PriorityParsing | None, request: PriorityParse | None, dags: Path) -> None:
        self._table = table
        self._request = request
        self._dags = dags
        self._reminders = parsing.Reminders()

    def tell(self, placed: tuple[str, ...], present: Callable[[str], bool], now: float) -> None:
        """Name the placed files to Airflow, and once more those of a moment ago that are still there."""
        if self._table is None or self._request is None:
            return
        again = [file for file in self._reminders.take(now) if file not in placed and present(file)]
        self._reminders.note(placed, now)
        wanted = (*placed, *again)
        files = parsing.locations(wanted, present=present, dags_dir=self._dags, style=self._request.style)
        if files:
            self._table.ask(files)
        self._table.close_when_idle()

    def close(self) -> None:
        """Close the database connection."""
        if self._table is not None:
            self._table.close()


class Rounds:
    """All that is done again and again. `clock` is the wall clock, for the status; `monotonic` sets the pace."""

    def __init__(
        self,
        *,
        environment: str,
        syncer: Syncs,
        role: RefreshableCredentials,
        telling: Telling,
        logs: Callable[[], LogsStatus | None],
        metrics: Callable[[], MetricsStatus | None],
        traces: Callable[[], OutboxStatus | None],
        status_file: StatusFile,
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._syncer = syncer
        self._role = role
        self._telling = telling
        self._logs = logs
        self._metrics = metrics
        self._traces = traces
        self._file = status_file
        self._clock = clock
        self._monotonic = monotonic
        self._failures = 0
        self._unwritten = False
        self.status = SidecarStatus(environment, started=clock())

    def run(self, interval: float, rest: Callable[[float], None] = time.sleep) -> None:
        """Go on for ever; only an exception from a signal handler ends it.

        `rest` waits so many seconds for the next round, or less if it knows that there is something to do.
        """
        while True:
            started = self._monotonic()
            wait = self.once()
            due = backoff.next_start(started, self._monotonic(), max(interval, wait))
            pause = time.sleep if wait > 0 else rest  # what is away does not come back by being asked more often
            pause(max(0.0, due - self._monotonic()))

    def close(self) -> None:
        """Close connections."""
        self._telling.close()

    def once(self) -> float:
        """One round; returns how many seconds the next must wait at least, 0 when all is well."""
        self._role.keep_fresh()
        now = self._clock()
        try:
            done = self._syncer.round()
        except AerodromeError as error:
            self._missed(str(error), now)
        else:
            self._succeeded(done, now)
            self._telling.tell(done.placed, self._syncer.holds, self._monotonic())
        self._write()
        return backoff.back_off(self._failures)

    def _succeeded(self, done: Round, now: datetime) -> None:
        if self.status.away_since is not None:
            log.info("the bucket is back", away_since=self.status.away_since.isoformat())
        self._failures = 0
        self.status = replace(
            self.status, last_sync=now, objects=done.objects, refused=done.refused, away_since=None, error=None
        )

    def _missed(self, sentence: str, now: datetime) -> None:
        if self.status.error != sentence:
            log.warning("the DAGs folder cannot be synchronised and stays as it is", error=sentence)
        self._failures += 1
        self.status = replace(self.status, away_since=self.status.away_since or now, error=sentence)

    def _write(self) -> None:
        held = self._role.current()
        status = replace(
            self.status,
            credentials_until=held.expiration if held else None,
            credentials_error=self._role.error,
            logs=self._logs(),
            metrics=self._metrics(),
            traces=self._traces(),
        )
        try:
            self._file.write(status, now=self._monotonic())
        except AerodromeError as error:
            if not self._unwritten:
                log.warning("the status file cannot be written", error=str(error))
            self._unwritten = True
        else:
            self._unwritten = False
