"""The rhythm of shipping: find what is new in log files, send it, remember how far it went.

`process` starts the thread. A failure of the service holds the log group back that it concerns, with longer and longer
pauses, and loses nothing as long as the files keep it; what the service refuses for good is counted as dropped.
"""

from __future__ import annotations

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
from aerodrome.sidecar.logs.events import Grouped, ShippedEvent
from aerodrome.sidecar.logs.folders import LogFile
from aerodrome.sidecar.logs.positions import FORGOTTEN_AFTER, FilePosition, Positions
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

SAVED_AT_MOST = 1.0
"""Seconds between two times that positions are written within a round."""

TIDIED_AT_MOST = 60.0
"""Seconds between two times that finished files are looked for."""

Send = Callable[[Grouped, bytes], None]

log = structlog.get_logger("sidecar.logs")


@dataclass(slots=True)
class _Watched:
    """What one round saw of a file."""

    size: int = -1
    unchanged: int = 0


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
        place = self._place(key, source.stream, found.inode)
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
        except (AwayError, RefusalError) as error:
            self._hold(source.category, error)

    def _is_shipped(self, key: str, found: LogFile) -> bool:
        """Whether a file that has no place was shipped whole, or was there before shipping began."""
        finished = self.positions.finished.get(key)
        is_old = finished is None and found.changed <= self.positions.settled
        return key not in self.positions.places and (is_old or finished == (found.inode, found.size))

    def _place(self, key: str, stream: str, inode: int) -> FilePosition:
        """The file's place; a finished file that grows again goes on where it ended."""
        place = self.positions.places.get(key)
        if place is None or place.inode != inode:
            known, length = self.positions.finished.get(key, (inode, 0))
            place = FilePosition(stream, inode, length if place is None and known == inode else 0)
            self.positions.places[key] = place
            self._is_changed = True
        return place

    def _source(self, kind: str, path: str) -> sources.Source | None:
        if kind == "tasks":
            return sources.of_airflow(path)
        revision, _, name = path.partition("/")
        return sources.of_unit(revision, name, epoch=int(self.clock().timestamp())) if name else None

    def _ship_rest(self, root: str, path: str, place: FilePosition, send: Send) -> None:
        """Ship what a rotation has moved into the copy."""
        left = tailing.rotated(root, path, place)
        if not left.is_whole:
            self._drop(1, f"lines of {path} were overwritten before they could be shipped")
        send(events.grouped(left.rest, is_settled=True, is_full=True), left.rest)
        self._moved(place, 0, b"")
        self._save_at_times()

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
        found: list[ShippedEvent] = []
        ends: list[int] = []
        last = place.last
        for message, end in zip(grouped.events, grouped.ends, strict=True):
            event = events.read(message, now=now, not_before=last, oldest=now - OLDEST)
            if event.level >= level:
                found.append(event)
                ends.append(end)
                last = event.moment
        start, before, sent = place.offset, place.before, 0
        for batch in batches(found):
            self._put(sources.group(self.environment, category), place.stream, batch)
            sent += len(batch)
            place.last = batch[-1].moment
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
