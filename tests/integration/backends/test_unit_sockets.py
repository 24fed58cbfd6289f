"""Several web servers of one cell: connections go to each in turn, and none to one that is dead."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from aerodrome.backends.local import unit_sockets
from waiting import wait_for


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="aero-"))
    (made / "web").symlink_to(made / "web-1.sock")
    yield made
    shutil.rmtree(made)


async def serve(path: Path, name: str, waiting: list[asyncio.Event]) -> web.AppRunner:
    """Answers its name, and at `/slow` only when the event is set that it puts among those that are `waiting`."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=name, headers={"connection": "close"})

    async def answer_late(request: web.Request) -> web.Response:
        may_answer = asyncio.Event()
        waiting.append(may_answer)
        await may_answer.wait()
        return await answer(request)

    app = web.Application()
    app.router.add_get("/", answer)
    app.router.add_get("/slow", answer_late)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    return runner


async def asked(folder: Path, times: int) -> Counter[str]:
    """Who answers so many requests, each over a connection of its own."""
    found: Counter[str] = Counter()
    async with aiohttp.ClientSession(connector=unit_sockets.WebServers().behind(folder / "web").connector()) as session:
        for _ in range(times):
            async with session.get("http://airflow/") as response:
                found[await response.text()] += 1
    return found


def test_each_web_server_gets_its_share_and_a_dead_one_none(folder):
    async def play() -> None:
        async with AsyncExitStack() as stack:
            first, second = [await serve(folder / f"{name}.sock", name, []) for name in ("web-1", "web-1-2")]
            other = await serve(folder / "web-10.sock", "another revision's", [])
            for each in (first, second, other):
                stack.push_async_callback(each.cleanup)
            assert await asked(folder, 20) == {"web-1": 10, "web-1-2": 10}
            await second.cleanup()
            (folder / "web-1-2.sock").touch()  # what a killed one leaves listens no more
            assert await asked(folder, 20) == {"web-1": 20}
            await first.cleanup()
            with pytest.raises(aiohttp.ClientConnectorError):
                await asked(folder, 1)

    asyncio.run(play())


def test_without_a_second_one_the_first_gets_all(folder):
    async def play() -> None:
        only = await serve(folder / "web-1.sock", "web-1", [])
        assert await asked(folder, 5) == {"web-1": 5}
        await only.cleanup()

    asyncio.run(play())


def test_one_that_is_about_to_end_gets_no_new_request_and_those_under_way_are_counted(folder):
    waiting: list[asyncio.Event] = []

    async def play() -> None:
        async with AsyncExitStack() as stack:
            for name in ("web-1", "web-1-2"):
                stack.push_async_callback((await serve(folder / f"{name}.sock", name, waiting)).cleanup)
            known = unit_sockets.WebServers()
            before = known.behind(folder / "web")
            known.lead(folder / "web-1.sock", 1)
            after = known.behind(folder / "web")
            assert before != after == known.behind(folder / "web")
            async with aiohttp.ClientSession(connector=after.connector()) as session:
                visits = [asyncio.create_task(read(session, "/slow")) for _ in range(4)]
                await asyncio.to_thread(wait_for, "all are asked", lambda: len(waiting) == 4)
                assert known.connections(folder / "web") == 4
                visits[0].cancel()
                await asyncio.to_thread(wait_for, "one has gone", lambda: known.connections(folder / "web") == 3)
                for each in waiting:
                    each.set()
                assert await asyncio.gather(*visits[1:]) == ["web-1"] * 3
            assert known.connections(folder / "web") == 0
            known.forget(folder / "web-1.sock")
            assert known.behind(folder / "web") == before

    async def read(session: aiohttp.ClientSession, path: str) -> str:
        async with session.get(f"http://airflow{path}") as response:
            return await response.text()

    asyncio.run(play())
