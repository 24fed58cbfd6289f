"""The audit log: who did what, and who was refused what. Entries share one table with the events of environments.

`Audit.record` is the `model.audit.Recorder` that the API and the gateway get. It never waits: a thread writes the
entries in batches. `record` says what can be lost and when, and the log says what was. The number and age of entries
are bounded; so is the number of events of each environment, and of all together.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from aerodrome import clock
from aerodrome.ledger import texts
from aerodrome.ledger.schema import event
from aerodrome.model.audit import SESSION, Entry
from aerodrome.threads import SupervisedThread

KEPT = timedelta(days=90)
MOST_ENTRIES = 1_000_000
MOST_OF_HOLDER = 100_000
"""Entries of one principal, or of all sessions of one role: nobody displaces what others did."""

MOST_NAMELESS = 100_000
"""Entries without a principal: anybody can cause them, so they have a bound of their own and displace no others."""

MOST_OF_ONE, MOST_EVENTS = 5_000, 200_000
"""Events of one environment, and of all that there are and were; an environment has some ten in a day."""

WAITING = 20_000
"""Entries that may wait for the writer; about 20 MB at most."""

WAITING_NAMELESS = WAITING // 2
"""From so many waiting entries on, those without a principal are dropped."""

BATCH = 500
GATHERING = 0.1
"""Seconds that the writer lets entries gather before it writes them."""

PRUNE_EVERY = 3600.0
PRUNE_AFTER = 10_000
"""Seconds, or entries, between two searches for entries that are too old or too many."""

PAUSE = 1.0
"""Seconds before a batch that could not be written is tried again."""

CLOSING = 10.0
"""Seconds that `close` waits for the last batch."""

LONGEST = 1024
"""Characters that are kept of a text from a client."""

log = structlog.get_logger("aerodrome.audit")


class Audit:
    """The log over one engine; `close` it to have everything written."""

    def __init__(self, engine: sa.Engine, *, now: clock.Clock = clock.now) -> None:
        self._engine = engine
        self._now = now
        self._waiting: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        self._lost = 0
        self._counting = threading.Lock()
        self._closing = threading.Event()
        self.writer = SupervisedThread("audit", self._write)
        self.writer.start()

    def record(self, entry: Entry) -> None:
        """Take an entry and return at once; while the ledger answers, the entry is in it within a second.

        If the ledger is away until `WAITING` entries wait, further ones are dropped, and the log gets their number.
        """
        room = WAITING if entry.principal is not None else WAITING_NAMELESS
        if self._waiting.qsize() >= room:
            self._lose(1)
            return
        self._waiting.put(entry)

    def close(self) -> None:
        """Write what waits, then end the writer."""
        self._closing.set()
        self.writer.join(CLOSING)

    def entries(
        self,
        *,
        environment: str | None = None,
        principal: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        denied_only: bool = False,
        after: int = 0,
        limit: int = 100,
        reads: bool = True,
        lifecycle: bool = False,
    ) -> list[dict[str, Any]]:
        """The newest entries that match all filters, oldest first; `action` may end in `*`.

        Without `reads`, requests that were allowed and changed nothing are left out. `lifecycle` adds the environments'
        own events. They have no principal and no action, so a filter on either leaves them out.
        """
        statement = sa.select(event).where(event.c.id > after).order_by(event.c.id.desc()).limit(limit)
        if not lifecycle:
            statement = statement.where(event.c.allowed.is_not(None))
        if not reads:
            statement = statement.where(sa.or_(event.c.allowed.is_(None), ~event.c.allowed, ~_READS))
        if environment is not None:
            statement = statement.where(event.c.environment == environment)
        if principal is not None:
            statement = statement.where(event.c.principal == principal)
        if action is not None:
            statement = statement.where(_fits(action))
        if since is not None:
            statement = statement.where(event.c.at >= since)
        if denied_only:
            statement = statement.where(event.c.allowed.is_(False))
        with self._engine.begin() as connection:
            found = connection.execute(statement).mappings().all()
        return [dict(row) for row in reversed(found)]

    def prune(self) -> int:
        """Remove entries that are too old or too many, and events that are too many; returns how many were removed."""
        of_holders = self._prune_holders()  # first, or the loudest would cost others their oldest
        return of_holders + sum(self._prune(nameless=nameless) for nameless in (False, True)) + self._prune_events()

    def _prune_holders(self) -> int:
        named = sa.and_(event.c.allowed.is_not(None), event.c.principal.is_not(None))
        count = sa.select(event.c.principal, sa.func.count().label("count")).where(named).group_by(event.c.principal)
        counted = count.cte()
        of_all = sa.func.sum(counted.c.count).over(partition_by=_holder(counted.c.principal)).label("of_all")
        held = sa.select(counted.c.principal, of_all).subquery()
        loud = sa.select(held.c.principal).where(held.c.of_all > MOST_OF_HOLDER)
        newest_first = sa.func.row_number().over(partition_by=_holder(event.c.principal), order_by=event.c.id.desc())
        of_loud = sa.select(event.c.id, newest_first.label("newer")).where(named, event.c.principal.in_(loud))
        found = of_loud.subquery()
        beyond = sa.select(found.c.id).where(found.c.newer > MOST_OF_HOLDER)
        with self._engine.begin() as connection:
            return connection.execute(sa.delete(event).where(event.c.id.in_(beyond))).rowcount

    def _prune_events(self) -> int:
        newer = sa.func.row_number().over(partition_by=event.c.environment, order_by=event.c.id.desc())
        every = sa.func.row_number().over(order_by=event.c.id.desc())
        counted = sa.select(event.c.id, newer.label("newer"), every.label("every")).where(event.c.allowed.is_(None))
        found = counted.subquery()
        beyond = sa.select(found.c.id).where(sa.or_(found.c.newer > MOST_OF_ONE, found.c.every > MOST_EVENTS))
        with self._engine.begin() as connection:
            return connection.execute(sa.delete(event).where(event.c.id.in_(beyond))).rowcount

    def _prune(self, *, nameless: bool) -> int:
        mine = sa.and_(event.c.allowed.is_not(None), event.c.principal.is_(None) == nameless)
        most = MOST_NAMELESS if nameless else MOST_ENTRIES
        beyond = sa.select(event.c.id).where(mine).order_by(event.c.id.desc()).offset(most).limit(1)
        too_old = event.c.at < self._now() - KEPT
        statement = sa.delete(event).where(mine, sa.or_(too_old, event.c.id <= beyond.scalar_subquery()))
        with self._engine.begin() as connection:
            return connection.execute(statement).rowcount

    def _write(self) -> None:
        """The writer's loop: gather, write, and prune now and then; it waits for a ledger that is away."""
        pruned_at, written = time.monotonic(), 0
        while True:
            batch = self._gathered()
            if batch:
                written += len(batch)
                self._insert(batch)
            elif self._closing.is_set():
                return
            if written >= PRUNE_AFTER or time.monotonic() - pruned_at >= PRUNE_EVERY:
                pruned_at, written = time.monotonic(), 0
                self._prune_or_later()

    def _prune_or_later(self) -> None:
        try:
            self.prune()
        except sa.exc.SQLAlchemyError as error:
            log.warning("audit_not_pruned", error=type(error).__name__)

    def _gathered(self) -> list[Entry]:
        """The waiting entries, at most a batch of them; empty when none came for a second."""
        try:
            batch = [self._waiting.get(timeout=0 if self._closing.is_set() else 1.0)]
        except queue.Empty:
            return []
        self._closing.wait(GATHERING)
        while len(batch) < BATCH:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return batch

    def _insert(self, batch: Sequence[Entry]) -> None:
        """Write a batch: wait for a ledger that is away, and give up a batch that the ledger refuses."""
        while True:
            is_last_try = self._closing.is_set()
            try:
                with self._engine.begin() as connection:
                    connection.execute(sa.insert(event), [_row(entry) for entry in batch])
            except sa.exc.OperationalError as error:
                log.warning("audit_ledger_away", error=type(error.orig).__name__)
                if not is_last_try:
                    self._closing.wait(PAUSE)
                    continue
                self._lose(len(batch))
            except Exception as error:  # noqa: BLE001 - no entry may end the writer
                log.error("audit_batch_refused", error=type(error).__name__)  # noqa: TRY400 - its text holds the rows
                self._lose(len(batch))
            break
        with self._counting:
            lost, self._lost = self._lost, 0
        if lost:
            log.error("audit_entries_lost", count=lost)

    def _lose(self, count: int) -> None:
        with self._counting:
            self._lost += count


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "environment": _shortened(entry.environment),
        "kind": str(entry.kind),
        "sentence": _shortened(entry.sentence),
        "detail": texts.document(dict(entry.detail), LONGEST),
        "principal": _shortened(entry.principal),
        "action": _shortened(entry.action),
        "resource": _shortened(entry.resource),
        "allowed": entry.allowed,
        "address": _shortened(entry.address),
    }


def _holder(principal: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """As `model.audit.holder`."""
    return sa.func.regexp_replace(principal, SESSION, r"\1")


def _shortened(text: str | None) -> str | None:
    return None if text is None else texts.text(text, LONGEST)


_READS = sa.or_(
    sa.func.coalesce(event.c.action, "").regexp_match("^[a-z]+:(Get|List|Simulate)"),
    sa.func.coalesce(event.c.detail["method"].astext, "") == "GET",
)
"""Requests that change nothing: by the verb of the action, or by the method of an InvokeRestApi."""


def _fits(action: str) -> sa.ColumnElement[bool]:
    """The action itself, or every action that begins with the text before a last `*`."""
    if action.endswith("*"):
        return event.c.action.startswith(action[:-1], autoescape=True)
    return event.c.action == action
