"""StartLiveTail: who listens to log groups hears each second what has come in, as a stream of events.

Events are handed over as they are taken, so none is looked for on the disk. A session that is too slow, or whose groups
say too much, misses some, and is told so (`sampled`), as on AWS.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aerodrome.telemetry import event_streams, patterns
from aerodrome.telemetry.acceptance import LogEvent
from aerodrome.telemetry.catalogue import LogGroup
from aerodrome.telemetry.patterns import EVERYTHING, SqlCondition
from aerodrome.telemetry.refusals import LIMIT, TelemetryRefusedError, invalid
from aerodrome.telemetry.store import Store
from aerodrome.telemetry.wire import Document

MOST_SESSIONS = 15
MOST_SESSIONS_OF_ONE = 5
"""As many as an account has on AWS, and a part of them for one caller."""

RHYTHM = 1.0
"""Seconds from one update to the next."""

LONGEST = 3 * 3600.0
"""Seconds of a session."""

MOST_EVENTS = 500
UPDATE_BYTES = 2**20
"""Of one update."""

WAITING_BYTES = 4 * 2**20
"""Of events that wait for the next update, before a filter pattern is asked."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One event that came in."""

    group: int
    stream: str
    event: LogEvent
    ingested: int


@dataclass(slots=True)
class LiveTailSession:
    """One listener."""

    caller: str
    groups: Mapping[int, str]
    """Identifier → name with the account."""
    streams: frozenset[str]
    prefixes: tuple[str, ...]
    """Names of streams, and how they begin; without any, all."""
    pattern: str
    condition: SqlCondition
    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    waiting: list[Heard] = field(default_factory=list)
    waiting_bytes: int = 0
    is_sampled: bool = False

    def hear(self, group: int, stream: str, events: Sequence[LogEvent], now: int) -> None:
        """Take events of a stream, as far as there is room."""
        if (self.streams or self.prefixes) and stream not in self.streams and not stream.startswith(self.prefixes):
            return
        for event in events:
            if self.waiting_bytes + event.size > WAITING_BYTES:
                self.is_sampled = True
                return
            self.waiting.append(Heard(group, stream, event, now))
            self.waiting_bytes += event.size

    def taken(self) -> tuple[list[Heard], bool]:
        """What waits, and whether some was left out."""
        found = self.waiting, self.is_sampled
        self.waiting, self.waiting_bytes, self.is_sampled = [], 0, False
        return found


class LiveTails:
    """All sessions; lives in one event loop."""

    def __init__(self, store: Store, *, account: str, group_of: Callable[[str], Awaitable[LogGroup]]) -> None:
        self._store = store
        self._account = account
        self._group_of = group_of
        self._sessions: list[LiveTailSession] = []
        self._listening: dict[int, list[LiveTailSession]] = defaultdict(list)
        store.listener = self._hear

    async def open(self, given: Document, caller: str) -> LiveTailSession:
        """Begin a session.

        Raises:
            TelemetryRefusedError: it is asked for wrongly, or there are too many.
        """
        named, prefixes = given.get("logStreamNames", []), given.get("logStreamNamePrefixes", [])
        groups = [await self._group_of(each) for each in given["logGroupIdentifiers"]]
        if named and prefixes:
            raise invalid("logStreamNames and logStreamNamePrefixes are mutually exclusive")
        if (named or prefixes) and len(groups) > 1:
            raise invalid("logStreamNames and logStreamNamePrefixes go with one log group.")
        pattern = given.get("logEventFilterPattern", "")
        condition = patterns.read(pattern)
        own = sum(session.caller == caller for session in self._sessions)
        if len(self._sessions) >= MOST_SESSIONS or own >= MOST_SESSIONS_OF_ONE:
            raise TelemetryRefusedError(LIMIT, "Too many live tail sessions are open: end one.")
        session = LiveTailSession(
            caller=caller,
            groups={group.identifier: f"{self._account}:{group.name}" for group in groups},
            streams=frozenset(named),
            prefixes=tuple(prefixes),
            pattern=pattern,
            condition=condition,
        )
        self._sessions.append(session)
        for group in session.groups:
            self._listening[group].append(session)
        return session

    async def messages(self, session: LiveTailSession, request_id: str) -> AsyncGenerator[bytes, None]:
        """The session's stream, a message at a time; it ends after three hours."""
        yield event_streams.event("initial-response", {})
        yield event_streams.event("sessionStart", _beginning(session, request_id))
        began = time.monotonic()
        while time.monotonic() - began < LONGEST:
            await asyncio.sleep(RHYTHM)
            try:
                update = await self._update(session)
            except TelemetryRefusedError as error:
                yield event_streams.exception("SessionStreamingException", str(error))
                return
            yield event_streams.event("sessionUpdate", update)
        yield event_streams.exception("SessionTimeoutException", "The session has lasted for three hours.")

    def close(self, session: LiveTailSession) -> None:
        """End a session."""
        self._sessions.remove(session)
        for group in session.groups:
            self._listening[group].remove(session)
            if not self._listening[group]:
                del self._listening[group]

    def _hear(self, group: int, stream: str, events: Sequence[LogEvent], now: int) -> None:
        for session in self._listening.get(group, ()):
            session.hear(group, stream, events, now)

    async def _update(self, session: LiveTailSession) -> dict[str, Any]:
        heard, is_sampled = session.taken()
        if heard and session.condition is not EVERYTHING:
            fit = await self._store.matching(session.condition, [each.event.message for each in heard])
            heard = [heard[number] for number in fit]
        shown: list[dict[str, Any]] = []
        size = 0
        for each in heard[:MOST_EVENTS]:
            size += each.event.size
            if size > UPDATE_BYTES and shown:
                break
            shown.append(
                {
                    "logStreamName": each.stream,
                    "logGroupIdentifier": session.groups[each.group],
                    "message": each.event.message,
                    "timestamp": each.event.moment,
                    "ingestionTime": each.ingested,
                }
            )
        return {
            "sessionMetadata": {"sampled": is_sampled or len(shown) < len(heard)},
            "sessionResults": shown,
        }


def _beginning(session: LiveTailSession, request_id: str) -> dict[str, Any]:
    return {
        "requestId": request_id,
        "sessionId": session.identifier,
        "logGroupIdentifiers": list(session.groups.values()),
        "logStreamNames": sorted(session.streams),
        "logStreamNamePrefixes": list(session.prefixes),
        "logEventFilterPattern": session.pattern,
    }
