"""An ASGI application on a loopback port, in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from aerodrome.api.app import LIMITS
from aerodrome.listening.crowd import Limits
from aerodrome.listening.server import Server


class Impatient(Server):
    """Stops at once, where uvicorn would look every tenth of a second; a thousand tests stop one."""

    async def main_loop(self) -> None:
        await self.on_tick(0)  # sets the headers of every answer
        while not self.should_exit:  # noqa: ASYNC110 - it is set from another thread
            await asyncio.sleep(0.005)


@contextmanager
def served(app: Any, *, lifespan: Literal["on", "off"] = "on", limits: Limits = LIMITS) -> Iterator[int]:
    """The port on which `app` answers for the time of the block."""
    # As the product makes it: without the protocol's name asyncio leaves Nagle's algorithm on, 40 ms for each answer.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = Impatient(app, limits, lifespan=lifespan, timeout_graceful_shutdown=5)
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
