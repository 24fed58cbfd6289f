"""What is remembered of statements, and which of them run: bounded in number, in bytes and in time.

Lives in the emulator's event loop, where alone its tables change; the work is done in threads, one for each statement
under way.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field

from aerodrome.emulator.redshift import running, wire
from aerodrome.emulator.redshift.running import Surroundings
from aerodrome.emulator.redshift.statement import Statement, Stop
from aerodrome.emulator.redshift.wire import ServiceError

AT_ONCE = 16
"""Statements under way."""

AT_ONCE_IN_ONE = 4
"""Statements under way in one database."""

MOST_ACTIVE = 200
"""Statements that wait or are under way (the service: 500)."""

MOST_REMEMBERED = 1000

MOST_BYTES = 128 * 2**20
"""Of texts and results that are remembered; the oldest go first."""

REMEMBERED_FOR = 24 * 3600.0
"""Seconds after the end, as the service has it."""


@dataclass(slots=True, eq=False)
class _Kept:
    statement: Statement
    done: asyncio.Event = field(default_factory=asyncio.Event)
    ended_at: float | None = None


class Statements:
    """All statements of one emulator."""

    def __init__(self, around: Surroundings, threads: Executor) -> None:
        """`threads` wait for the ends of statements."""
        self._around = around
        self._threads = threads
        self._kept: dict[str, _Kept] = {}
        """By identifier, the oldest first."""
        self._waiting: deque[_Kept] = deque()
        self._running: dict[str, _Kept] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._is_closing = False

    def find(self, identifier: str) -> Statement | None:
        """The statement, if it is remembered."""
        self._forget()
        kept = self._kept.get(identifier)
        return kept.statement if kept else None

    def newest_first(self) -> Iterator[Statement]:
        self._forget()
        return (kept.statement for kept in reversed(self._kept.values()))

    def require_room(self) -> None:
        """See that one more may come.

        Raises:
            ServiceError: there are too many.
        """
        if self._is_closing or len(self._waiting) + len(self._running) >= MOST_ACTIVE:
            raise ServiceError(wire.TOO_MANY, f"{MOST_ACTIVE} statements wait or run already; try again later.")

    def add(self, statement: Statement) -> None:
        """Take it on; it starts as soon as there is a place."""
        kept = self._kept[statement.identifier] = _Kept(statement)
        self._waiting.append(kept)
        self._forget()
        self._start()

    async def ended(self, identifier: str, seconds: float) -> None:
        """Wait until it has ended, or so long."""
        kept = self._kept.get(identifier)
        if kept is not None:
            try:
                await asyncio.wait_for(kept.done.wait(), seconds)
            except TimeoutError:
                return

    async def cancel(self, statement: Statement) -> None:
        """End it; returns when it has ended."""
        kept = self._kept[statement.identifier]
        if kept in self._waiting:
            self._waiting.remove(kept)
            statement.stop = Stop.CANCELLED
            running.abort(statement)
            self._note_end(kept)
            return
        await self._end(statement, Stop.CANCELLED)

    async def close(self) -> None:
        """End all that runs."""
        self._is_closing = True
        self._waiting.clear()
        await asyncio.gather(*(self._end(kept.statement, Stop.LEAVING) for kept in self._running.values()))

    def _start(self) -> None:
        """Give the places that are free to those who wait, so that no database takes those of all others."""
        busy = Counter(kept.statement.warehouse for kept in self._running.values())
        for kept in list(self._waiting):
            warehouse = kept.statement.warehouse
            if len(self._running) >= AT_ONCE:
                return
            if busy[warehouse] < AT_ONCE_IN_ONE:
                busy[warehouse] += 1
                self._waiting.remove(kept)
                self._running[kept.statement.identifier] = kept
                self._run(kept)

    def _run(self, kept: _Kept) -> None:
        loop = asyncio.get_running_loop()
        late = loop.call_later(running.LONGEST, self._end_late, kept)

        def ended() -> None:
            late.cancel()
            del self._running[kept.statement.identifier]
            self._note_end(kept)
            self._start()

        def work() -> None:
            try:
                running.carry_out(kept.statement, self._around)
            finally:
                _tell(loop, ended)

        # No thread of a pool: one that hangs in a connection must not keep the process from ending.
        threading.Thread(target=work, name="redshift-statement", daemon=True).start()

    async def _end(self, statement: Statement, why: Stop) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, running.end, statement, why, self._around)

    def _end_late(self, kept: _Kept) -> None:
        task = asyncio.ensure_future(self._end(kept.statement, Stop.LATE))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note_end(self, kept: _Kept) -> None:
        kept.ended_at = time.monotonic()
        kept.done.set()
        self._forget()

    def _forget(self) -> None:
        """Drop what ended long ago, and of the rest the oldest while there is too much."""
        now = time.monotonic()
        weight = sum(kept.statement.weight for kept in self._kept.values())
        for identifier, kept in list(self._kept.items()):
            if kept.ended_at is None:
                continue
            is_old = now - kept.ended_at > REMEMBERED_FOR
            if not is_old and len(self._kept) <= MOST_REMEMBERED and weight <= MOST_BYTES:
                break
            weight -= kept.statement.weight
            del self._kept[identifier]


def _tell(loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
    """In the loop's own thread, unless that has ended."""
    try:
        loop.call_soon_threadsafe(ended)
    except RuntimeError:
        return
