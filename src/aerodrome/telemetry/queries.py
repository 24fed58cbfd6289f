"""The queries of Insights that are under way or have ended: a few at a time run, results are kept for a while.

`logs_api` uses it, in the event loop. A query belongs to who has started it: nobody else sees it, for its rows hold
what log groups say of which others may not be allowed to read.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

import structlog

from aerodrome.telemetry.insights.search import CANCELLED, TIMED_OUT, QueryOutcome, Question
from aerodrome.telemetry.refusals import INVALID, LIMIT, NOT_FOUND, TelemetryRefusedError
from aerodrome.telemetry.store import QUERIERS, Store

MOST_OPEN = 16
MOST_OPEN_OF_ONE = 4
"""Queries that wait or run, of all callers and of one; of one caller, one runs."""

MOST_KEPT_OF_ONE = 30
KEPT_BYTES = 512 * 2**20
KEPT_SECONDS = 3600.0
"""Results that are kept: of one caller, of all together, and for how long."""

PAGE_BYTES = 8 * 2**20
MOST_ROWS_OF_A_PAGE = 10_000

SCHEDULED, RUNNING, COMPLETE, FAILED = "Scheduled", "Running", "Complete", "Failed"

log = structlog.get_logger("telemetry")


@dataclass(slots=True, kw_only=True)
class InsightsQuery:
    """One query."""

    identifier: str
    text: str
    caller: str
    groups: tuple[str, ...]
    """Their names."""
    created: int
    """In milliseconds."""
    target: Path
    """The file of its rows."""
    ticket: Path
    status: str = SCHEDULED
    outcome: QueryOutcome | None = None
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    """On the monotonic clock."""
    task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self.status in {SCHEDULED, RUNNING}

    @property
    def duration(self) -> int:
        """Milliseconds."""
        return int(((self.ended or time.monotonic()) - self.began) * 1000)


@dataclass(frozen=True, slots=True)
class ResultRows:
    """A page of a query's rows."""

    rows: tuple[list[list[str]], ...]
    resume: int | None
    """The place in the file from which to go on."""


class InsightsQueries:
    """All of them; lives in one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running = asyncio.Semaphore(QUERIERS)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By caller: who has it runs or is the next of this caller's to run."""
        self._arriving: Counter[str] = Counter()
        self._queries: dict[str, InsightsQuery] = {}
        store.upkeep.append(self._forget)

    @contextmanager
    def arriving(self, caller: str) -> Iterator[None]:
        """There is room for one more query within the block, in which it is read and started.

        Raises:
            TelemetryRefusedError: too many are open.
        """
        is_open = Counter(query.caller for query in self._queries.values() if query.is_open) + self._arriving
        if is_open.total() >= MOST_OPEN or is_open[caller] >= MOST_OPEN_OF_ONE:
            raise TelemetryRefusedError(LIMIT, "Too many queries are open: wait until one has ended, or stop one.")
        self._arriving[caller] += 1
        try:
            yield
        finally:
            self._arriving[caller] -= 1
            self._arriving += Counter()  # which removes those of zero

    def start(self, question: Question, *, text: str, caller: str, groups: tuple[str, ...]) -> str:
        """Let a query that has arrived be carried out; its identifier."""
        self._forget()
        self._forget_of(caller)
        identifier = str(uuid.uuid4())
        folder = self._store.place.temporary
        query = InsightsQuery(
            identifier=identifier,
            text=text,
            caller=caller,
            groups=groups,
            created=self._store.now,
            target=folder / f"{identifier}.rows",
            ticket=folder / f"{identifier}.ticket",
        )
        self._queries[identifier] = query
        query.task = asyncio.get_running_loop().create_task(self._carry_out(query, question))
        return identifier

    def found(self, identifier: str, *, caller: str) -> InsightsQuery:
        """A query of this caller's.

        Raises:
            TelemetryRefusedError: there is none.
        """
        query = self._queries.get(identifier)
        if query is None or query.caller != caller:
            raise _missing(identifier)
        return query

    def stop(self, identifier: str, *, caller: str) -> None:
        """End a query.

        Raises:
            TelemetryRefusedError: there is none, or it has ended.
        """
        query = self.found(identifier, caller=caller)
        if not query.is_open:
            raise TelemetryRefusedError(INVALID, f"The query {identifier} is not running.")
        if query.status == SCHEDULED and query.task is not None:
            query.task.cancel()
        query.ticket.unlink(missing_ok=True)
        self._end(query, CANCELLED)

    def of(self, caller: str) -> list[InsightsQuery]:
        """A caller's queries, the youngest first."""
        return [query for query in reversed(self._queries.values()) if query.caller == caller]

    def rows(self, query: InsightsQuery, *, start: int, most: int) -> ResultRows:
        """A page of rows, from a place in the file on; reads it.

        Raises:
            TelemetryRefusedError: the file was removed, for it is old.
            ValueError: the place is none where a row begins.
        """
        found: list[list[list[str]]] = []
        try:
            file = query.target.open("rb")
        except FileNotFoundError:
            raise _missing(query.identifier) from None
        with file:
            file.seek(start)
            while len(found) < most and file.tell() - start < PAGE_BYTES and (line := file.readline()):
                found.append(json.loads(line))
            place = file.tell()
        is_more = query.outcome is not None and place < query.outcome.size
        return ResultRows(tuple(found), place if is_more else None)

    async def _carry_out(self, query: InsightsQuery, question: Question) -> None:
        status = FAILED
        try:
            turn = self._turns.setdefault(query.caller, asyncio.Lock())
            async with turn, self._running:
                query.status, query.began = RUNNING, time.monotonic()
                outcome = await self._store.query(question, ticket=query.ticket, target=query.target)
                if query.is_open:  # nobody has stopped it while it ended
                    query.outcome, status = outcome, COMPLETE
        except TelemetryRefusedError as error:
            status = error.code if error.code in {TIMED_OUT, CANCELLED} else FAILED
            log.info("a query did not complete", query=query.identifier, status=status, reason=str(error))
        except Exception:
            log.exception("a query failed", query=query.identifier)
        finally:
            if query.is_open:
                self._end(query, status)
            else:
                query.target.unlink(missing_ok=True)

    def _end(self, query: InsightsQuery, status: str) -> None:
        query.status, query.ended = status, time.monotonic()
        if status != COMPLETE:
            query.target.unlink(missing_ok=True)

    def _forget_of(self, caller: str) -> None:
        """Remove results of a caller who has too many, the oldest first."""
        own = [query for query in self._queries.values() if query.caller == caller and not query.is_open]
        self._remove(own[: max(len(own) + 1 - MOST_KEPT_OF_ONE, 0)])

    def _forget(self) -> None:
        """Remove results that are old or too large together, the oldest first."""
        until = time.monotonic() - KEPT_SECONDS
        self._remove(query for query in self._queries.values() if not query.is_open and (query.ended or 0) < until)
        total = 0
        for query in reversed(list(self._queries.values())):
            total += query.outcome.size if query.outcome else 0
            if total > KEPT_BYTES and not query.is_open:
                self._remove([query])

    def _remove(self, queries: Iterable[InsightsQuery]) -> None:
        for query in list(queries):
            query.target.unlink(missing_ok=True)
            del self._queries[query.identifier]


def _missing(identifier: str) -> TelemetryRefusedError:
    return TelemetryRefusedError(NOT_FOUND, f"There is no query {identifier} of yours.")
