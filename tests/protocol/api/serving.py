"""An ASGI application on a loopback port, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import uvicorn

from aerodrome.api.app import LIMITS
from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.listening.server import HttpServer


class Impatient(uvicorn.Server):
    """Stops at once, where uvicorn pauses for a tenth of a second twice; a thousand tests stop one."""

    async def main_loop(self) -> None:
        await self.on_tick(0)  # sets the headers of every answer
        while not self.should_exit:  # noqa: ASYNC110 - it is set from another thread
            await asyncio.sleep(0.005)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it."""
        del sockets
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(0.001)
        for task in self.server_state.tasks:
            task.cancel()
        await self.lifespan.shutdown()


class _Ours(Impatient, HttpServer):
    """Bounded as the product's own."""


@contextmanager
def served(app: Any, *, lifespan: Literal["on", "off"] = "on", limits: ConnectionLimits = LIMITS) -> Iterator[int]:
    """The port on which `app` answers for the time of the block."""
    # As the product makes it: without the protocol's name asyncio leaves Nagle's algorithm on, 40 ms for each answer.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = _Ours(app, limits, lifespan=lifespan, timeout_graceful_shutdown=5)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            threading.Event().wait(0.005)
        try:
            assert server.started
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
