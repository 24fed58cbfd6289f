"""DuckDB for workers: bounded in memory, time and reach; and the newest events, handed to it out of the catalogue.

`pages` and `parts` and `insights` use it, each in a worker. The catalogue is read at the beginning and closed before a
search begins, so that a long search does not keep it from tidying up.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from aerodrome.telemetry.acceptance import EVENT_OVERHEAD

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

COLUMNS = "moment, number, ingested, stream, message"
LOADED = f"{COLUMNS}, group_id"
"""Of an event in a file, and of one of the newest."""


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


@contextlib.contextmanager
def connected(place: StorePaths, ticket: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in memory, bounded in memory, time and reach; ended when the file `ticket` is gone."""
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{MEMORY}'")
        database.execute(f"SET threads = {THREADS}")
        database.execute(f"SET temp_directory = {literal(place.temporary)}")
        database.execute(f"SET max_temp_directory_size = '{SPILLED}'")
        database.execute(f"SET allowed_directories = [{literal(place.parts)}, {literal(place.temporary)}]")
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
def reading(place: StorePaths) -> Iterator[sqlite3.Connection]:
    """The catalogue as it is at one moment. What is open for long keeps SQLite's log from being emptied."""
    found = sqlite3.connect(f"file:{place.catalogue}?mode=ro", uri=True, isolation_level=None)
    try:
        found.execute("BEGIN")
        yield found
    finally:
        found.close()


def gone(catalogue: sqlite3.Connection, group: int) -> list[int]:
    """Streams of a group that were deleted, and of which files may still have events."""
    return [each for (each,) in catalogue.execute("SELECT id FROM gone_streams WHERE group_id = ?", (group,))]


def load(database: duckdb.DuckDBPyConnection, rows: Iterable[Sequence[Any]]) -> None:
    """Make the table `newest` of these events, some at a time: they are in memory twice while they are handed over."""
    database.execute(
        "CREATE TEMP TABLE newest (moment BIGINT, number BIGINT, ingested BIGINT, stream BIGINT, message VARCHAR, "
        "group_id BIGINT)"
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
        "unnest($4::BIGINT[]), unnest($5::VARCHAR[]), unnest($6::BIGINT[])",
        [list(column) for column in zip(*rows, strict=True)],
    )


def size(message: str) -> int:
    """Bytes of an event, as AWS counts them."""
    return len(message.encode()) + EVENT_OVERHEAD


def events(place: StorePaths, files: Sequence[str]) -> str:
    """The newest events that were loaded, and those of files, as a table of SQL."""
    if not files:
        return "newest"
    listed = ", ".join(literal(place.parts / name) for name in files)
    return f"(SELECT {COLUMNS} FROM newest UNION ALL SELECT {COLUMNS} FROM read_parquet([{listed}]))"  # noqa: S608


def literal(path: Path) -> str:
    """A path as a string of SQL."""
    return "'" + str(path).replace("'", "''") + "'"
