"""Whether something answers without a gap: asked all the time, from beside what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from benchmarks.ours import Installation

EVERY = 0.05
"""Seconds between an answer and the next question."""

PATH = "/dags?limit=1"


class Probe:
    """One question again and again, and the seconds in which it was refused."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask = ask
        self.asked = 0
        self.longest = 0.0
        """The longest that one question took to be answered or refused; an answer that comes late is no refusal."""

        self.refused = 0.0
        """From the asking of each first refused question to the next good answer, summed."""

        self.refusal = ""
        """The last one."""

    async def run(self) -> None:
        """Ask until cancelled."""
        refused_since: float | None = None
        try:
            while True:
                began = time.monotonic()
                is_answered = await self._is_answered()
                self.asked += 1
                self.longest = max(self.longest, time.monotonic() - began)
                if is_answered and refused_since is not None:
                    self.refused += time.monotonic() - refused_since
                    refused_since = None
                elif not is_answered and refused_since is None:
                    refused_since = began
                await asyncio.sleep(EVERY)
        finally:
            if refused_since is not None:
                self.refused += time.monotonic() - refused_since

    async def _is_answered(self) -> bool:
        try:
            await self._ask()
        except Exception as error:  # noqa: BLE001 - whatever a client may be told
            self.refusal = f"{type(error).__name__}: {error}"
            return False
        return True


def rest(ours: Installation, name: str) -> Probe:
    """Airflow's REST API by InvokeRestApi."""
    ask = functools.partial(ours.mwaa.invoke_rest_api, Name=name, Method="GET", Path=PATH)

    async def asked() -> None:
        await asyncio.to_thread(ask)

    return Probe(asked)


@contextlib.asynccontextmanager
async def alongside(*many: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run these, which never end by themselves, for as long as the body takes; the first that fails ends it all."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each()) for each in many]
        yield
        for task in tasks:
            task.cancel()
