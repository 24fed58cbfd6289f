"""Which environments there are, as the ledger said a moment ago. Every request asks this, so it is kept in memory.

While the ledger is away, the gateway goes on with what it knew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from aerodrome.gateway.ledger_threads import LedgerThreads
from aerodrome.gateway.requests import GatewayRefusal
from aerodrome.model.environment import Environment

FRESH = 1.0
"""Seconds for which nobody asks again."""

STALE = 5.0
"""Seconds after which a request waits for a new answer; before that it gets the old one while the new one is read."""

log = structlog.get_logger("aerodrome.gateway")


class EnvironmentCache:
    """Environments by identifier."""

    def __init__(
        self,
        read: Callable[[], Sequence[Environment]],
        threads: LedgerThreads,
        *,
        changed: Callable[[Mapping[str, Environment]], None],
    ) -> None:
        self._read = read
        self._threads = threads
        self._changed = changed
        self._known: dict[str, Environment] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def find(self, identifier: str) -> Environment | None:
        """The environment; None when there is none of that identifier."""
        age = time.monotonic() - self._read_at
        if age > FRESH:
            reading = self._reading = self._reading or asyncio.create_task(self._refresh())
            if age > STALE or identifier not in self._known:
                await asyncio.shield(reading)
        return self._known.get(identifier)

    async def _refresh(self) -> None:
        try:
            found = await self._threads.run(self._read)
        except GatewayRefusal:
            log.warning("environments_not_read")
        else:
            self._known = {environment.identifier: environment for environment in found}
            self._changed(self._known)
        finally:
            self._read_at = time.monotonic()
            self._reading = None

    async def close(self) -> None:
        """Wait for what is being read."""
        if self._reading is not None:
            await self._reading
