"""The rhythm of shipping: find what is new in log files, send it, remember how far it went.

`process` starts the thread. A failure of the service holds everything back, with longer and longer pauses, and loses
nothing as long as the files keep it; what the service refuses for good is counted as dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import structlog

from aerodrome.clock import Clock
from aerodrome.errors import AerodromeError
from aerodrome.sidecar import backoff
from aerodrome.sidecar.config import LogsConfig
from aerodrome.sidecar.logs import events, folders, sources, tailing
from aerodrome.sidecar.logs.cloudwatch import CloudWatch, batches
from aerodrome.sidecar.logs.events import Event
from aerodrome.sidecar.logs.folders import Found
from aerodrome.sidecar.logs.positions import FORGOTTEN_AFTER, Place, Positions
from aerodrome.sidecar.signed_http import AwayError, RefusalError
from aerodrome.sidecar.status import LogsStatus

RHYTHM = 1.0
"""Seconds from one round to the next."""

SHARE = 0.05
"""Of the time, that looking through folders may take: a large tree is looked through less often."""

PIECES = 8
"""Of one file in one round, so that no file holds the others up."""

SETTLED = 2
"""Rounds without a change after which a file's last event is taken as whole."""

OLDEST = 13 * 24 * 3_600_000
"""Milliseconds; CloudWatch takes no event that is older than 14 days."""

DENIED = frozenset({"AccessDeniedException", "AccessDenied", "UnknownOperationException"})

LONGEST_PAUSE = 60.0
"""Seconds between two tries while the service does not answer or refuses."""

Send = Callable[[tuple[bytes, ...]], None]

log = structlog.get_logger("sidecar.logs")


@dataclass(slots=True)
class _Watched:
    """What one round saw of a file."""

    size: int = -1
    unchanged: int = 0


