"""Writes Parquet files of events. Only a worker runs this: it needs memory, and may take seconds."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from aerodrome.telemetry import engine
from aerodrome.telemetry.acceptance import DAY, EVENT_OVERHEAD
from aerodrome.telemetry.catalogue import Written
from aerodrome.telemetry.engine import COLUMNS, LOADED, StorePaths
from aerodrome.telemetry.keeping import Write

ROW_GROUP = 50_000
ROW_GROUP_BYTES = 16 * 2**20
LEAST_ROW_GROUP = 2048
"""Of a file: that many rows lie together, or fewer when they are large; DuckDB takes no fewer than the last."""


def write(place: StorePaths, wanted: Write, cutoff: int) -> Written | None:
    """Write a file of what the plan names, without what is older than `cutoff` or of deleted streams.

    Nothing is left to write: None. The file is on the disk when this returns, and nobody knows it yet.
    """
    name = f"{wanted.group}-{wanted.day}-{uuid.uuid4().hex}.parquet"
    beside, target = place.temporary / name, place.parts / name
    with engine.connected(place) as database:
        with engine.reading(place) as catalogue:
            gone = engine.gone(catalogue, wanted.group)
            rows = catalogue.execute(
                f"SELECT {LOADED} FROM newest WHERE group_id = ? AND moment >= ? AND moment < ? AND number <= ?",  # noqa: S608
                (wanted.group, wanted.day * DAY, (wanted.day + 1) * DAY, wanted.up_to),
            )
            engine.load(database, rows)
        weight = sum(part.raw for part in wanted.parts) / max(sum(part.rows for part in wanted.parts), 1)
        row_group = min(ROW_GROUP, max(LEAST_ROW_GROUP, int(ROW_GROUP_BYTES / max(weight, 1))))
        events = engine.events(place, [part.name for part in wanted.parts])
        where = "moment >= $1 AND stream NOT IN (SELECT unnest($2::BIGINT[]))"
        database.execute(
            f"COPY (SELECT {COLUMNS} FROM {events} WHERE {where} ORDER BY stream, moment, number) "  # noqa: S608
            f"TO {engine.literal(beside)} (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, "
            f"ROW_GROUP_SIZE {row_group})",
            [cutoff, gone],
        )
        count, last, raw = _one(
            database.execute(
                f"SELECT count(*), max(moment), sum(strlen(message) + {EVENT_OVERHEAD}) "  # noqa: S608
                f"FROM read_parquet({engine.literal(beside)})"
            )
        )
    if not count:
        beside.unlink()
        return None
    _settle(beside, target)
    return Written(name=name, rows=count, size=target.stat().st_size, raw=int(raw), last_moment=last)


def _one(found: Any) -> Any:
    return found.fetchall()[0]


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
