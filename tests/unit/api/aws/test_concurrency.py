"""What one principal may take of the door."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack

import pytest

from aerodrome.api.aws import concurrency
from aerodrome.api.aws.concurrency import ConcurrencyLimit
from aerodrome.api.aws.refreshing import Refreshing
from aerodrome.budget import BusyError


def test_one_principal_leaves_places_to_others():
    found = ConcurrencyLimit()
    with ExitStack() as stack:
        for _ in range(concurrency.MOST_OF_ONE):
            stack.enter_context(found.taken("greedy"))
        with pytest.raises(BusyError), found.taken("greedy"):
            pass
        for _ in range(concurrency.CROWDED - concurrency.MOST_OF_ONE):
            stack.enter_context(found.taken("another"))
        for _ in range(concurrency.FEW):
            stack.enter_context(found.taken("modest"))
        for full in ("greedy", "another", "modest"):
            with pytest.raises(BusyError), found.taken(full):
                pass
    with found.taken("greedy"):
        pass


def test_unknown_keys_cause_one_read_a_while_and_each_sees_one_that_began_after_it_came():
    async def run() -> None:
        reads = []
        refreshing = Refreshing(lambda: reads.append(asked), spacing=0.05)
        asked = 0
        for asked in (1, 2):
            await asyncio.gather(*(refreshing() for _ in range(100)))
            assert reads[-1] == asked
        assert len(reads) == 2

    asyncio.run(run())


def test_reads_that_hang_take_one_thread():
    async def run() -> None:
        began, ending = asyncio.Semaphore(0), threading.Event()
        loop = asyncio.get_running_loop()

        def refresh() -> None:
            loop.call_soon_threadsafe(began.release)
            ending.wait(60)

        refreshing = Refreshing(refresh, spacing=0)
        asking = [asyncio.create_task(refreshing())]
        await began.acquire()
        asking += [asyncio.create_task(refreshing()) for _ in range(2)]  # these need a read that begins after this one
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(began.acquire(), 0.3)
        finally:
            ending.set()
        await asyncio.gather(*asking)
        await began.acquire()

    asyncio.run(run())