@dataclass(slots=True)
class Shipper:
    """Ships the logs of one environment; for one thread, but for `status`."""

    environment: str
    config: LogsConfig
    cloudwatch: CloudWatch
    positions: Positions
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    status: LogsStatus = field(default_factory=LogsStatus)
    _watched: dict[str, _Watched] = field(default_factory=dict)
    _failures: int = 0
    _has_groups: bool = False
    _searched: float = 0.0
    """Seconds that the last round spent on looking through folders."""
    _is_changed: bool = False
    """Whether positions have moved since they were saved."""

    def run(self, beat: Callable[[], None]) -> None:
        """Go on for ever."""
        while True:
            beat()
            began = self.monotonic()
            pause = self.once()
            took = self.monotonic() - began
            time.sleep(rest(took, self._searched, pause))

    def once(self) -> float:
        """One round; how many seconds the next must wait at least."""
        try:
            self._round()
        except AerodromeError as error:
            self._failures += 1
            if self.status.error != str(error):
                log.warning("logs cannot be shipped and stay where they are", error=str(error))
            since = self.status.behind_since or self.clock()
            self.status = replace(self.status, behind_since=since, error=str(error))
            return backoff.back_off(self._failures, longest=LONGEST_PAUSE)
        self._failures = 0
        self.status = replace(self.status, behind_since=None, error=None)
        return 0.0

    def _round(self) -> None:
        if not self._has_groups:
            self._make_groups()
        seen: dict[str, Found] = {}
        self._searched, since = 0.0, self.monotonic()
        for kind, root in self._roots().items():
            for found in folders.find(str(root)):
                self._searched += self.monotonic() - since
                key = f"{kind}/{found.path}"
                seen[key] = found
                self._look(kind, str(root), key, found)
                since = self.monotonic()
        self._tidy(seen)
        self._save()

    def _make_groups(self) -> None:
        """Make the groups of all categories that are on, so that they are there before anything is said."""
        for category in self.config.levels:
            if category in sources.GROUPS:
                try:
                    self.cloudwatch.ensure_group(sources.group(self.environment, category))
                except RefusalError as error:  # it may be there, made by somebody who is allowed to
                    log.info("a log group cannot be made", category=category, error=str(error))
        self._has_groups = True

    def _save(self) -> None:
        if self._is_changed:
            self.positions.save()
            self._is_changed = False

    def _roots(self) -> Mapping[str, Path]:
        return {"units": self.config.units, "tasks": self.config.tasks}

    def _look(self, kind: str, root: str, key: str, found: Found) -> None:
        """Ship what is new in one file."""
        place = self.positions.places.get(key)
        if place is None and found.changed <= self.positions.settled:
            return
        source = self._source(kind, found.path)
        if source is None:
            return
        if place is None or place.inode != found.inode:
            place = self.positions.places[key] = Place(source.stream, found.inode)
            self._is_changed = True
        level = self.config.levels.get(source.category)
        watched = self._watched.setdefault(key, _Watched())
        is_same = watched.size == found.size
        watched.unchanged = watched.unchanged + 1 if is_same else 0
        watched.size = found.size
        if is_same and found.size == place.offset:
            return
        try:
            with tailing.reading(root, found.path) as handle:
                if level is None:  # a category that is off has nothing to catch up when it is on again
                    self._moved(place, found.size, b"")
                    return
                sending = partial(self._send, source.category, place, level)
                if tailing.is_rotated(handle, place):
                    self._ship_rest(root, found.path, place, sending)
                self._ship(handle, place, sending, is_settled=watched.unchanged >= SETTLED)
        except OSError as error:
            log.info("a log file cannot be read", file=key, error=error.strerror)

    def _source(self, kind: str, path: str) -> sources.Source | None:
        if kind == "tasks":
            return sources.of_airflow(path)
        revision, _, name = path.partition("/")
        return sources.of_unit(revision, name, epoch=int(self.clock().timestamp())) if name else None

    def _ship_rest(self, root: str, path: str, place: Place, send: Send) -> None:
        """Ship what a rotation has moved into the copy."""
        left = tailing.rotated(root, path, place)
        if not left.is_whole:
            self._drop(1, f"lines of {path} were overwritten before they could be shipped")
        send(events.grouped(left.rest, is_settled=True, is_full=True).events)
        self._moved(place, 0, b"")
        self._save()

    def _ship(self, handle: int, place: Place, send: Send, *, is_settled: bool) -> None:
        """Ship the whole events behind the place."""
        for _ in range(PIECES):
            piece = tailing.piece(handle, place.offset)
            is_full = len(piece) == tailing.PIECE
            grouped = events.grouped(piece, is_settled=is_settled and not is_full, is_full=is_full)
            if not grouped.consumed:
                return
            send(grouped.events)
            self._moved(place, place.offset + grouped.consumed, place.before + piece[: grouped.consumed])
            self._save()

    def _moved(self, place: Place, offset: int, before: bytes) -> None:
        place.moved(offset, before)
        self._is_changed = True

    def _send(self, category: str, place: Place, level: int, messages: tuple[bytes, ...]) -> None:
        now = int(self.clock().timestamp() * 1000)
        found: list[Event] = []
        for message in messages:
            event = events.read(message, now=now, not_before=place.last, oldest=now - OLDEST)
            if event.level >= level:
                found.append(event)
                place.last = event.moment
        group = sources.group(self.environment, category)
        for batch in batches(found):
            try:
                refused = self.cloudwatch.put(group, place.stream, batch)
            except AwayError:
                raise
            except RefusalError as error:
                if error.code.rpartition("#")[2] in DENIED:
                    raise
                self._drop(len(batch), str(error))
                continue
            self.status = replace(self.status, shipped=self.status.shipped + len(batch) - refused)
            if refused:
                self._drop(refused, f"{group} takes no events of that age")

    def _drop(self, count: int, why: str) -> None:
        self.positions.dropped += count
        self.status = replace(self.status, dropped=self.positions.dropped)
        log.warning("log events were dropped", events=count, reason=why)

    def _tidy(self, seen: Mapping[str, Found]) -> None:
        """Forget what is finished or gone."""
        until = self.clock().timestamp() - FORGOTTEN_AFTER
        places = self.positions.places
        gone = [key for key in places if key not in seen]
        finished = [
            (key, seen[key].changed)
            for key, place in places.items()
            if key in seen and place.offset == seen[key].size and seen[key].changed < until and key.startswith("tasks/")
        ]
        if gone or finished:
            self.positions.forget(finished, gone)
            self._is_changed = True
        for key in [key for key in self._watched if key not in places]:
            del self._watched[key]


def rest(took: float, searched: float, pause: float) -> float:
    """Seconds until the next round, after one that took so long, a part of it to look through folders. Pure."""
    return max(RHYTHM - took, searched / SHARE - took, pause, 0.0)
