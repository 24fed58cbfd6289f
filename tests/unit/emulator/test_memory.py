from __future__ import annotations

import asyncio

import pytest

from aerodrome.emulator.memory import Budget, BusyError


async def held(budget: Budget, length: int, order: list[int], release: asyncio.Event) -> None:
    async with budget.share(length):
        order.append(length)
        await release.wait()


def test_bodies_beyond_the_budget_wait_in_their_order():
    async def run() -> None:
        budget, order, release = Budget(10, patience=30), [], asyncio.Event()
        first = asyncio.create_task(held(budget, 8, order, release))
        await asyncio.sleep(0)
        others = [asyncio.create_task(held(budget, length, order, release)) for length in (5, 1)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert order == [8]  # the small one does not overtake, or the large one might wait for ever
        release.set()
        await asyncio.gather(first, *others)
        assert order == [8, 5, 1]

    asyncio.run(run())


def test_a_body_of_more_than_the_budget_takes_all_of_it():
    async def run() -> None:
        budget = Budget(10)
        async with budget.share(11):
            pass
        async with budget.share(10):
            pass

    asyncio.run(run())


def test_who_waits_too_long_is_told_and_takes_nothing():
    async def run() -> None:
        budget = Budget(10, patience=0.01)
        async with budget.share(10):
            with pytest.raises(BusyError):
                async with budget.share(1):
                    pass
        async with budget.share(10):
            pass

    asyncio.run(run())
