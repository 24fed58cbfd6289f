"""Carries out a translated query, in a worker: DuckDB reads the events, rows go to a file of JSON lines."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from aerodrome.telemetry import engine
from aerodrome.telemetry.acceptance import DAY
from aerodrome.telemetry.engine import COLUMNS, LOADED, StorePaths
from aerodrome.telemetry.insights.functions import Kind
from aerodrome.telemetry.insights.translation import Column, Translated
from aerodrome.telemetry.refusals import LIMIT, UNAVAILABLE, TelemetryRefusedError, invalid

RESULT_BYTES = 32 * 2**20
"""Of the rows of one query."""

ATTEMPTS = 5
"""At a query while files of it are replaced by others."""

TAKEN = 64
"""Rows that are taken from DuckDB at once."""

DECIMALS = 4
"""Of a number that is shown."""

TIMED_OUT = "Timeout"
CANCELLED = "Cancelled"
"""A query's statuses that are no failures of it; also codes of refusals here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """A log group that is searched."""

    identifier: int
    name: str
    """With the account before it, as `@log` shows it."""
    start: int
    """The earliest time, in milliseconds, of an event that is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be carried out."""

    groups: tuple[Searched, ...]
    end: int
    """The latest time, in milliseconds."""
    translated: Translated


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOutcome:
    """What came of it."""

    rows: int
    size: int
    """Bytes of the file of rows."""
    matched: int
    scanned: int
    scanned_bytes: int
    """Of the files that were read, and of the newest events, as AWS counts them."""


def run(place: StorePaths, question: Question, ticket: Path, target: Path) -> QueryOutcome:
    """Write the rows to `target`. The search ends when the file `ticket` is gone.

    Raises:
        TelemetryRefusedError: it cannot be computed, is stopped, or takes too long, too much memory or too many rows.
    """
    replaced = 0
    while True:
        try:
            with engine.connected(place, ticket) as database:
                return _Query(place, question, database).carried_out(target)
        except duckdb.IOException:
            replaced += 1
            if replaced == ATTEMPTS:
                raise
            time.sleep(0.05)  # a file was replaced between the catalogue's word and its opening
        except duckdb.InterruptException:
            if not ticket.exists():
                raise TelemetryRefusedError(CANCELLED, "The query was stopped.") from None
            raise TelemetryRefusedError(TIMED_OUT, f"The query took more than {engine.LONGEST:.0f} seconds.") from None
        except (duckdb.OutOfMemoryException, MemoryError):
            raise TelemetryRefusedError(UNAVAILABLE, "The query needs more memory than it may have.") from None
        except (duckdb.InvalidInputException, duckdb.OutOfRangeException, duckdb.ConversionException) as error:
            raise invalid(str(error).splitlines()[0]) from None
        except duckdb.Error as error:
            raise TelemetryRefusedError(
                UNAVAILABLE, f"The query cannot be carried out: {str(error).splitlines()[0]}"
            ) from error


