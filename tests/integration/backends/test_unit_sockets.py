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


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="aero-"))
    (made / "web").symlink_to(made / "web-1.sock")
    yield made
    shutil.rmtree(made)


async def serve(path: Path, name: str) -> web.AppRunner:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=name, headers={"connection": "close"})

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    return runner


async def asked(folder: Path, times: int) -> Counter[str]:
    """Who answers so many requests, each over a connection of its own."""
    found: Counter[str] = Counter()
    async with aiohttp.ClientSession(connector=unit_sockets.behind(folder / "web").connector()) as session:
        for _ in range(times):
            async with session.get("http://airflow/") as response:
                found[await response.text()] += 1
    return found


def test_each_web_server_gets_its_share_and_a_dead_one_none(folder):
    async def play() -> None:
        async with AsyncExitStack() as stack:
            first, second = [await serve(folder / f"{name}.sock", name) for name in ("web-1", "web-1-2")]
            other = await serve(folder / "web-10.sock", "another revision's")
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
        only = await serve(folder / "web-1.sock", "web-1")
        assert await asked(folder, 5) == {"web-1": 5}
        await only.cleanup()

    asyncio.run(play())
