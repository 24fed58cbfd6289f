"""Processes that search and write files for the store: bounded in memory, ended when idle or when their parent is gone.

They start with the first work. One that dies of its work fails that work alone, with a sentence.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from aerodrome.telemetry.refusals import UNAVAILABLE, TelemetryRefusedError

MEMORY = 2 * 2**30
"""Bytes of data that one may map; DuckDB's own bound is far below."""

IDLE = 120.0
"""Seconds without work after which they are ended."""

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """The processes; lives in one event loop."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None
        self._busy = 0
        self._used = 0.0

    async def run(self, work: Callable[P, T], *given: P.args, **more: P.kwargs) -> T:
        """Let one of them do it; waits while all are busy, and who is cancelled then waits no more.

        Raises:
            TelemetryRefusedError: the work said so, or its process died.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._count, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
            )
        pool = self._pool
        self._busy += 1
        try:
            return await asyncio.wrap_future(pool.submit(work, *given, **more))
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = None
                pool.shutdown(wait=False)
            raise TelemetryRefusedError(
                UNAVAILABLE, "The process that did this was ended; it may need too much memory."
            ) from None
        finally:
            self._busy -= 1
            self._used = time.monotonic()

    def rest(self) -> None:
        """End idle ones."""
        if self._pool is not None and not self._busy and time.monotonic() - self._used > IDLE:
            self.close()

    def close(self) -> None:
        """End them; work that was begun is finished first."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _begin(parent: int) -> None:
    """In a new process."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End with the parent, also when it was killed: nobody would give us work any more, or end us."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
