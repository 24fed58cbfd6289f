"""The store of metrics as a whole: the catalogue in a thread of its own, and its upkeep.

`api` and `evaluation` use it, in the event loop of the process. No question takes long: what one request may look at
is bounded.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import structlog

from aerodrome.clock import Clock
from aerodrome.telemetry.metrics import periods
from aerodrome.telemetry.metrics.catalogue import MetricCatalogue
from aerodrome.telemetry.refusals import UNAVAILABLE, TelemetryRefusedError

FILE = "metrics.sqlite"

RHYTHM = 60.0
"""Seconds between two looks at what is to be moved and forgotten."""

BREATH = 0.1
"""Seconds between two moves, in which requests are answered."""

T = TypeVar("T")

log = structlog.get_logger("telemetry")


class MetricStore:
    """The store in one file below a folder (mode 0700, made by the caller)."""

    def __init__(self, folder: Path, *, most_bytes: int, clock: Clock) -> None:
        self._path = folder / FILE
        self._most_bytes = most_bytes
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._catalogue: MetricCatalogue | None = None
        self.untold = asyncio.Event()
        """Set when a topic is to be told of an alarm at once."""
        self.is_full = False
        """Whether nothing more is taken: what came in within the last hours alone exceeds the limit."""

    async def open(self) -> Self:
        """Open the file."""
        self._catalogue = await self._in_thread(partial(MetricCatalogue, self._path))
        return self

    async def close(self) -> None:
        """Nothing is lost: what was taken is on the disk."""
        await self.ask(MetricCatalogue.close)
        self._thread.shutdown()

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock().timestamp()

    async def ask(self, question: Callable[..., T], *given: object, **more: object) -> T:
        """What a function of the catalogue answers.

        Raises:
            TelemetryRefusedError: it says so, or the disk is full.
        """
        try:
            return await self._in_thread(partial(question, self._catalogue, *given, **more))
        except sqlite3.OperationalError as error:
            log.warning("the catalogue of metrics refuses", reason=str(error))
            raise TelemetryRefusedError(UNAVAILABLE, f"The store of metrics cannot do this now: {error}.") from error

    async def keep(self) -> None:
        """Move and forget, for ever."""
        while True:
            try:
                await self.keep_once()
            except Exception:
                log.exception("upkeep of the store of metrics failed")  # the next look tries again
            await asyncio.sleep(RHYTHM)

    async def keep_once(self) -> None:
        """Move what is no longer new into blocks, and forget what is too old or too much."""
        while await self.ask(MetricCatalogue.roll, periods.rolled_before(self.now)):  # noqa: ASYNC110 - work, not waiting
            await asyncio.sleep(BREATH)
        await self.ask(MetricCatalogue.evict, periods.expired(self.now))
        while await self._evicted():  # noqa: ASYNC110 - work, not waiting
            await asyncio.sleep(BREATH)

    async def _evicted(self) -> bool:
        """Forget the oldest points if there is too much; whether some were forgotten."""
        size = await self.ask(MetricCatalogue.size)
        eviction = periods.beyond(await self.ask(MetricCatalogue.oldest)) if size > self._most_bytes else None
        self.is_full = size > self._most_bytes and eviction is None
        if eviction is None:
            return False
        gone = await self.ask(MetricCatalogue.evict, [eviction])
        log.warning(
            "metrics were dropped because the store's limit is met",
            period=eviction.period, before=eviction.before, blocks=gone, bytes=size,
        )  # fmt: skip
        return True

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