class _Query:
    def __init__(self, place: StorePaths, question: Question, database: duckdb.DuckDBPyConnection) -> None:
        self._place = place
        self._question = question
        self._database = database
        self._scanned = self._scanned_bytes = 0
        self._files: dict[int, list[str]] = {}
        self._load()
        database.execute(f"CREATE TEMP VIEW events AS {self._events()}")

    def carried_out(self, target: Path) -> QueryOutcome:
        """The query's rows, written."""
        translated = self._question.translated
        (matched,) = _one(self._asked(translated.matched))
        rows = size = 0
        with target.open("w", encoding="utf-8") as file:
            for row in _rows(self._asked(translated.sql)):
                line = json.dumps(_shown(translated.columns, row)) + "\n"
                size += len(line)
                if size > RESULT_BYTES:
                    raise TelemetryRefusedError(LIMIT, f"The rows of the query have more than {RESULT_BYTES} bytes.")
                file.write(line)
                rows += 1
        return QueryOutcome(
            rows=rows, size=size, matched=matched, scanned=self._scanned, scanned_bytes=self._scanned_bytes
        )

    def _asked(self, sql: str) -> duckdb.DuckDBPyConnection:
        names = set(re.findall(r"\$(p\d+)\b", sql))
        return self._database.execute(
            sql, {name: value for name, value in self._question.translated.parameters.items() if name in names}
        )

    def _load(self) -> None:
        """What the catalogue knows: files, newest events, deleted streams, names."""
        question, execute = self._question, self._database.execute
        with engine.reading(self._place) as catalogue:
            gone: list[int] = []
            streams: list[tuple[int, str]] = []
            for group in question.groups:
                gone += engine.gone(catalogue, group.identifier)
                for name, rows, raw in catalogue.execute(
                    "SELECT name, rows, raw FROM parts WHERE group_id = ? AND day BETWEEN ? AND ? AND last_moment >= ?",
                    (group.identifier, group.start // DAY, question.end // DAY, group.start),
                ):
                    self._files.setdefault(group.identifier, []).append(name)
                    self._scanned += rows
                    self._scanned_bytes += raw
                if question.translated.reads_streams:
                    streams += catalogue.execute(
                        "SELECT id, name FROM streams WHERE group_id = ?", (group.identifier,)
                    ).fetchall()
            engine.load(self._database, self._newest(catalogue))
        execute("CREATE TEMP TABLE gone AS SELECT unnest($1::BIGINT[]) AS stream", [gone])
        execute(
            "CREATE TEMP TABLE streams AS SELECT unnest($1::BIGINT[]) AS stream, unnest($2::VARCHAR[]) AS stream_name",
            [[each for each, _ in streams], [name for _, name in streams]],
        )
        execute(
            "CREATE TEMP TABLE groups AS SELECT unnest($1::BIGINT[]) AS group_id, unnest($2::VARCHAR[]) AS group_name",
            [[each.identifier for each in question.groups], [each.name for each in question.groups]],
        )

    def _newest(self, catalogue: Any) -> Iterator[Any]:
        for group in self._question.groups:
            for row in catalogue.execute(
                f"SELECT {LOADED} FROM newest WHERE group_id = ? AND moment >= ? AND moment <= ?",  # noqa: S608
                (group.identifier, group.start, self._question.end),
            ):
                self._scanned += 1
                self._scanned_bytes += engine.size(row[4])
                yield row

    def _events(self) -> str:
        """All events that are searched, as a table of SQL; made of numbers and our own names of files."""
        tables = [f"SELECT {LOADED} FROM newest"]  # noqa: S608
        for group in self._question.groups:
            files = ", ".join(
                engine.literal(self._place.parts / name) for name in self._files.get(group.identifier, [])
            )
            if files:
                within = f"moment >= {group.start:d} AND moment <= {self._question.end:d}"
                tables.append(
                    f"SELECT {COLUMNS}, {group.identifier:d} AS group_id FROM read_parquet([{files}]) WHERE {within}"  # noqa: S608
                )
        names = " LEFT JOIN streams USING (stream)" if self._question.translated.reads_streams else ""
        return (
            f"SELECT * FROM ({' UNION ALL '.join(tables)}) LEFT JOIN groups USING (group_id){names} "  # noqa: S608
            "WHERE stream NOT IN (SELECT stream FROM gone)"
        )


def _rows(found: duckdb.DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while some := found.fetchmany(TAKEN):
        yield from some


def _one(found: duckdb.DuckDBPyConnection) -> Any:
    return found.fetchall()[0]


def _shown(columns: Sequence[Column], row: Sequence[Any]) -> list[tuple[str, str]]:
    """A row, without what is absent."""
    return [
        (column.name, shown(value, column.kind))
        for column, value in zip(columns, row, strict=True)
        if value is not None and (column.kind is not Kind.NUMBER or math.isfinite(value))
    ]


def shown(value: Any, kind: Kind) -> str:
    """A value as it is answered. Pure."""
    if kind is Kind.NUMBER:
        return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    if kind is Kind.BOOLEAN:
        return str(int(value))
    if kind is Kind.TIME:
        seconds, milliseconds = divmod(int(value), 1000)
        return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(seconds))}.{milliseconds:03}"
    return str(value)
