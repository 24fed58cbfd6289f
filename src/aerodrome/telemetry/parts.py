"""Reads pages of events, and writes Parquet files. Only workers run this: it needs memory, and may take seconds.

A page is looked for day by day, in one reading of the catalogue: the files of a day, and the newest events beside
them. DuckDB's memory is bounded, and it sees the store's folder alone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from aerodrome.telemetry.acceptance import DAY, EVENT_OVERHEAD
from aerodrome.telemetry.catalogue import Written
from aerodrome.telemetry.keeping import Write
from aerodrome.telemetry.patterns import EVERYTHING, SqlCondition
from aerodrome.telemetry.positions import Position
from aerodrome.telemetry.refusals import UNAVAILABLE, TelemetryRefusedError, invalid

MEMORY = "384MB"
THREADS = 2

SPILLED = "2GB"
"""Of files that DuckDB puts aside while it sorts."""

LONGEST = 60.0
"""Seconds that one query may take."""

GLANCE = 0.5
"""Seconds between two looks whether a search is wanted still."""

LOADED_BYTES = 8 * 2**20
"""Of newest events that are handed to DuckDB at once."""

ROW_GROUP = 50_000
ROW_GROUP_BYTES = 16 * 2**20
LEAST_ROW_GROUP = 2048
"""Of a file: that many rows lie together, or fewer when they are large; DuckDB takes no fewer than the last."""

LAST_NUMBER = 2**62
"""Above the number of any event."""

ATTEMPTS = 5
"""At a page while files of it are replaced by others."""

_COLUMNS = "moment, number, ingested, stream, message"


@dataclass(frozen=True, slots=True)
class StorePaths:
    """Where the store is."""

    folder: Path

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue.sqlite"

    @property
    def parts(self) -> Path:
        return self.folder / "parts"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event, as it is stored."""

    moment: int
    number: int
    ingested: int
    stream: int
    message: str

    @property
    def position(self) -> Position:
        return Position(self.moment, self.number)

    @property
    def size(self) -> int:
        return len(self.message.encode()) + EVENT_OVERHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which events are wanted: of one group, with a time from `start` to before `end`."""

    group: int
    streams: tuple[int, ...] | None
    """None = all that were not deleted."""
    start: int
    end: int
    after: Position | None = None
    before: Position | None = None
    is_backward: bool = False
    """Whether the search begins with the last event."""
    limit: int
    most_bytes: int
    condition: SqlCondition = EVERYTHING
    seconds: float = LONGEST
    """After so long no further day is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events in the order in which they were searched."""

    rows: tuple[StoredEvent, ...]
    resume: Position | None
    """The place from which to go on, in the same direction, when not everything was looked at or told."""


def page(place: StorePaths, asked: Asked, ticket: Path) -> Page:
    """One page. The search ends when the file `ticket` is gone: nobody waits for it any more.

    Raises:
        RefusedError: the condition cannot be computed, or it takes too long or too much memory.
    """
    for attempt in range(ATTEMPTS):
        try:
            with _connected(place, ticket) as database, _reading(place) as catalogue:
                return _Search(place, asked, database, catalogue).page()
        except duckdb.IOException:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.05)  # a file was replaced between the catalogue's word and its opening
        except duckdb.InterruptException:
            raise TelemetryRefusedError(
                UNAVAILABLE, f"The search took more than {LONGEST:.0f} seconds; ask for a shorter time."
            ) from None
        except duckdb.OutOfMemoryException:
            raise TelemetryRefusedError(UNAVAILABLE, "The search needs more memory than it may have.") from None
        except duckdb.InvalidInputException as error:
            raise invalid(f"Invalid filter pattern: {str(error).splitlines()[0]}") from None
    raise AssertionError


def write(place: StorePaths, wanted: Write, cutoff: int) -> Written | None:
    """Write a file of what the plan names, without what is older than `cutoff` or of deleted streams.

    Nothing is left to write: None. The file is on the disk when this returns, and nobody knows it yet.
    """
    name = f"{wanted.group}-{wanted.day}-{uuid.uuid4().hex}.parquet"
    beside, target = place.temporary / name, place.parts / name
    with _connected(place) as database, _reading(place) as catalogue:
        gone = [row[0] for row in catalogue.execute("SELECT id FROM gone_streams WHERE group_id = ?", (wanted.group,))]
        rows = catalogue.execute(
            f"SELECT {_COLUMNS} FROM newest WHERE group_id = ? AND moment >= ? AND moment < ? AND number <= ?",  # noqa: S608
            (wanted.group, wanted.day * DAY, (wanted.day + 1) * DAY, wanted.up_to),
        )
        _load(database, rows)
        weight = sum(part.raw for part in wanted.parts) / max(sum(part.rows for part in wanted.parts), 1)
        row_group = min(ROW_GROUP, max(LEAST_ROW_GROUP, int(ROW_GROUP_BYTES / max(weight, 1))))
        events = _events([part.name for part in wanted.parts], place)
        where = "moment >= $1 AND stream NOT IN (SELECT unnest($2::BIGINT[]))"
        database.execute(
            f"COPY (SELECT {_COLUMNS} FROM {events} WHERE {where} ORDER BY stream, moment, number) "  # noqa: S608
            f"TO {_literal(beside)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {row_group})",
            [cutoff, gone],
        )
        count, last, raw = _one(
            database.execute(
                f"SELECT count(*), max(moment), sum(strlen(message) + {EVENT_OVERHEAD}) "  # noqa: S608
                f"FROM read_parquet({_literal(beside)})"
            )
        )
    if not count:
        beside.unlink()
        return None
    _settle(beside, target)
    return Written(name=name, rows=count, size=target.stat().st_size, raw=int(raw), last_moment=last)


class _Search:
    """One search for a page."""

    def __init__(
        self, place: StorePaths, asked: Asked, database: duckdb.DuckDBPyConnection, catalogue: sqlite3.Connection
    ) -> None:
        self._place = place
        self._asked = asked
        self._database = database
        self._start = max(asked.start, asked.after.moment if asked.after else 0)
        self._end = min(asked.end, asked.before.moment + 1 if asked.before else asked.end)
        self._gone = [
            row[0] for row in catalogue.execute("SELECT id FROM gone_streams WHERE group_id = ?", (asked.group,))
        ]
        self._parts = self._files(catalogue)
        newest = self._newest(catalogue)
        _load(database, newest)
        self._days = {row[0] // DAY for row in newest} | set(self._parts)

    def page(self) -> Page:
        """The page."""
        found: list[StoredEvent] = []
        began, size = time.monotonic(), 0
        days = sorted(self._days, reverse=self._asked.is_backward)
        for number, day in enumerate(days):
            for row in self._of_day(day, self._asked.limit - len(found)):
                size += row.size
                if size > self._asked.most_bytes and found:
                    return Page(rows=tuple(found), resume=found[-1].position)
                found.append(row)
            if len(found) >= self._asked.limit:
                return Page(rows=tuple(found), resume=found[-1].position)
            if time.monotonic() - began > self._asked.seconds and number + 1 < len(days):
                return Page(rows=tuple(found), resume=self._beginning_of(days[number + 1]))
        return Page(rows=tuple(found), resume=None)

    def _beginning_of(self, day: int) -> Position:
        """The place from which a search comes to this day."""
        if self._asked.is_backward:
            return Position((day + 1) * DAY, 0)
        return Position(day * DAY - 1, LAST_NUMBER)

    def _files(self, catalogue: sqlite3.Connection) -> dict[int, list[str]]:
        rows = catalogue.execute(
            "SELECT day, name FROM parts WHERE group_id = ? AND day >= ? AND day <= ? AND last_moment >= ?",
            (self._asked.group, self._start // DAY, self._end // DAY, self._start),
        )
        found: dict[int, list[str]] = {}
        for day, name in rows:
            found.setdefault(day, []).append(name)
        return found

    def _newest(self, catalogue: sqlite3.Connection) -> list[Any]:
        rows = catalogue.execute(
            f"SELECT {_COLUMNS} FROM newest WHERE group_id = ? AND moment >= ? AND moment < ?",  # noqa: S608
            (self._asked.group, self._start, self._end),
        )
        wanted = None if self._asked.streams is None else set(self._asked.streams)
        return [row for row in rows if wanted is None or row[3] in wanted]

    def _of_day(self, day: int, limit: int) -> Iterator[StoredEvent]:
        asked = self._asked
        sql, parameters = ["moment >= ?", "moment < ?"], [self._start, self._end]
        for position, sign in ((asked.after, ">"), (asked.before, "<")):
            if position is not None:
                sql.append(f"(moment {sign} ? OR (moment = ? AND number {sign} ?))")
                parameters += [position.moment, *position]
        if asked.streams is not None and len(asked.streams) == 1:
            sql.append("stream = ?")  # so, DuckDB skips what a file's statistics exclude
            parameters += asked.streams
        elif asked.streams is not None:
            sql.append("stream IN (SELECT unnest(?::BIGINT[]))")
            parameters.append(list(asked.streams))  # type: ignore[arg-type]  # a parameter of another kind
        elif self._gone:
            sql.append("stream NOT IN (SELECT unnest(?::BIGINT[]))")
            parameters.append(self._gone)  # type: ignore[arg-type]  # as above
        sql.append(f"moment >= {day * DAY} AND moment < {(day + 1) * DAY}")
        sql.append(f"({asked.condition.sql})")
        order = "DESC" if asked.is_backward else "ASC"
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM {_events(self._parts.get(day, []), self._place)} "  # noqa: S608 - our own words
            f"WHERE {' AND '.join(sql)} ORDER BY moment {order}, number {order} LIMIT {limit:d}",
            [*parameters, *asked.condition.parameters],
        )
        return (StoredEvent(*row) for row in rows.fetchall())


def _events(files: Sequence[str], place: StorePaths) -> str:
    """The newest events that were loaded, and those of files, as a table."""
    if not files:
        return "newest"
    listed = ", ".join(_literal(place.parts / name) for name in files)
    return f"(SELECT {_COLUMNS} FROM newest UNION ALL SELECT {_COLUMNS} FROM read_parquet([{listed}]))"  # noqa: S608


def _load(database: duckdb.DuckDBPyConnection, rows: Iterable[Sequence[Any]]) -> None:
    """Make a table of these events, some at a time: they are in memory twice while they are handed over."""
    database.execute(
        "CREATE TEMP TABLE newest (moment BIGINT, number BIGINT, ingested BIGINT, stream BIGINT, message VARCHAR)"
    )
    some: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        some.append(row)
        size += len(row[4]) + EVENT_OVERHEAD
        if size >= LOADED_BYTES:
            _insert(database, some)
            some, size = [], 0
    if some:
        _insert(database, some)


def _insert(database: duckdb.DuckDBPyConnection, rows: Sequence[Sequence[Any]]) -> None:
    database.execute(
        "INSERT INTO newest SELECT unnest($1::BIGINT[]), unnest($2::BIGINT[]), unnest($3::BIGINT[]), "
        "unnest($4::BIGINT[]), unnest($5::VARCHAR[])",
        [list(column) for column in zip(*rows, strict=True)],
    )


@contextlib.contextmanager
def _connected(place: StorePaths, ticket: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in memory, bounded in memory, time and reach; ended when the ticket is gone."""
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{MEMORY}'")
        database.execute(f"SET threads = {THREADS}")
        database.execute(f"SET temp_directory = {_literal(place.temporary)}")
        database.execute(f"SET max_temp_directory_size = '{SPILLED}'")
        database.execute(f"SET allowed_directories = [{_literal(place.parts)}, {_literal(place.temporary)}]")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        done = threading.Event()
        watch = threading.Thread(target=_interrupt, args=(database, done, ticket), daemon=True)
        watch.start()
        try:
            yield database
        finally:
            done.set()
            watch.join()


def _interrupt(database: duckdb.DuckDBPyConnection, done: threading.Event, ticket: Path | None) -> None:
    """Interrupt what takes too long, or what nobody waits for; again, until it has ended."""
    until = time.monotonic() + LONGEST
    while not done.wait(GLANCE):
        if time.monotonic() > until or (ticket is not None and not ticket.exists()):
            database.interrupt()


@contextlib.contextmanager
def _reading(place: StorePaths) -> Iterator[sqlite3.Connection]:
    """The catalogue as it is at one moment."""
    found = sqlite3.connect(f"file:{place.catalogue}?mode=ro", uri=True, isolation_level=None)
    try:
        found.execute("BEGIN")
        yield found
    finally:
        found.close()


def _one(found: Any) -> Any:
    return found.fetchall()[0]


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _settle(beside: Path, target: Path) -> None:
    """Move a file into its place; both it and its name are on the disk then."""
    _sync(beside)
    beside.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
