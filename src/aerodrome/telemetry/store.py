"""The store as a whole: the catalogue in a thread of its own, workers for what takes long, and its upkeep.

`logs_api` uses it, in the event loop of `__main__`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

import structlog

from aerodrome.clock import Clock
from aerodrome.telemetry import keeping, parts
from aerodrome.telemetry.catalogue import Catalogue
from aerodrome.telemetry.keeping import Plan, Reason, StoreLimits
from aerodrome.telemetry.parts import Asked, Page, Place
from aerodrome.telemetry.refusals import UNAVAILABLE, RefusedError
from aerodrome.telemetry.workers import Workers

RHYTHM = 5.0
"""Seconds between two looks at what is to be done."""

LINGER = 70.0
"""Seconds that a file stays after it was replaced: a search that has begun may still open it."""

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger("telemetry")


class Store:
    """All that is stored below one folder (mode 0700, made by the caller)."""

    def __init__(self, folder: Path, *, limits: StoreLimits, clock: Clock) -> None:
        self._place = Place(folder)
        self._limits = limits
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "catalogue")
        self._workers = Workers()
        self._useless: dict[str, float] = {}
        self._catalogue: Catalogue | None = None

    async def open(self) -> Self:
        """Make folders, open the catalogue, and remove what a killed process has left half done."""
        shutil.rmtree(self._place.temporary, ignore_errors=True)
        for folder in (self._place.temporary, self._place.parts):
            folder.mkdir(mode=0o700, exist_ok=True)
        self._catalogue = await self._in_thread(partial(Catalogue, self._place.catalogue))
        known = {part.name for part in await self.ask(Catalogue.parts)}
        for path in self._place.parts.iterdir():
            if path.name not in known:
                path.unlink()
        return self

    async def close(self) -> None:
        """Nothing is lost: what was taken is on the disk."""
        self._workers.close()
        await self.ask(Catalogue.close)
        self._thread.shutdown()

    @property
    def now(self) -> int:
        """Milliseconds since 1970."""
        return int(self._clock().timestamp() * 1000)

    def cutoff(self, retention_days: int | None) -> int:
        """The time before which events of a group are not shown any more."""
        return keeping.cutoff(self.now, retention_days, self._limits)

    async def ask(self, question: Callable[..., T], *given: object, **more: object) -> T:
        """What a method of the catalogue answers.

        Raises:
            RefusedError: the catalogue says so, or the disk is full.
        """
        try:
            return await self._in_thread(partial(question, self._catalogue, *given, **more))
        except sqlite3.OperationalError as error:
            log.warning("the catalogue refuses", reason=str(error))
            raise RefusedError(UNAVAILABLE, f"The log store cannot do this now: {error}.") from error

    async def page(self, asked: Asked) -> Page:
        """One page of events."""
        return await self._workers.run(parts.page, self._place, asked)

    def discard(self, names: list[str]) -> None:
        """Remove files in a while."""
        due = time.monotonic() + LINGER
        self._useless |= dict.fromkeys(names, due)

    async def keep(self) -> None:
        """Do what is to be done, for ever."""
        while True:
            try:
                await self.keep_once()
            except Exception:
                log.exception("upkeep of the log store failed")  # the next look tries again
            await asyncio.sleep(RHYTHM)

    async def keep_once(self) -> Plan:
        """Do what is to be done now."""
        plan = keeping.plan(
            now=self.now,
            retentions=await self.ask(Catalogue.retentions),
            fresh=await self.ask(Catalogue.fresh),
            parts=await self.ask(Catalogue.parts),
            limits=self._limits,
        )
        for each in plan.drops:
            if each.reason is not Reason.RETENTION:
                log.warning(
                    "events were dropped because the store's limit is met",
                    limit=str(each.reason), events=each.part.rows, day=each.part.day, log_group_id=each.part.group,
                )  # fmt: skip
        self.discard(await self.ask(Catalogue.drop, plan.drops, plan.cutoffs, now=self.now))
        for wanted in plan.writes:
            written = await self._workers.run(parts.write, self._place, wanted, plan.cutoffs[wanted.group])
            self.discard(await self.ask(Catalogue.commit, wanted, written))
        self._remove_useless()
        self._workers.rest()
        return plan

    def _remove_useless(self) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._useless.items() if due <= now]:
            with contextlib.suppress(OSError):
                (self._place.parts / name).unlink()
            del self._useless[name]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
