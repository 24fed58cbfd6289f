from __future__ import annotations

import asyncio

import pytest

from aerodrome.budget import Budget, BusyError


async def held(budget: Budget, length: int, owner: str, order: list[tuple[str, int]], release: asyncio.Event) -> None:
    async with budget.share(length, owner):
        order.append((owner, length))
        await release.wait()


async def until_nothing_moves() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_bodies_beyond_the_budget_wait_in_their_order():
    async def run() -> None:
        budget, order, release = Budget(10, each=5, patience=30), [], asyncio.Event()
        wanted = [("a", 4), ("b", 3), ("c", 5), ("d", 1)]
        held_by = [asyncio.create_task(held(budget, length, owner, order, release)) for owner, length in wanted]
        await until_nothing_moves()
        assert order == [("a", 4), ("b", 3)]  # the small one does not overtake, or the large one might wait for ever
        release.set()
        await asyncio.gather(*held_by)
        assert order == wanted

    asyncio.run(run())


def test_one_owner_leaves_half_of_it_to_the_others_and_holds_nobody_up():
    async def run() -> None:
        budget, order, release = Budget(10, each=5, patience=30), [], asyncio.Event()
        greedy = [asyncio.create_task(held(budget, 5, "greedy", order, release)) for _ in range(3)]
        await until_nothing_moves()
        other = asyncio.create_task(held(budget, 5, "other", order, release))
        await until_nothing_moves()
        assert order == [("greedy", 5), ("other", 5)]
        release.set()
        await asyncio.gather(*greedy, other)
        assert order[2:] == [("greedy", 5)] * 2

    asyncio.run(run())


def test_a_body_of_more_than_an_owner_may_have_takes_all_of_that():
    async def run() -> None:
        budget = Budget(10, each=5, patience=30)
        for length in (11, 10, 6, 5):
            async with budget.share(length, "one"), budget.share(5, "other"):
                pass

    asyncio.run(run())


def test_who_waits_too_long_is_told_and_takes_nothing():
    async def run() -> None:
        budget = Budget(10, each=5, patience=0.01)
        async with budget.share(5, "one"), budget.share(5, "other"):
            with pytest.raises(BusyError):
                async with budget.share(1, "third"):
                    pass
        async with budget.share(5, "one"), budget.share(5, "third"):
            pass

    asyncio.run(run())


def test_who_goes_while_it_waits_holds_nobody_up():
    async def run() -> None:
        budget, order, release = Budget(10, each=5, patience=30), [], asyncio.Event()
        wanted = [("a", 5), ("b", 3), ("gone", 5), ("d", 2)]
        tasks = [asyncio.create_task(held(budget, length, owner, order, release)) for owner, length in wanted]
        await until_nothing_moves()
        tasks[2].cancel()
        await until_nothing_moves()
        assert order == [("a", 5), ("b", 3), ("d", 2)]
        release.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


def test_without_patience_who_finds_no_room_is_told_at_once():
    async def run() -> None:
        budget = Budget(10, each=6, patience=0)
        async with budget.share(6, "a"), budget.share(4, "b"):
            for owner in ("a", "b", "c"):
                with pytest.raises(BusyError):
                    async with budget.share(1, owner):
                        pass
        async with budget.share(6, "c"):
            pass

    asyncio.run(run())
