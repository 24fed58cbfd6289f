"""The store as a whole: the catalogue in a thread of its own, workers for what takes long, and its upkeep.

`logs_api` uses it, in the event loop of `__main__`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

import structlog

from aerodrome.clock import Clock
from aerodrome.telemetry import keeping, pages, parts
from aerodrome.telemetry.acceptance import LogEvent
from aerodrome.telemetry.catalogue import Catalogue, LogGroup, Stream
from aerodrome.telemetry.engine import StorePaths
from aerodrome.telemetry.insights import discovery, search, translation
from aerodrome.telemetry.insights.search import QueryOutcome, Question
from aerodrome.telemetry.insights.translation import Translated
from aerodrome.telemetry.keeping import DropReason, Plan, StoreLimits, Write
from aerodrome.telemetry.pages import Asked, Page
from aerodrome.telemetry.patterns import SqlCondition
from aerodrome.telemetry.refusals import THROTTLED, UNAVAILABLE, TelemetryRefusedError
from aerodrome.telemetry.workers import Workers

RHYTHM = 5.0
"""Seconds between two looks at what is to be done."""

LINGER = 70.0
"""Seconds that a file stays after it was replaced: a search that has begun may still open it."""

FORGETTING = 60.0
"""Seconds between two looks for streams that have no events any more."""

FAILED_REST = 600.0
"""Seconds before a file that could not be written is tried again, so that one failure does not take all the time."""

SEARCHERS = 2

QUERIERS = 2
"""Queries of Insights that run at once."""

SEARCHES = 32
SEARCHES_EACH = 4
"""Searches that run or wait, of all callers and of each."""

Listener = Callable[[int, str, Sequence[LogEvent], int], None]
"""Told of events that were taken: log group, stream, events, time."""

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger("telemetry")


class Store:
    """All that is stored below one folder (mode 0700, made by the caller)."""

    def __init__(self, folder: Path, *, limits: StoreLimits, clock: Clock) -> None:
        self.place = StorePaths(folder)
        self._limits = limits
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "catalogue")
        self._workers = Workers(SEARCHERS)
        self._queriers = Workers(QUERIERS)  # queries of Insights may take long, and hold up no page
        self._reader = Workers(1)  # and no page, nor another query, keeps one from being taken
        self._writer = Workers(1)  # so that what comes in moves on, however many search
        self._searching: Counter[str] = Counter()
        self.listener: Listener = _unheard
        self.upkeep: list[Callable[[], None]] = []
        """What others do at each look."""
        self._newest_bytes: Counter[int] = Counter()
        self._forgot = -FORGETTING
        self._useless: dict[str, float] = {}
        self._failed: dict[tuple[int, int, bool], float] = {}
        self._catalogue: Catalogue | None = None

    async def open(self) -> Self:
        """Make folders, open the catalogue, and remove what a killed process has left half done."""
        shutil.rmtree(self.place.temporary, ignore_errors=True)
        for folder in (self.place.temporary, self.place.parts):
            folder.mkdir(mode=0o700, exist_ok=True)
        self._catalogue = await self._in_thread(partial(Catalogue, self.place.catalogue))
        known = {part.name for part in await self.ask(Catalogue.parts)}
        for path in self.place.parts.iterdir():
            if path.name not in known:
                path.unlink()
        return self

    async def close(self) -> None:
        """Nothing is lost: what was taken is on the disk."""
        self._workers.close()
        self._queriers.close()
        self._reader.close()
        self._writer.close()
        await self.ask(Catalogue.close)
        self._thread.shutdown()

    @property
    def now(self) -> int:
        """Milliseconds since 1970."""
        return int(self._clock().timestamp() * 1000)

    def cutoff(self, retention_days: int | None) -> int:
        """The time before which events of a group are not shown any more."""
        return keeping.cutoff(self.now, retention_days, self._limits)

    async def ask(self, question: Callable[..., T], *given: object, **more: object) -> T:
        """What a method of the catalogue answers.

        Raises:
            TelemetryRefusedError: the catalogue says so, or the disk is full.
        """
        try:
            return await self._in_thread(partial(question, self._catalogue, *given, **more))
        except sqlite3.OperationalError as error:
            log.warning("the catalogue refuses", reason=str(error))
            raise TelemetryRefusedError(UNAVAILABLE, f"The log store cannot do this now: {error}.") from error

    async def append(self, group: LogGroup, stream: Stream, events: Sequence[LogEvent], *, now: int) -> None:
        """Take events; they are on the disk when this returns.

        Raises:
            TelemetryRefusedError: the stream is gone, or too many events wait for their files already.
        """
        size = sum(event.size for event in events)
        newest = self._newest_bytes
        if (
            newest.total() + size > keeping.NEWEST_BYTES
            or newest[group.identifier] + size > keeping.NEWEST_BYTES_OF_ONE
        ):
            raise TelemetryRefusedError(THROTTLED, "Events come faster than the log store writes its files: try again.")
        newest[group.identifier] += size
        await self.ask(Catalogue.append, group, stream, events, now=now)
        self.listener(group.identifier, stream.name, events, now)

    async def page(self, asked: Asked, *, caller: str) -> Page:
        """One page of events; who is cancelled while it waits here ends the search.

        Raises:
            TelemetryRefusedError: the search fails, or too many are waiting already.
        """
        if self._searching[caller] >= SEARCHES_EACH or self._searching.total() >= SEARCHES:
            raise TelemetryRefusedError(
                THROTTLED, "Too many searches of logs are waiting: try again when one has ended."
            )
        self._searching[caller] += 1
        try:
            with _valid(self.place.temporary / f"{uuid.uuid4().hex}.ticket") as ticket:
                return await self._workers.run(pages.page, self.place, asked, ticket)
        finally:
            self._searching[caller] -= 1
            if not self._searching[caller]:
                del self._searching[caller]

    async def matching(self, condition: SqlCondition, messages: Sequence[str]) -> list[int]:
        """Which of these messages fit a filter pattern, by their number.

        Raises:
            TelemetryRefusedError: it cannot be computed.
        """
        return await self._workers.run(pages.matching, self.place, condition, messages)

    async def fields_of(self, message: str) -> dict[str, str]:
        """The fields of an event that is JSON.

        Raises:
            TelemetryRefusedError: they need too much memory.
        """
        return await self._workers.run(discovery.record, message)

    async def counted_fields(self, messages: Sequence[str]) -> list[tuple[str, int]]:
        """How many of these events have which field, the most frequent first.

        Raises:
            TelemetryRefusedError: they need too much memory.
        """
        return await self._workers.run(discovery.counted, messages)

    async def translated(self, query: str, *, most_rows: int) -> Translated:
        """A query of Insights, ready to be carried out.

        Raises:
            TelemetryRefusedError: it is none, or cannot be carried out.
        """
        return await self._reader.run(translation.of_text, query, most_rows=most_rows, now=self.now / 1000)

    async def query(self, question: Question, *, ticket: Path, target: Path) -> QueryOutcome:
        """Carry a query of Insights out, whose rows go to a file; it ends when `ticket` is gone.

        Raises:
            TelemetryRefusedError: it fails.
        """
        with _valid(ticket):
            return await self._queriers.run(search.run, self.place, question, ticket, target)

    def discard(self, names: list[str]) -> None:
        """Remove files in a while."""
        due = time.monotonic() + LINGER
        self._useless |= dict.fromkeys(names, due)

    async def keep(self) -> None:
        """Do what is to be done, for ever."""
        while True:
            try:
                await self.keep_once()
            except Exception:
                log.exception("upkeep of the log store failed")  # the next look tries again
            await asyncio.sleep(RHYTHM)

    async def keep_once(self) -> Plan:
        """Do what is to be done now."""
        fresh = await self.ask(Catalogue.fresh)
        self._newest_bytes = Counter()
        for each in fresh:
            self._newest_bytes[each.group] += each.size
        plan = keeping.plan(
            now=self.now,
            retentions=await self.ask(Catalogue.retentions),
            fresh=fresh,
            parts=await self.ask(Catalogue.parts),
            limits=self._limits,
        )
        try:
            self.discard(await self.ask(Catalogue.drop, plan.drops, plan.cutoffs, now=self.now))
            await self._tell(plan)
            if time.monotonic() - self._forgot > FORGETTING:
                await self.ask(Catalogue.forget_streams, plan.cutoffs)
                self._forgot = time.monotonic()
            for wanted in plan.writes:
                await self._write(wanted, plan.cutoffs[wanted.group])
        finally:
            self._remove_useless()
            for chore in self.upkeep:
                chore()
            self._workers.rest()
            self._queriers.rest()
            self._reader.rest()
            self._writer.rest()
        return plan

    async def _tell(self, plan: Plan) -> None:
        """Say what is dropped beyond a group's own retention: in our log, and where the group's owner looks."""
        by_group = sorted(plan.drops, key=lambda drop: drop.part.group)
        for group, each in groupby(by_group, lambda drop: drop.part.group):
            drops = [drop for drop in each if drop.reason is not DropReason.RETENTION]
            for drop in drops:
                log.warning(
                    "events were dropped because the store's limit is met",
                    limit=str(drop.reason), events=drop.part.rows, day=drop.part.day, log_group_id=group,
                )  # fmt: skip
            beyond = [drop.part for drop in drops if drop.reason is DropReason.SIZE]
            if not beyond:
                continue
            count = sum(part.rows for part in beyond)
            last = datetime.fromtimestamp(max(part.last_moment for part in beyond) / 1000, UTC)
            message = (
                f"WARNING: {count} events of this log group, the last of {last:%Y-%m-%d %H:%M} UTC, were dropped: "
                f"all logs have {self._limits.total_bytes} bytes at most, and this group had the most. "
                "Raise AERODROME_LOGS_BYTES, set a retention, or log less."
            )
            await self.ask(Catalogue.tell, group, message, now=self.now)

    async def _write(self, wanted: Write, cutoff: int) -> None:
        """Write one file. When that fails the others are written all the same, and this one is tried later."""
        key = (wanted.group, wanted.day, bool(wanted.parts))
        if self._failed.get(key, 0.0) > time.monotonic():
            return
        self._failed.pop(key, None)
        try:
            if wanted.up_to:
                wanted = await self.ask(Catalogue.bounded, wanted, keeping.MOVED_BYTES)
            written = await self._writer.run(parts.write, self.place, wanted, cutoff)
            self.discard(await self.ask(Catalogue.commit, wanted, written))
        except Exception:
            log.exception("a file of logs was not written", log_group_id=wanted.group, day=wanted.day)
            self._failed[key] = time.monotonic() + FAILED_REST
            for partial_file in self.place.temporary.glob("*.parquet"):  # this is the only one that writes any
                partial_file.unlink(missing_ok=True)

    def _remove_useless(self) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._useless.items() if due <= now]:
            with contextlib.suppress(OSError):
                (self.place.parts / name).unlink()
            del self._useless[name]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


@contextlib.contextmanager
def _valid(ticket: Path) -> Iterator[Path]:
    """The ticket of a search is there while the block runs.

    Raises:
        TelemetryRefusedError: the disk does not take it, or the search cannot read its files.
    """
    try:
        ticket.touch(mode=0o600)
        yield ticket
    except OSError as error:
        raise TelemetryRefusedError(UNAVAILABLE, f"The log store cannot do this now: {error}.") from error
    finally:
        ticket.unlink(missing_ok=True)


def _unheard(_group: int, _stream: str, _events: Sequence[LogEvent], _now: int) -> None:
    """What becomes of events that nobody listens to."""
