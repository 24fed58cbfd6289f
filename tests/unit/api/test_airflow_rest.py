"""How many calls of one environment's Airflow are under way."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, cast

from aerodrome.api import airflow_rest
from aerodrome.api.airflow_rest import Caller


def test_calls_of_one_environment_wait_for_each_other_and_for_nobody_else():
    async def run() -> None:
        caller = Caller(minter=cast("Any", None), web_server=cast("Any", None), clock=cast("Any", None))
        async with AsyncExitStack() as stack:
            for _ in range(airflow_rest.AT_ONCE):
                await stack.enter_async_context(caller._place("slow"))
            waiting = asyncio.create_task(stack.enter_async_context(caller._place("slow")))
            async with caller._place("another"):
                assert not waiting.done()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        async with caller._place("slow"):
            assert [*caller._under_way] == ["slow"]
        assert not caller._under_way

    asyncio.run(run())
