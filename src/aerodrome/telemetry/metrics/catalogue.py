"""Series, points, alarms and dashboards in one SQLite file.

The newest points are rows, one a minute. A transaction moves those of a finished span into blocks: one row for each
series, period and span, with its points compressed. So a point is counted once at any moment, and what `add` has
returned from is on the disk. One thread of `store` uses a catalogue.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aerodrome.telemetry import sqlite_file
from aerodrome.telemetry.metrics import periods, points
from aerodrome.telemetry.metrics.periods import FORMER_SPANS, MINUTE, PERIODS, SPANS, Eviction
from aerodrome.telemetry.metrics.points import DataPoint
from aerodrome.telemetry.refusals import LIMIT, TelemetryRefusedError

MOST_SERIES = 100_000
MOST_SERIES_EACH = 20_000
"""Different metrics, of all callers and of each."""

MOST_HISTORY = 10_000
"""Entries of the history of alarms; CloudWatch keeps it for 30 days.

Of more go some of the owner with most: the oldest of the alarm with most.
"""

ALARMS_BYTES = 32 * 2**20
DASHBOARDS_BYTES = 64 * 2**20
"""Of all alarms, and of all dashboards, beside the limit of the points; arbitrary."""

ALARM_BYTES = 128 * 2**10
"""Of one alarm. It stands in what each of its topics is told, and SNS takes 256 KiB."""

MOST_NOTICES = 1000
"""That wait for topics to be told; of more some are given up, chosen likewise."""

TOLD_AT_ONCE = 100

MOST_REMEMBERED = 4 * 2**20
"""Characters of the names of series whose numbers are remembered: 20,000 series of usual names, or 40 MB at worst."""

ROLLED_AT_ONCE = 500
"""Blocks of one transaction: nobody else is answered while it lasts."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, name TEXT NOT NULL, dimensions TEXT NOT NULL,
    unit TEXT NOT NULL, owner TEXT NOT NULL, last_moment INTEGER NOT NULL, UNIQUE (namespace, name, dimensions, unit)
);
CREATE INDEX IF NOT EXISTS series_by_owner ON series (owner);
CREATE TABLE IF NOT EXISTS minutes (
    series INTEGER NOT NULL, moment INTEGER NOT NULL, count REAL NOT NULL, sum REAL NOT NULL, least REAL NOT NULL,
    most REAL NOT NULL, spread TEXT, PRIMARY KEY (series, moment)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS minutes_by_moment ON minutes (moment);
CREATE TABLE IF NOT EXISTS blocks (
    series INTEGER NOT NULL, period INTEGER NOT NULL, start INTEGER NOT NULL, points BLOB NOT NULL,
    UNIQUE (series, period, start)
);
CREATE INDEX IF NOT EXISTS blocks_by_start ON blocks (period, start);
CREATE TABLE IF NOT EXISTS kept (period INTEGER PRIMARY KEY, since INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS alarms (name TEXT PRIMARY KEY, document TEXT NOT NULL, owner TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS history (
    number INTEGER PRIMARY KEY AUTOINCREMENT, alarm TEXT NOT NULL, moment REAL NOT NULL, kind TEXT NOT NULL,
    summary TEXT NOT NULL, data TEXT NOT NULL, owner TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS history_by_alarm ON history (alarm);
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, alarm TEXT NOT NULL, topic TEXT NOT NULL, subject TEXT NOT NULL,
    message TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS dashboards (name TEXT PRIMARY KEY, body TEXT NOT NULL, changed REAL NOT NULL);
"""

_TEXTS = {
    "alarms": "SELECT count(*), sum(length(CAST(document AS BLOB))) FROM alarms",
    "history": "SELECT count(*), sum(length(CAST(data AS BLOB))) FROM history",
    "outbox": "SELECT count(*), sum(length(CAST(message AS BLOB))) FROM outbox",
    "dashboards": "SELECT count(*), sum(length(CAST(body AS BLOB))) FROM dashboards",
}
"""The tables of what is no point, and how many rows and bytes each has."""

_OWNED = ("alarms", "history", "outbox")
"""Tables whose rows belong to who has put the alarm. Those of an earlier version do not say it yet."""

Dimensions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, whatever its unit."""

    namespace: str
    name: str
    dimensions: Dimensions
    """In the order of their names."""


@dataclass(frozen=True, slots=True)
class Datum:
    """One point that comes in."""

    metric: Metric
    unit: str
    moment: int
    """The beginning of a minute."""
    point: DataPoint


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """Something that happened to an alarm."""

    alarm: str
    moment: float
    kind: str
    summary: str
    data: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What an SNS topic is to be told of an alarm."""

    alarm: str
    topic: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmMove:
    """An alarm as it is to be, and what follows from that."""

    alarm: Mapping[str, Any]
    """As DescribeAlarms has it."""
    items: tuple[HistoryItem, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(slots=True)
class _Series:
    """What is remembered of a series."""

    number: int
    last_moment: int
    """No minute after this one has a row."""


class MetricCatalogue:
    """The open file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite_file.opened(path, SCHEMA)
        for table in _OWNED:
            if "owner" not in {row["name"] for row in self._db.execute(f"PRAGMA table_info({table})")}:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN owner TEXT NOT NULL DEFAULT ''")
        self._series: dict[tuple[Metric, str], _Series] = {}
        """By metric and unit: those that points came for lately. It says what the file says."""
        self._remembered = 0
        """Characters of their names."""

    def close(self) -> None:
        self._db.close()

    def add(self, data: Sequence[Datum], owner: str) -> None:
        """Take these points, or none.

        Raises:
            TelemetryRefusedError: there would be too many metrics.
        """
        try:
            with sqlite_file.transaction(self._db):
                self._write(data, owner)
        except BaseException:
            self._forget()  # what it knows by now may not be in the file
            raise

    def _write(self, data: Sequence[Datum], owner: str) -> None:
        """Each point is merged with what is there, in the order in which they come; each row is written once."""
        rows: dict[tuple[int, int], DataPoint] = {}
        newer: dict[int, int] = {}
        for datum in data:
            series = self._series.get((datum.metric, datum.unit)) or self._found_or_made(datum, owner)
            at = series.number, datum.moment
            there = rows.get(at)
            if datum.moment > series.last_moment:
                newer[series.number] = series.last_moment = datum.moment
            elif there is None:
                there = self._minute(*at)
            rows[at] = datum.point if there is None else points.merged(there, datum.point)
        self._db.executemany("UPDATE series SET last_moment = ?2 WHERE id = ?1", newer.items())
        # In the order of the table, so that a page of the file is written to once.
        self._db.executemany(
            "REPLACE INTO minutes VALUES (?, ?, ?, ?, ?, ?, ?)", (_row(at, rows[at]) for at in sorted(rows))
        )

    def _found_or_made(self, datum: Datum, owner: str) -> _Series:
        """The series that the file has, or a new one; remembered from now on."""
        dimensions = json.dumps(datum.metric.dimensions)
        key = (datum.metric.namespace, datum.metric.name, dimensions, datum.unit)
        row = self._db.execute(
            "SELECT id, last_moment FROM series WHERE namespace = ? AND name = ? AND dimensions = ? AND unit = ?", key
        ).fetchone()
        if row is None:
            self._check_room(owner)
            made = self._db.execute(
                "INSERT INTO series (namespace, name, dimensions, unit, owner, last_moment) VALUES (?, ?, ?, ?, ?, ?)",
                (*key, owner, datum.moment),
            )
            series = _Series(int(made.lastrowid or 0), datum.moment)
        else:
            series = _Series(row["id"], row["last_moment"])
        if self._remembered > MOST_REMEMBERED:
            self._forget()
        self._remembered += sum(map(len, key))
        self._series[datum.metric, datum.unit] = series
        return series

    def _forget(self) -> None:
        self._series.clear()
        self._remembered = 0

    def _check_room(self, owner: str) -> None:
        own = self._one("SELECT count(*) FROM series WHERE owner = ?", owner)
        if own >= MOST_SERIES_EACH or self._one("SELECT count(*) FROM series") >= MOST_SERIES:
            raise TelemetryRefusedError(
                LIMIT, f"No more metrics are taken: one caller may have {MOST_SERIES_EACH}, all {MOST_SERIES}."
            )

    def _minute(self, series: int, moment: int) -> DataPoint | None:
        row = self._db.execute("SELECT * FROM minutes WHERE series = ? AND moment = ?", (series, moment)).fetchone()
        return None if row is None else _point(row)

    def read(
        self, metric: Metric, unit: str | None, *, start: int, end: int, period: int, phase: int = 0
    ) -> dict[int, DataPoint]:
        """The points of a metric from `start` to before `end`, by the beginnings of periods."""
        finest = periods.finest(period, phase, start)
        whole = periods.aligned(end, finest)  # a block that goes on after the end says too much
        parts = ((start, whole, finest), (whole, end, MINUTE))
        found = (
            each
            for first, last, step in parts
            if first < last
            for each in self._points(metric, unit, first, last, step)
        )
        return points.in_periods(found, period, phase)

    def units(self, metric: Metric) -> list[str]:
        """The units in which a metric was sent."""
        return [row["unit"] for row in self._known(metric, None)]

    def all_metrics(self, since: int) -> list[Metric]:
        """Every metric that had a point at or after `since`, by its name."""
        rows = self._db.execute(
            "SELECT DISTINCT namespace, name, dimensions FROM series WHERE last_moment >= ?"
            " ORDER BY namespace, name, dimensions",
            (since,),
        )
        return [_metric(row) for row in rows]

    def _known(self, metric: Metric, unit: str | None) -> list[sqlite3.Row]:
        return self._db.execute(
            "SELECT id, unit FROM series WHERE namespace = ?1 AND name = ?2 AND dimensions = ?3"
            " AND (?4 IS NULL OR unit = ?4) ORDER BY unit",
            (metric.namespace, metric.name, json.dumps(metric.dimensions), unit),
        ).fetchall()

    def _points(
        self, metric: Metric, unit: str | None, start: int, end: int, finest: int
    ) -> Iterator[tuple[int, DataPoint]]:
        """Those that are not in blocks yet, and those of blocks, of the finest period that is there still."""
        since, ranges, until = self._since(), {}, end
        for period in PERIODS[PERIODS.index(finest) :]:
            ranges[period] = (max(start, since[period]), until)
            until = min(until, since[period])
        for row in self._known(metric, unit):
            for minute in self._db.execute(
                "SELECT * FROM minutes WHERE series = ? AND moment >= ? AND moment < ?", (row["id"], start, end)
            ):
                yield minute["moment"], _point(minute)
            for period, (first, last) in ranges.items():
                blocks = self._db.execute(
                    "SELECT points FROM blocks WHERE series = ?1 AND period = ?2"
                    " AND (start > ?3 AND start < ?4 OR start = ?5)",
                    (row["id"], period, first - SPANS[period], last, periods.aligned(first, FORMER_SPANS[period])),
                )
                for block in blocks:
                    yield from (
                        (moment, point) for moment, point in _unpacked(block["points"]) if first <= moment < last
                    )

    def _since(self) -> dict[int, int]:
        """By period: the time from which its points are there."""
        found = dict.fromkeys(PERIODS, 0)
        return found | {row["period"]: row["since"] for row in self._db.execute("SELECT period, since FROM kept")}

    def listed(
        self, *, namespace: str | None, name: str | None, since: int, after: int, limit: int
    ) -> list[tuple[int, Metric]]:
        """Metrics with a number to go on from, of those that had a point at or after `since`."""
        rows = self._db.execute(
            "SELECT id AS number, namespace, name, dimensions FROM series AS one WHERE id > ?4 AND last_moment >= ?3"
            " AND (?1 IS NULL OR namespace = ?1) AND (?2 IS NULL OR name = ?2) AND NOT EXISTS"  # in another unit
            " (SELECT 1 FROM series AS other WHERE other.namespace = one.namespace AND other.name = one.name"
            " AND other.dimensions = one.dimensions AND other.id < one.id AND other.last_moment >= ?3)"
            " ORDER BY id LIMIT ?5",
            (namespace, name, since, after, limit),
        )
        return [(row["number"], _metric(row)) for row in rows]

    def roll(self, before: int) -> int:
        """Move minutes before a time into blocks, not all at once; how many rows were moved."""
        due = self._db.execute(
            "SELECT DISTINCT series, moment / ?1 * ?1 AS start FROM minutes WHERE moment < ?2 LIMIT ?3",
            (SPANS[MINUTE], before, ROLLED_AT_ONCE),
        ).fetchall()
        moved = 0
        with sqlite_file.transaction(self._db):
            for series, start in due:
                moved += self._roll(series, start, start + SPANS[MINUTE])
        return moved

    def _roll(self, series: int, start: int, end: int) -> int:
        within = "FROM minutes WHERE series = ? AND moment >= ? AND moment < ?"
        rows = self._db.execute(f"SELECT * {within}", (series, start, end)).fetchall()
        found = [(row["moment"], _point(row)) for row in rows]
        since = self._since()
        for period in PERIODS:
            blocks: dict[int, dict[int, DataPoint]] = defaultdict(dict)
            for moment, point in points.in_periods(found, period).items():
                if moment >= since[period]:
                    blocks[periods.aligned(moment, SPANS[period])][moment] = point
            for beginning, made in blocks.items():
                self._add_to_block(series, period, beginning, made)
        self._db.execute(f"DELETE {within}", (series, start, end))
        return len(rows)

    def _add_to_block(self, series: int, period: int, start: int, made: Mapping[int, DataPoint]) -> None:
        key = (series, period, start)
        row = self._db.execute(
            "SELECT points FROM blocks WHERE series = ? AND period = ? AND start = ?", key
        ).fetchone()
        before = [] if row is None else _unpacked(row["points"])
        whole = points.in_periods([*before, *made.items()], period)
        self._db.execute("REPLACE INTO blocks VALUES (?, ?, ?, ?)", (*key, _packed(whole)))

    def evict(self, evictions: Iterable[Eviction]) -> int:
        """Forget points; how many blocks are gone. A metric without any point is forgotten."""
        gone = 0
        with sqlite_file.transaction(self._db):
            for each in evictions:
                self._db.execute(
                    "INSERT INTO kept VALUES (?1, ?2) ON CONFLICT (period) DO UPDATE SET since = max(since, ?2)",
                    (each.period, each.before),
                )
                gone += self._db.execute(
                    "DELETE FROM blocks WHERE period = ? AND start <= ?",
                    (each.period, each.before - SPANS[each.period]),
                ).rowcount
            without = self._db.execute(
                "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM blocks WHERE blocks.series = series.id)"
                " AND NOT EXISTS (SELECT 1 FROM minutes WHERE minutes.series = series.id)"
            ).rowcount
            if without:
                self._forget()
        return gone

    def size(self) -> int:
        """Bytes of points, about; the file may be larger, and is filled again first.

        What else it holds has limits of its own, and is no reason to forget points.
        """
        page = self._one("PRAGMA page_size")
        pages = self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count")
        # The last page of a large text is not full.
        others = sum(size + page * min(rows, size // page) for rows, size in map(self._texts, _TEXTS))
        return max(pages * page - others, 0)

    def _texts(self, table: str) -> tuple[int, int]:
        """Rows and bytes."""
        rows, size = self._db.execute(_TEXTS[table]).fetchone()
        return rows, size or 0

    def _check_texts(self, table: str, *, most: int | None, most_bytes: int | None) -> None:
        """None: they did not become more, which is no reason to refuse what was taken under another bound."""
        rows, size = self._texts(table)
        if most is not None and rows > most:
            raise TelemetryRefusedError(LIMIT, f"There may be {most} {table}.")
        if most_bytes is not None and size > most_bytes:
            raise TelemetryRefusedError(LIMIT, f"All {table} together may have {most_bytes} bytes.")

    def oldest(self) -> dict[int, int | None]:
        """By period: when its first block begins; None = there is none."""
        return {
            period: self._db.execute("SELECT min(start) FROM blocks WHERE period = ?", (period,)).fetchone()[0]
            for period in PERIODS
        }

    def alarms(self, *, prefix: str = "", after: str = "", limit: int) -> list[dict[str, Any]]:
        """So many alarms whose names begin like that and come after a name, as DescribeAlarms has them, by name."""
        rows = self._db.execute(
            "SELECT document FROM alarms WHERE name >= ?1 AND name > ?2 AND substr(name, 1, length(?1)) = ?1"
            " ORDER BY name LIMIT ?3",
            (prefix, after, limit),
        )
        return [json.loads(row["document"]) for row in rows]

    def alarm_names(self) -> list[str]:
        """The names of all alarms."""
        return [row["name"] for row in self._db.execute("SELECT name FROM alarms ORDER BY name")]

    def alarm(self, name: str) -> dict[str, Any] | None:
        """The alarm of this name."""
        row = self._db.execute("SELECT document FROM alarms WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row["document"])

    def put_alarms(self, moves: Iterable[AlarmMove], *, most: int | None = None, owner: str | None = None) -> None:
        """Store alarms, what happened to them, and whom to tell of it; `owner` = whose they are from now on.

        Raises:
            TelemetryRefusedError: there would be more, with more than `most`, or they would grow and be too large.
        """
        added = growth = 0
        with sqlite_file.transaction(self._db):
            for move in moves:
                name, document = move.alarm["AlarmName"], json.dumps(move.alarm)
                if most is not None:
                    before = self.alarm(name)
                    more = _own_length(move.alarm) - _own_length(before or {})
                    if more > 0 and len(document) > ALARM_BYTES:
                        raise TelemetryRefusedError(
                            LIMIT, f"An alarm may have {ALARM_BYTES} bytes, its metrics included."
                        )
                    added, growth = added + (before is None), growth + more
                self._db.execute(
                    "INSERT INTO alarms (name, document, owner) VALUES (?1, ?2, coalesce(?3, '')) ON CONFLICT (name)"
                    " DO UPDATE SET document = ?2, owner = coalesce(?3, owner)",
                    (name, document, owner),
                )
                self._note(move.items)
                self._db.executemany(
                    "INSERT INTO outbox (alarm, topic, subject, message, owner)"
                    " SELECT ?, ?, ?, ?, owner FROM alarms WHERE name = ?",
                    [(each.alarm, each.topic, each.subject, each.message, each.alarm) for each in move.notices],
                )
                if move.notices:
                    self._give_up(move.items[-1].moment)
            if most is not None:
                self._check_texts(
                    "alarms", most=most if added else None, most_bytes=ALARMS_BYTES if growth > 0 else None
                )

    def _give_up(self, moment: float) -> None:
        """Drop notices when there are too many, and say so in the history."""
        beyond = [
            row
            for surplus in self._beyond("outbox", MOST_NOTICES)
            for row in self._db.execute(
                "SELECT number, alarm, topic FROM outbox WHERE owner = ? AND alarm = ? ORDER BY number LIMIT ?", surplus
            ).fetchall()
        ]
        self._db.executemany("DELETE FROM outbox WHERE number = ?", [(row["number"],) for row in beyond])
        told = "Failed to execute action {}: " + f"{MOST_NOTICES} others wait"
        self._note(HistoryItem(row["alarm"], moment, "Action", told.format(row["topic"]), "{}") for row in beyond)

    def outbox(self, *, is_retry: bool) -> list[tuple[int, int, Notice]]:
        """What is still to be told: its number, attempts before, and the notice.

        Those come first that were not tried yet; others come only when it is time to try again. Owners take turns, so
        that none waits for all that another has to say.
        """
        rows = self._db.execute(
            "SELECT * FROM outbox WHERE ? OR attempts = 0 ORDER BY attempts > 0,"
            " row_number() OVER (PARTITION BY owner, attempts > 0 ORDER BY number), number LIMIT ?",
            (is_retry, TOLD_AT_ONCE),
        )
        return [
            (row["number"], row["attempts"], Notice(row["alarm"], row["topic"], row["subject"], row["message"]))
            for row in rows
        ]

    def told(self, number: int, items: Iterable[HistoryItem]) -> None:
        """Remove a notice, and add to the history of alarms."""
        with sqlite_file.transaction(self._db):
            self._db.execute("DELETE FROM outbox WHERE number = ?", (number,))
            self._note(items)

    def tried(self, number: int) -> None:
        self._db.execute("UPDATE outbox SET attempts = attempts + 1 WHERE number = ?", (number,))

    def delete_alarms(self, names: Iterable[str], items: Iterable[HistoryItem]) -> None:
        with sqlite_file.transaction(self._db):
            self._note(items)
            self._db.executemany("DELETE FROM alarms WHERE name = ?", [(name,) for name in names])

    def _note(self, items: Iterable[HistoryItem]) -> None:
        self._db.executemany(
            "INSERT INTO history (alarm, moment, kind, summary, data, owner)"
            " VALUES (?1, ?2, ?3, ?4, ?5, coalesce((SELECT owner FROM alarms WHERE name = ?1),"
            " (SELECT owner FROM history WHERE alarm = ?1 ORDER BY number DESC LIMIT 1), ''))",  # it may be deleted
            [(each.alarm, each.moment, each.kind, each.summary, each.data) for each in items],
        )
        if self._one("SELECT count(*) FROM history") > MOST_HISTORY + MOST_HISTORY // 100:  # to count less often
            self._db.executemany(
                "DELETE FROM history WHERE number IN"
                " (SELECT number FROM history WHERE owner = ? AND alarm = ? ORDER BY number LIMIT ?)",
                self._beyond("history", MOST_HISTORY),
            )

    def _beyond(self, table: str, most: int) -> list[tuple[str, str, int]]:
        """Owner, alarm and how many rows there are too many, of those owners and alarms that have most.

        So no owner takes another's place, by one alarm or by many.
        """
        rows = self._db.execute(
            f"SELECT owner, alarm, count(*), min(number) FROM {table} GROUP BY owner, alarm"  # noqa: S608 - ours
        ).fetchall()
        of_owner: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for owner, alarm, count, oldest in rows:
            heapq.heappush(of_owner[owner], (-count, oldest, alarm))
        owners = [(sum(each[0] for each in own), own[0][1], owner) for owner, own in of_owner.items()]
        heapq.heapify(owners)
        found: dict[tuple[str, str], int] = defaultdict(int)
        for _ in range(sum(row[2] for row in rows) - most):
            total, oldest, owner = owners[0]
            heapq.heapreplace(owners, (total + 1, oldest, owner))
            count, first, alarm = of_owner[owner][0]
            heapq.heapreplace(of_owner[owner], (count + 1, first, alarm))
            found[owner, alarm] += 1
        return [(owner, alarm, count) for (owner, alarm), count in found.items()]

    def history(self, *, alarm: str | None, kind: str | None, start: float, end: float) -> list[HistoryItem]:
        """What happened to alarms, the newest first."""
        rows = self._db.execute(
            "SELECT alarm, moment, kind, summary, data FROM history WHERE (?1 IS NULL OR alarm = ?1)"
            " AND (?2 IS NULL OR kind = ?2) AND moment >= ?3 AND moment <= ?4 ORDER BY number DESC",
            (alarm, kind, start, end),
        )
        return [HistoryItem(*row) for row in rows]

    def put_dashboard(self, name: str, body: str, *, now: float, most: int) -> None:
        """Store a dashboard.

        Raises:
            TelemetryRefusedError: there would be more, with more than `most`, or they would grow and be too large.
        """
        with sqlite_file.transaction(self._db):
            before = self.dashboard(name)
            grows = before is None or len(body.encode()) > len(before.encode())
            self._db.execute("REPLACE INTO dashboards VALUES (?, ?, ?)", (name, body, now))
            self._check_texts(
                "dashboards", most=most if before is None else None, most_bytes=DASHBOARDS_BYTES if grows else None
            )

    def dashboard(self, name: str) -> str | None:
        """The body of the dashboard of this name."""
        row = self._db.execute("SELECT body FROM dashboards WHERE name = ?", (name,)).fetchone()
        return None if row is None else row["body"]

    def dashboards(self, prefix: str, *, after: int, limit: int) -> list[tuple[str, float, int]]:
        """Name, last change and bytes of dashboards, by name, without the first `after` of them."""
        rows = self._db.execute(
            "SELECT name, changed, length(CAST(body AS BLOB)) FROM dashboards WHERE substr(name, 1, length(?1)) = ?1"
            " ORDER BY name LIMIT ?2 OFFSET ?3",
            (prefix, limit, after),
        )
        return [tuple(row) for row in rows]

    def delete_dashboards(self, names: Sequence[str]) -> list[str]:
        """Delete all of these, or none; the names of those that are not there."""
        there = {row["name"] for row in self._db.execute("SELECT name FROM dashboards")}
        missing = [name for name in names if name not in there]
        if not missing:
            with sqlite_file.transaction(self._db):
                self._db.executemany("DELETE FROM dashboards WHERE name = ?", [(name,) for name in names])
        return missing

    def _one(self, sql: str, *given: object) -> int:
        return int(self._db.execute(sql, given).fetchone()[0])


def _own_length(alarm: Mapping[str, Any]) -> int:
    """Bytes of what somebody has given of an alarm; its state and the switch of its actions are small, and change."""
    own = {name: value for name, value in alarm.items() if name != "ActionsEnabled" and not name.startswith("State")}
    return len(json.dumps(own))


def _metric(row: sqlite3.Row) -> Metric:
    dimensions = tuple((name, value) for name, value in json.loads(row["dimensions"]))
    return Metric(row["namespace"], row["name"], dimensions)


def _point(row: sqlite3.Row) -> DataPoint:
    spread = None if row["spread"] is None else dict(json.loads(row["spread"]))
    return DataPoint(row["count"], row["sum"], row["least"], row["most"], spread)


def _row(at: tuple[int, int], point: DataPoint) -> tuple[object, ...]:
    spread = None if point.spread is None else json.dumps(list(point.spread.items()))
    return (*at, point.count, point.sum, point.least, point.most, spread)


def _packed(whole: Mapping[int, DataPoint]) -> bytes:
    rows = [
        [moment, each.count, each.sum, each.least, each.most, each.spread and list(each.spread.items())]
        for moment, each in whole.items()
    ]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode())


def _unpacked(block: bytes) -> Iterator[tuple[int, DataPoint]]:
    for moment, count, total, least, most, spread in json.loads(zlib.decompress(block)):
        yield moment, DataPoint(count, total, least, most, spread and dict(map(tuple, spread)))
