"""Reads IAM again for requests with unknown keys: seldom, however many such requests there are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from anyio import to_thread

SPACING = 1.0
"""Seconds between the beginnings of two reads. PostgreSQL notifies of new keys: hardly one is read here first."""


class Refreshing:
    """Brings in changes of IAM that were made before it was called. Those who wait share one read, and no thread.

    There is one read at a time: each has a thread, of which there are few, and may hang with the ledger.
    """

    def __init__(
        self, refresh: Callable[[], None], *, spacing: float = SPACING, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._refresh = refresh
        self._spacing = spacing
        self._monotonic = monotonic
        self._began = monotonic() - spacing
        self._reading = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return when a read has ended that began after the call."""
        if self._next is None:
            self._next = asyncio.create_task(self._read())
        await asyncio.shield(self._next)

    async def _read(self) -> None:
        async with self._reading:
            await asyncio.sleep(max(0.0, self._began + self._spacing - self._monotonic()))
            self._next = None  # whoever comes from now on needs another
            self._began = self._monotonic()
            await to_thread.run_sync(self._refresh)
