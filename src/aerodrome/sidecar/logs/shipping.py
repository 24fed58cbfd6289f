"""The rhythm of shipping: find what is new in log files, send it, remember how far it went.

`process` starts the thread. A failure of the service holds the log group back that it concerns, with longer and longer
pauses, and loses nothing as long as the files keep it; what the service refuses for good is counted as dropped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
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
from aerodrome.sidecar.logs.events import LEVELS, Grouped, ShippedEvent
from aerodrome.sidecar.logs.folders import LogFile
from aerodrome.sidecar.logs.positions import FORGOTTEN_AFTER, FilePosition, Positions
from aerodrome.sidecar.logs.tailing import RotatedCopy
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

AHEAD = 3_600_000
"""Milliseconds that events may be ahead of the clock so that a stream stays in order; CloudWatch takes two hours."""

DENIED = frozenset({"AccessDeniedException", "AccessDenied", "UnknownOperationException"})

LONGEST_PAUSE = 60.0
"""Seconds between two tries while the service does not answer or refuses."""

SAVED_AT_MOST = 1.0
"""Seconds between two times that positions are written within a round."""

TIDIED_AT_MOST = 60.0
"""Seconds between two times that finished files are looked for."""

Send = Callable[[Grouped, bytes], None]

log = structlog.get_logger("sidecar.logs")


@dataclass(slots=True)
class _Watched:
    """What one round saw of a file."""

    seen: LogFile | None = None
    unchanged: int = 0
    copy: str | None = None
    """The identity of its youngest copy."""
    is_open: bool = False
    """Whether more is to be done, though the file may not change."""


@dataclass(frozen=True, slots=True)
class _File:
    """One file that is looked at, opened."""

    root: str
    path: str
    key: str
    category: str
    handle: int
    copies: Sequence[RotatedCopy]


@dataclass(slots=True)
class _Held:
    """Why a category's logs wait, and until when."""

    failures: int = 0
    until: float = 0.0
    """On the monotonic clock."""
    error: str = ""


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
    _held: dict[str, _Held] = field(default_factory=dict)
    """Categories whose log group did not take what it was given."""
    _made: set[str] = field(default_factory=set)
    """Categories whose log group is there, or is not for us to make."""
    _searched: float = 0.0
    """Seconds that the last round spent on looking through folders."""
    _is_changed: bool = False
    """Whether positions have moved since they were saved."""
    _saved: float = -SAVED_AT_MOST
    _tidied: float = -TIDIED_AT_MOST

    def __post_init__(self) -> None:
        self.status = replace(self.status, dropped=self.positions.dropped)

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
            self._tell(str(error))
            return backoff.back_off(self._failures, longest=LONGEST_PAUSE)
        self._failures = 0
        self._tell(self._trouble())
        return 0.0

    def _tell(self, error: str | None) -> None:
        if error is not None and self.status.error != error:
            log.warning("logs cannot be shipped and stay where they are", error=error)
        since = None if error is None else self.status.behind_since or self.clock()
        self.status = replace(self.status, behind_since=since, error=error)

    def _trouble(self) -> str | None:
        """Each failure, with the log groups that it holds back."""
        groups: dict[str, list[str]] = {}
        for category, held in sorted(self._held.items()):
            groups.setdefault(held.error, []).append(sources.group(self.environment, category))
        return "; ".join(f"{error} ({', '.join(names)})" for error, names in groups.items()) or None

    def _round(self) -> None:
        began = self.monotonic()
        again = {category: held.failures for category, held in self._held.items() if held.until <= began}
        self._make_groups(began)
        seen: dict[str, LogFile] = {}
        is_whole = True
        self._searched, since = 0.0, began
        for kind, root in self._roots().items():
            search = folders.Search(str(root))
            for found in search.find():
                self._searched += self.monotonic() - since
                key = f"{kind}/{found.path}"
                seen[key] = found
                self._look(kind, str(root), key, found, began)
                since = self.monotonic()
            is_whole = is_whole and search.is_whole
        for category, failures in again.items():
            if self._held[category].failures == failures:  # it was tried again, and did not fail
                del self._held[category]
        self._tidy(seen, is_whole=is_whole)
        self._save()

    def _make_groups(self, began: float) -> None:
        """Make the groups of all categories that are on, so that they are there before anything is said."""
        for category in self.config.levels:
            if category not in sources.GROUPS or category in self._made or self._waits(category, began):
                continue
            try:
                self.cloudwatch.ensure_group(sources.group(self.environment, category))
            except AwayError as error:
                self._hold(category, error)
                continue
            except RefusalError as error:  # it may be there, made by somebody who is allowed to
                log.info("a log group cannot be made", category=category, error=str(error))
            self._made.add(category)

    def _waits(self, category: str, began: float) -> bool:
        held = self._held.get(category)
        return held is not None and held.until > began

    def _hold(self, category: str, error: AerodromeError) -> None:
        """Leave a category alone for a while; the others go on."""
        held = self._held.setdefault(category, _Held())
        held.failures += 1
        held.until = self.monotonic() + backoff.back_off(held.failures, longest=LONGEST_PAUSE)
        held.error = str(error)

    def _save(self) -> None:
        if self._is_changed:
            self.positions.save()
            self._is_changed = False
            self._saved = self.monotonic()

    def _save_at_times(self) -> None:
        """All places are written each time, so not after each piece: a crash repeats a second's lines at most."""
        if self.monotonic() - self._saved >= SAVED_AT_MOST:
            self._save()

    def _roots(self) -> Mapping[str, Path]:
        return {"units": self.config.units, "tasks": self.config.tasks}

    def _look(self, kind: str, root: str, key: str, found: LogFile, began: float) -> None:
        """Ship what is new in one file."""
        if self._is_shipped(key, found):
            return
        source = self._source(kind, found.path)
        if source is None or self._waits(source.category, began):
            return
        if _is_of_build(key) and source.category not in self.config.levels:
            return  # it is shipped when the category is on: an update may put it on that builds a release as well
        watched = self._watched.setdefault(key, _Watched())
        is_same = watched.seen == found
        watched.unchanged = watched.unchanged + 1 if is_same else 0
        watched.seen = found
        place = self.positions.places.get(key)
        if place is not None and is_same and _is_at_end(place, found) and not watched.is_open:
            return
        try:
            with tailing.reading(root, found.path) as handle:
                copies = tailing.copies(root, found.path)
                if place is None:
                    place = self._first(key, source.stream, handle, copies)
                if source.category in self.config.levels:
                    file = _File(root, found.path, key, source.category, handle, copies)
                    watched.is_open = not self._follow(file, place, watched)
                else:  # a category that is off has nothing to catch up when it is on again
                    youngest = copies[0].identity if copies else ""
                    self._set(key, FilePosition(place.stream, found.inode, found.size, last=place.last, copy=youngest))
                watched.copy = copies[0].identity if copies else None
        except OSError as error:
            log.info("a log file cannot be read", file=key, error=error.strerror)
        except (AwayError, RefusalError) as error:
            watched.is_open = True
            self._hold(source.category, error)

    def _first(self, key: str, stream: str, handle: int, copies: Sequence[RotatedCopy]) -> FilePosition:
        """The place of a file that has none; a finished one that grows again goes on where it ended."""
        inode = os.fstat(handle).st_ino
        known, length = self.positions.finished.get(key, (inode, 0))
        place = FilePosition(stream, inode, length if known == inode else 0)
        is_lost = False
        if not place.offset:
            place, is_lost = tailing.first(place, handle, copies, settled=self.positions.settled)
        if is_lost:
            self._drop(1, f"lines of {key} may have been overwritten before they could be shipped")
        return self._set(key, place)

    def _follow(self, file: _File, place: FilePosition, watched: _Watched) -> bool:
        """Ship what is new in the copies that a rotation has left, then in the file; False: more is to be done soon."""
        for _ in range(tailing.MOST_COPIES + 1):
            step = tailing.step(file.root, file.handle, place, file.copies, watched.copy)
            if step is None:
                return False
            if step.is_lost:
                self._drop(1, f"lines of {file.key} were overwritten before they could be shipped")
            place = self._set(file.key, step.place)
            level = LEVELS["INFO"] if _is_of_build(file.key) else self.config.levels[file.category]
            sending = partial(self._send, file.category, place, level)
            if step.path is None:
                self._ship(file.handle, place, sending, is_settled=watched.unchanged >= SETTLED)
                return True
            with tailing.reading(file.root, step.path) as copy:
                if os.fstat(copy).st_ino != place.inode:
                    return False  # it has just been rotated once more
                self._ship(copy, place, sending, is_settled=True)
                if place.offset < os.fstat(copy).st_size:
                    return False
            after = tailing.next_of(file.root, file.handle, place, file.copies, watched.copy)
            if after is None:
                return False
            place = self._set(file.key, after)
        return False

    def _set(self, key: str, place: FilePosition) -> FilePosition:
        if self.positions.places.get(key) != place:
            self.positions.places[key] = place
            self._is_changed = True
        return self.positions.places[key]

    def _is_shipped(self, key: str, found: LogFile) -> bool:
        """Whether a file that has no place was shipped whole, or was there before shipping began."""
        finished = self.positions.finished.get(key)
        is_old = finished is None and found.changed <= self.positions.settled and not _is_of_build(key)
        return key not in self.positions.places and (is_old or finished == (found.inode, found.size))

    def _source(self, kind: str, path: str) -> sources.Source | None:
        if kind == "tasks":
            return sources.of_airflow(path)
        revision, _, name = path.partition("/")
        if revision == sources.BUILDS:
            return sources.of_build(name)
        return sources.of_unit(revision, name, epoch=int(self.clock().timestamp())) if name else None

    def _ship(self, handle: int, place: FilePosition, send: Send, *, is_settled: bool) -> None:
        """Ship the whole events behind the place."""
        for _ in range(PIECES):
            start, piece, is_cut = tailing.piece(handle, place.offset)
            if start > place.offset:
                self._moved(place, start, b"")
            is_full = len(piece) == tailing.PIECE
            grouped = events.grouped(piece, is_settled=is_cut or (is_settled and not is_full), is_full=is_full)
            if not grouped.consumed:
                return
            send(grouped, piece)
            self._save_at_times()

    def _moved(self, place: FilePosition, offset: int, before: bytes) -> None:
        place.moved(offset, before)
        self._is_changed = True

    def _send(self, category: str, place: FilePosition, level: int, grouped: Grouped, piece: bytes) -> None:
        """Send a piece's events; the place moves with each batch, so that a failure repeats none."""
        now = int(self.clock().timestamp() * 1000)
        last = place.last if place.last < now + AHEAD else 0  # else the clock was set back
        found, ends = events.read(grouped, now=now, not_before=max(last, now - OLDEST), least=level)
        start, before, sent = place.offset, place.before, 0
        for batch in batches(found):
            self._put(sources.group(self.environment, category), place.stream, batch)
            sent += len(batch)
            place.last = batch[-1][0]
            self._moved(place, start + ends[sent - 1], before + piece[: ends[sent - 1]])
        self._moved(place, start + grouped.consumed, before + piece[: grouped.consumed])

    def _put(self, group: str, stream: str, batch: Sequence[ShippedEvent]) -> None:
        try:
            refused = self.cloudwatch.put(group, stream, batch)
        except RefusalError as error:
            if error.code.rpartition("#")[2] in DENIED:
                raise
            self._drop(len(batch), str(error))
            return
        self.status = replace(self.status, shipped=self.status.shipped + len(batch) - refused)
        if refused:
            self._drop(refused, f"{group} takes no events of that age")

    def _drop(self, count: int, why: str) -> None:
        self.positions.dropped += count
        self._is_changed = True
        self.status = replace(self.status, dropped=self.positions.dropped)
        log.warning("log events were dropped", events=count, reason=why)

    def _tidy(self, seen: Mapping[str, LogFile], *, is_whole: bool) -> None:
        """Forget what is finished or gone: gone is only what a whole walk has not seen."""
        now = self.monotonic()
        if now - self._tidied < TIDIED_AT_MOST:
            return
        self._tidied = now
        until = self.clock().timestamp() - FORGOTTEN_AFTER
        places = self.positions.places
        gone = [key for key in {*places, *self.positions.finished} if is_whole and key not in seen]
        finished = [
            key
            for key, place in places.items()
            if key in seen
            and _is_at_end(place, seen[key])
            and seen[key].changed < until
            and (key.startswith("tasks/") or _is_of_build(key))
        ]
        if gone or finished:
            self.positions.forget(finished, gone)
            self._is_changed = True
        for key in [key for key in self._watched if key not in places]:
            del self._watched[key]


def _is_of_build(key: str) -> bool:
    """Whether it is what a build has printed: before the environment had a sidecar, and always from INFO upwards."""
    return key.startswith(f"units/{sources.BUILDS}/")


def _is_at_end(place: FilePosition, found: LogFile) -> bool:
    return not place.is_in_copy and (place.inode, place.offset) == (found.inode, found.size)


def rest(took: float, searched: float, pause: float) -> float:
    """Seconds until the next round, after one that took so long, a part of it to look through folders. Pure."""
    return max(RHYTHM - took, searched / SHARE - took, pause, 0.0)
