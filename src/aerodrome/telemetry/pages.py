"""Pages of events: what GetLogEvents and FilterLogEvents answer. Only workers run this: it may take seconds.

A page is looked for day by day: the files of a day, and the newest events beside them. It ends with its bytes as with
its number of events, so that a page of large events needs no more memory than one of small ones.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from aerodrome.telemetry import engine
from aerodrome.telemetry.acceptance import DAY
from aerodrome.telemetry.engine import COLUMNS, LOADED, StorePaths
from aerodrome.telemetry.patterns import EVERYTHING, SqlCondition
from aerodrome.telemetry.positions import Position
from aerodrome.telemetry.refusals import UNAVAILABLE, TelemetryRefusedError, invalid

LAST_NUMBER = 2**62
"""Above the number of any event."""

ATTEMPTS = 5
"""At a page while files of it are replaced by others."""

ROOM = 64 * 2**20
"""Bytes of events that DuckDB puts in order for one page, by their mean size."""

FEWER = 16
"""Of so many events, one is asked for in the next try when they did not fit into memory."""

TAKEN = 64
"""Events that are taken from DuckDB at once."""


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
        return engine.size(self.message)


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
    seconds: float = engine.LONGEST
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
        TelemetryRefusedError: the condition cannot be computed, or it takes too long or too much memory.
    """
    replaced = 0
    while True:
        try:
            with _refused(), engine.connected(place, ticket) as database:
                return _Search(place, asked, database).page()
        except duckdb.IOException:
            replaced += 1
            if replaced == ATTEMPTS:
                raise
            time.sleep(0.05)  # a file was replaced between the catalogue's word and its opening
        except duckdb.InterruptException:
            raise TelemetryRefusedError(
                UNAVAILABLE, f"The search took more than {engine.LONGEST:.0f} seconds; ask for a shorter time."
            ) from None
        except (duckdb.OutOfMemoryException, MemoryError):
            if asked.limit == 1:
                raise TelemetryRefusedError(UNAVAILABLE, "The search needs more memory than it may have.") from None
            asked = replace(asked, limit=max(asked.limit // FEWER, 1))  # these are unusually large


def matching(place: StorePaths, condition: SqlCondition, messages: Sequence[str]) -> list[int]:
    """Which of these messages fit a filter pattern, by their number.

    Raises:
        TelemetryRefusedError: the pattern cannot be computed.
    """
    with engine.connected(place) as database, _refused():
        database.execute(
            "CREATE TEMP TABLE heard AS SELECT unnest($1::BIGINT[]) AS number, unnest($2::VARCHAR[]) AS message",
            [list(range(len(messages))), list(messages)],
        )
        found = database.execute(
            f"SELECT number FROM heard WHERE {condition.sql} ORDER BY number",  # noqa: S608 - values are parameters
            list(condition.parameters),
        )
        return [number for (number,) in found.fetchall()]


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except duckdb.InvalidInputException as error:
        raise invalid(f"Invalid filter pattern: {str(error).splitlines()[0]}") from None


class _Search:
    """One search for a page."""

    def __init__(self, place: StorePaths, asked: Asked, database: duckdb.DuckDBPyConnection) -> None:
        self._place = place
        self._asked = asked
        self._database = database
        self._start = max(asked.start, asked.after.moment if asked.after else 0)
        self._end = min(asked.end, asked.before.moment + 1 if asked.before else asked.end)
        self._rows = self._raw = 0
        with engine.reading(place) as catalogue:
            self._gone = engine.gone(catalogue, asked.group)
            self._parts = self._files(catalogue)
            engine.load(database, self._newest(catalogue))
        days = database.execute(f"SELECT DISTINCT moment // {DAY} FROM newest").fetchall()  # noqa: S608 - a number
        self._days = {day for (day,) in days} | set(self._parts)
        self._limit = min(asked.limit, max(ROOM * self._rows // max(self._raw, 1), 1) if self._rows else asked.limit)

    def page(self) -> Page:
        """The page."""
        found: list[StoredEvent] = []
        began, size = time.monotonic(), 0
        days = sorted(self._days, reverse=self._asked.is_backward)
        for number, day in enumerate(days):
            for row in self._of_day(day, self._limit - len(found)):
                size += row.size
                if size > self._asked.most_bytes and found:
                    return Page(rows=tuple(found), resume=found[-1].position)
                found.append(row)
            if len(found) >= self._limit:
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
            "SELECT day, name, rows, raw FROM parts WHERE group_id = ? AND day >= ? AND day <= ? AND last_moment >= ?",
            (self._asked.group, self._start // DAY, self._end // DAY, self._start),
        )
        found: dict[int, list[str]] = {}
        for day, name, count, raw in rows:
            found.setdefault(day, []).append(name)
            self._rows += count
            self._raw += raw
        return found

    def _newest(self, catalogue: sqlite3.Connection) -> Iterator[Any]:
        streams = self._asked.streams
        return catalogue.execute(
            f"SELECT {LOADED} FROM newest WHERE group_id = ? AND moment >= ? AND moment < ? "  # noqa: S608
            "AND (? OR stream IN (SELECT value FROM json_each(?)))",
            (self._asked.group, self._start, self._end, streams is None, json.dumps(streams or ())),
        )

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
            f"SELECT {COLUMNS} FROM {engine.events(self._place, self._parts.get(day, []))} "  # noqa: S608 - our own words
            f"WHERE {' AND '.join(sql)} ORDER BY moment {order}, number {order} LIMIT {limit:d}",
            [*parameters, *asked.condition.parameters],
        )
        while some := rows.fetchmany(TAKEN):
            yield from (StoredEvent(*row) for row in some)
