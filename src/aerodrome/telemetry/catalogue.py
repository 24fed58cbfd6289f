"""What the store knows, in one SQLite file: groups, streams, tags, the newest events, and which other files there are.

An event is in exactly one place at any time: a transaction moves it from here into a file (`commit`). What `append` has
returned from is on the disk. One thread of `store` uses a catalogue; workers read the same file at the same time.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aerodrome.telemetry import sqlite_file
from aerodrome.telemetry.acceptance import DAY, LogEvent
from aerodrome.telemetry.keeping import Drop, Fresh, Part, Write
from aerodrome.telemetry.refusals import EXISTS, LIMIT, NOT_FOUND, TelemetryRefusedError

SCHEMA = """
CREATE TABLE IF NOT EXISTS groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, retention INTEGER,
    class TEXT NOT NULL, is_protected INTEGER NOT NULL DEFAULT 0, tags TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
    first_event INTEGER, last_event INTEGER, last_ingestion INTEGER, UNIQUE (group_id, name)
);
CREATE INDEX IF NOT EXISTS streams_by_last_event ON streams (group_id, coalesce(last_event, 0), name);
CREATE TABLE IF NOT EXISTS gone_streams (id INTEGER PRIMARY KEY, group_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS gone_until (id INTEGER PRIMARY KEY, part INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS newest (
    number INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER NOT NULL, stream INTEGER NOT NULL,
    moment INTEGER NOT NULL, ingested INTEGER NOT NULL, message TEXT NOT NULL, size INTEGER NOT NULL
);
DROP INDEX IF EXISTS newest_by_moment;
CREATE INDEX IF NOT EXISTS newest_by_moment_and_size ON newest (group_id, moment, stream, ingested, size);
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER NOT NULL, day INTEGER NOT NULL, name TEXT NOT NULL UNIQUE,
    rows INTEGER NOT NULL, size INTEGER NOT NULL, raw INTEGER NOT NULL, last_moment INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS parts_by_group ON parts (group_id, id);
CREATE TABLE IF NOT EXISTS dropped (
    group_id INTEGER NOT NULL, reason TEXT NOT NULL, events INTEGER NOT NULL, last_at INTEGER NOT NULL,
    PRIMARY KEY (group_id, reason)
);
"""


MOST_GROUPS = 10_000
MOST_STREAMS = 1_000_000
MOST_STREAMS_OF_ONE = 200_000
MOST_GONE = 100_000
"""Of log groups; of streams in all, and of one group; and of deleted ones whose events still lie in its files.

AWS has 1,000,000 groups and any number of streams, for an account that pays for them.
"""

OWN_STREAM = "aerodrome_log_store.log"
"""In which the store says what it had to drop of a group."""

FORGOTTEN_AT_ONCE = 5_000
"""Streams without events that are removed in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup:
    """A log group."""

    identifier: int
    name: str
    created: int
    """Milliseconds since 1970, as are all times here."""
    retention: int | None
    """Days; None = for ever."""
    kind: str
    is_protected: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A log stream; times are None while it has no event."""

    identifier: int
    name: str
    created: int
    first_event: int | None
    last_event: int | None
    last_ingestion: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A Parquet file that a worker has written."""

    name: str
    rows: int
    size: int
    raw: int
    """Bytes of its events, as AWS counts them."""
    last_moment: int


class Catalogue:
    """The open file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite_file.opened(path, SCHEMA)
        self._streams = Counter(dict(self._db.execute("SELECT group_id, count(*) FROM streams GROUP BY 1").fetchall()))

    def close(self) -> None:
        self._db.close()

    def create_group(self, name: str, *, now: int, kind: str, tags: Mapping[str, str], is_protected: bool) -> None:
        """Raises TelemetryRefusedError when there is one of that name, or too many of others."""
        try:
            with sqlite_file.transaction(self._db):
                self._db.execute(
                    "INSERT INTO groups (name, created, class, is_protected, tags) VALUES (?, ?, ?, ?, ?)",
                    (name, now, kind, is_protected, json.dumps(dict(tags))),
                )
                if self._one("SELECT count(*) FROM groups") > MOST_GROUPS:
                    raise TelemetryRefusedError(
                        LIMIT, f"There are {MOST_GROUPS} log groups, the most that are kept: delete one."
                    )
        except sqlite3.IntegrityError:
            raise TelemetryRefusedError(EXISTS, "The specified log group already exists") from None

    def group(self, name: str) -> LogGroup:
        """Raises TelemetryRefusedError when there is none."""
        row = self._db.execute("SELECT * FROM groups WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise TelemetryRefusedError(NOT_FOUND, "The specified log group does not exist.")
        return _group(row)

    def group_of(self, identifier: int) -> LogGroup | None:
        """The group of an identifier."""
        row = self._db.execute("SELECT * FROM groups WHERE id = ?", (identifier,)).fetchone()
        return None if row is None else _group(row)

    def stored(self, group: LogGroup) -> int:
        """Bytes of its events, as AWS counts them; all of the newest are looked at."""
        return int(
            self._db.execute(
                "SELECT coalesce((SELECT sum(raw) FROM parts WHERE group_id = ?1), 0) "
                "+ coalesce((SELECT sum(size) FROM newest WHERE group_id = ?1), 0)",
                (group.identifier,),
            ).fetchone()[0]
        )

    def named(self, names: Iterable[str]) -> list[LogGroup]:
        """Those of these groups that are there, in the order of their names."""
        rows = self._db.execute(
            "SELECT * FROM groups WHERE name IN (SELECT value FROM json_each(?)) ORDER BY name",
            (json.dumps(sorted(set(names))),),
        )
        return [_group(row) for row in rows.fetchall()]

    def groups(self, *, prefix: str = "", contains: str = "", after: str = "", limit: int) -> list[LogGroup]:
        """Groups in the order of their names."""
        rows = self._db.execute(
            "SELECT * FROM groups WHERE name > ? AND substr(name, 1, ?) = ? AND instr(name, ?) ORDER BY name LIMIT ?",
            (after, len(prefix), prefix, contains, limit),
        )
        return [_group(row) for row in rows.fetchall()]

    def change_group(self, name: str, **values: Any) -> None:
        """Set columns of a group."""
        group = self.group(name)
        with sqlite_file.transaction(self._db):
            for column, value in values.items():  # names that this program gives
                self._db.execute(f"UPDATE groups SET {column} = ? WHERE id = ?", (value, group.identifier))  # noqa: S608

    def change_tags(self, name: str, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        """Let a group have the tags that `change` makes of those that it has; what that raises goes on."""
        group = self.group(name)
        self.change_group(name, tags=json.dumps(dict(change(group.tags))))

    def delete_group(self, name: str) -> list[str]:
        """The names of files that are needed no more.

        Raises:
            TelemetryRefusedError: there is none, or it is protected.
        """
        found = self.group(name)
        if found.is_protected:
            raise TelemetryRefusedError(
                "ValidationException", f"Deletion protection of {name} is on: turn it off before you delete it."
            )
        group = found.identifier
        with sqlite_file.transaction(self._db):
            names = [row["name"] for row in self._db.execute("SELECT name FROM parts WHERE group_id = ?", (group,))]
            for table in ("newest", "parts", "streams", "gone_streams", "dropped"):
                self._db.execute(f"DELETE FROM {table} WHERE group_id = ?", (group,))  # noqa: S608
            self._db.execute("DELETE FROM groups WHERE id = ?", (group,))
        del self._streams[group]
        return names

    def create_stream(self, group: str, name: str, *, now: int) -> None:
        """Raises TelemetryRefusedError when there is one of that name, or too many of others."""
        identifier = self.group(group).identifier
        if self._streams[identifier] >= MOST_STREAMS_OF_ONE or self._streams.total() >= MOST_STREAMS:
            most = f"{MOST_STREAMS_OF_ONE} of a group, {MOST_STREAMS} in all"
            raise TelemetryRefusedError(
                LIMIT, f"There are too many log streams ({most}): delete some, or set a retention."
            )
        try:
            with sqlite_file.transaction(self._db):
                self._db.execute(
                    "INSERT INTO streams (group_id, name, created) VALUES (?, ?, ?)", (identifier, name, now)
                )
        except sqlite3.IntegrityError:
            raise TelemetryRefusedError(EXISTS, "The specified log stream already exists") from None
        self._streams[identifier] += 1

    def tell(self, group: int, message: str, *, now: int) -> None:
        """Write one event into the store's own stream of a group, which is made if it is missing."""
        found = self.group_of(group)
        if found is None:
            return
        with contextlib.suppress(TelemetryRefusedError):
            self.create_stream(found.name, OWN_STREAM, now=now)
        self.append(found, self.stream(found, OWN_STREAM), [LogEvent(now, message)], now=now)

    def stream(self, group: LogGroup, name: str) -> Stream:
        """Raises TelemetryRefusedError when there is none."""
        row = self._db.execute(
            "SELECT * FROM streams WHERE group_id = ? AND name = ?", (group.identifier, name)
        ).fetchone()
        if row is None:
            raise TelemetryRefusedError(NOT_FOUND, "The specified log stream does not exist.")
        return _stream(row)

    def streams(self, group: LogGroup, *, prefix: str, after: str, is_descending: bool, limit: int) -> list[Stream]:
        """Streams in the order of their names; `after` is empty for the first page."""
        order, beyond = ("DESC", "<") if is_descending else ("ASC", ">")
        rows = self._db.execute(
            "SELECT * FROM streams WHERE group_id = ? AND substr(name, 1, ?) = ? "  # noqa: S608 - our own words
            f"AND (? = '' OR name {beyond} ?) ORDER BY name {order} LIMIT ?",
            (group.identifier, len(prefix), prefix, after, after, limit),
        )
        return [_stream(row) for row in rows.fetchall()]

    def streams_by_time(
        self, group: LogGroup, *, after: tuple[int, str] | None, is_descending: bool, limit: int
    ) -> list[Stream]:
        """Streams in the order of their last events."""
        order, beyond = ("DESC", "<") if is_descending else ("ASC", ">")
        rows = self._db.execute(
            "SELECT * FROM streams WHERE group_id = ? "  # noqa: S608 - our own words
            f"AND (? OR (coalesce(last_event, 0), name) {beyond} (?, ?)) "
            f"ORDER BY coalesce(last_event, 0) {order}, name {order} LIMIT ?",
            (group.identifier, after is None, *(after or (0, "")), limit),
        )
        return [_stream(row) for row in rows.fetchall()]

    def stream_names(self, group: LogGroup, identifiers: Iterable[int]) -> dict[int, str]:
        """Identifier → name of streams that are there."""
        wanted = json.dumps(sorted(set(identifiers)))
        rows = self._db.execute(
            "SELECT id, name FROM streams WHERE group_id = ? AND id IN (SELECT value FROM json_each(?))",
            (group.identifier, wanted),
        )
        return {row["id"]: row["name"] for row in rows.fetchall()}

    def stream_ids(self, group: LogGroup, prefix: str) -> list[int]:
        """All streams whose names begin so."""
        rows = self._db.execute(
            "SELECT id FROM streams WHERE group_id = ? AND substr(name, 1, ?) = ?",
            (group.identifier, len(prefix), prefix),
        )
        return [row["id"] for row in rows.fetchall()]

    def delete_stream(self, group: str, name: str) -> None:
        """Its events in files are shown no more, and go when the file is written again."""
        found = self.group(group)
        stream = self.stream(found, name)
        if self._one("SELECT count(*) FROM gone_streams WHERE group_id = ?", found.identifier) >= MOST_GONE:
            raise TelemetryRefusedError(
                LIMIT, f"{MOST_GONE} log streams of {group} were deleted, and their events still wait to go: try later."
            )
        with sqlite_file.transaction(self._db):
            self._db.execute("DELETE FROM streams WHERE id = ?", (stream.identifier,))
            self._db.execute(
                "DELETE FROM newest WHERE group_id = ? AND moment >= ? AND moment <= ? AND stream = ?",
                (found.identifier, stream.first_event or 0, stream.last_event or 0, stream.identifier),
            )
            self._db.execute("INSERT INTO gone_streams VALUES (?, ?)", (stream.identifier, found.identifier))
        self._streams[found.identifier] -= 1

    def forget_streams(self, cutoffs: Mapping[int, int]) -> int:
        """Remove streams without events that are shown still, and what was kept of deleted ones; how many.

        Only while no file is being written: one that was begun before a stream was deleted may have its events.
        """
        idle = [
            (row[0], group)
            for group, moment in cutoffs.items()
            for row in self._db.execute(
                "SELECT id FROM streams WHERE group_id = ?1 AND coalesce(last_event, 0) < ?2 "
                "AND max(created, coalesce(last_ingestion, 0)) < ?2 LIMIT ?3",
                (group, moment, FORGOTTEN_AT_ONCE),
            )
        ][:FORGOTTEN_AT_ONCE]
        gone = self._db.execute(
            "SELECT gone.id FROM gone_streams gone JOIN gone_until ON gone.id = gone_until.id WHERE gone_until.part < "
            "coalesce((SELECT min(parts.id) FROM parts WHERE parts.group_id = gone.group_id), gone_until.part + 1)"
        ).fetchall()
        unknown = self._one("SELECT EXISTS (SELECT 1 FROM gone_streams WHERE id NOT IN (SELECT id FROM gone_until))")
        if not (idle or gone or unknown):
            return 0
        with sqlite_file.transaction(self._db):
            self._db.executemany("DELETE FROM streams WHERE id = ?", [(stream,) for stream, _ in idle])
            for table in ("gone_streams", "gone_until"):
                self._db.executemany(f"DELETE FROM {table} WHERE id = ?", [tuple(row) for row in gone])  # noqa: S608
            self._db.execute("DELETE FROM gone_until WHERE id NOT IN (SELECT id FROM gone_streams)")
            self._db.execute(
                "INSERT INTO gone_until SELECT id, (SELECT coalesce(max(id), 0) FROM parts) FROM gone_streams "
                "WHERE id NOT IN (SELECT id FROM gone_until)"
            )
        self._streams.subtract(group for _, group in idle)
        return len(idle) + len(gone)

    def append(self, group: LogGroup, stream: Stream, events: Sequence[LogEvent], *, now: int) -> None:
        """Take events; they are on the disk when this returns.

        Raises:
            TelemetryRefusedError: the stream was deleted meanwhile.
        """
        if not events:
            return
        with sqlite_file.transaction(self._db):
            self._db.executemany(
                "INSERT INTO newest (group_id, stream, moment, ingested, message, size) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (group.identifier, stream.identifier, event.moment, now, event.message, event.size)
                    for event in events
                ],
            )
            changed = self._db.execute(
                "UPDATE streams SET first_event = min(coalesce(first_event, ?1), ?1), "
                "last_event = max(coalesce(last_event, ?2), ?2), last_ingestion = ?3 WHERE id = ?4",
                (events[0].moment, events[-1].moment, now, stream.identifier),
            )
            if not changed.rowcount:
                raise TelemetryRefusedError(NOT_FOUND, "The specified log stream does not exist.")

    def fresh(self) -> list[Fresh]:
        """The newest events by group and day."""
        rows = self._db.execute(
            "SELECT group_id, moment / ? AS day, count(*) AS rows, sum(size) AS size, min(ingested) AS oldest, "
            "max(number) AS last_number FROM newest GROUP BY 1, 2",
            (DAY,),
        )
        return [
            Fresh(
                group=row["group_id"],
                day=row["day"],
                rows=row["rows"],
                size=row["size"],
                oldest=row["oldest"],
                last_number=row["last_number"],
            )
            for row in rows.fetchall()
        ]

    def parts(self) -> list[Part]:
        """All files."""
        return [
            Part(
                identifier=row["id"],
                group=row["group_id"],
                day=row["day"],
                name=row["name"],
                rows=row["rows"],
                size=row["size"],
                raw=row["raw"],
                last_moment=row["last_moment"],
            )
            for row in self._db.execute("SELECT * FROM parts").fetchall()
        ]

    def retentions(self) -> dict[int, int | None]:
        """Days by group."""
        return {row["id"]: row["retention"] for row in self._db.execute("SELECT id, retention FROM groups")}

    def bounded(self, write: Write, most_bytes: int) -> Write:
        """The same with no more of the newest events than so many bytes, and one at least."""
        left, up_to = most_bytes, 0
        for row in self._db.execute(
            "SELECT number, size FROM newest WHERE group_id = ? AND moment >= ? AND moment < ? AND number <= ? "
            "ORDER BY number",
            (write.group, write.day * DAY, (write.day + 1) * DAY, write.up_to),
        ):
            left -= row["size"]
            if left < 0 and up_to:
                break
            up_to = row["number"]
        return replace(write, up_to=up_to)

    def commit(self, write: Write, written: Written | None) -> list[str]:
        """Let the written file take the place of what it was made of; the names of files that are needed no more.

        `written` is None when nothing was left to write.
        """
        with sqlite_file.transaction(self._db):
            is_there = self._db.execute("SELECT 1 FROM groups WHERE id = ?", (write.group,)).fetchone()
            if is_there is None:  # deleted meanwhile
                return [written.name] if written else []
            self._db.execute(
                "DELETE FROM newest WHERE group_id = ? AND moment >= ? AND moment < ? AND number <= ?",
                (write.group, write.day * DAY, (write.day + 1) * DAY, write.up_to),
            )
            for part in write.parts:
                self._db.execute("DELETE FROM parts WHERE id = ?", (part.identifier,))
            if written is not None:
                self._db.execute(
                    "INSERT INTO parts (group_id, day, name, rows, size, raw, last_moment) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        write.group,
                        write.day,
                        written.name,
                        written.rows,
                        written.size,
                        written.raw,
                        written.last_moment,
                    ),
                )
        return [part.name for part in write.parts]

    def drop(self, drops: Sequence[Drop], cutoffs: Mapping[int, int], *, now: int) -> list[str]:
        """Forget files and the newest events before the cutoffs; the names of files that are needed no more."""
        if not drops and not self._has_before(cutoffs):
            return []
        with sqlite_file.transaction(self._db):
            for each in drops:
                self._db.execute("DELETE FROM parts WHERE id = ?", (each.part.identifier,))
                self._db.execute(
                    "INSERT INTO dropped VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE "
                    "SET events = events + ?3, last_at = ?4",
                    (each.part.group, str(each.reason), each.part.rows, now),
                )
            for group, moment in cutoffs.items():
                self._db.execute("DELETE FROM newest WHERE group_id = ? AND moment < ?", (group, moment))
        return [each.part.name for each in drops]

    def dropped(self) -> list[dict[str, Any]]:
        """By group and reason: how many events were dropped, and when last."""
        rows = self._db.execute(
            "SELECT name AS log_group, reason, events, last_at FROM dropped JOIN groups ON id = group_id ORDER BY 1, 2"
        )
        return [dict(row) for row in rows.fetchall()]

    def _one(self, question: str, *given: object) -> int:
        return int(self._db.execute(question, given).fetchone()[0])

    def _has_before(self, cutoffs: Mapping[int, int]) -> bool:
        return any(
            self._db.execute("SELECT 1 FROM newest WHERE group_id = ? AND moment < ? LIMIT 1", each).fetchone()
            for each in cutoffs.items()
        )


def _group(row: sqlite3.Row) -> LogGroup:
    return LogGroup(
        identifier=row["id"],
        name=row["name"],
        created=row["created"],
        retention=row["retention"],
        kind=row["class"],
        is_protected=bool(row["is_protected"]),
        tags=json.loads(row["tags"]),
    )


def _stream(row: sqlite3.Row) -> Stream:
    return Stream(
        identifier=row["id"],
        name=row["name"],
        created=row["created"],
        first_event=row["first_event"],
        last_event=row["last_event"],
        last_ingestion=row["last_ingestion"],
    )
