"""The uvicorn server with our protocol, which all our listeners under uvicorn have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.listening.protocol import bounded

TICK = 1.0
"""Seconds between two looks of a server at the clock, for the header Date."""


class HttpServer(uvicorn.Server):
    """One listener of a process that may have several; the process handles signals.

    `arrived` is told the descriptor of each connection that the application may hear of; `options` are uvicorn's.
    """

    def __init__(
        self,
        application: Any,
        limits: ConnectionLimits,
        *,
        arrived: Callable[[int], None] = lambda _: None,
        **options: Any,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=bounded(limits, arrived),  # type: ignore[arg-type]  # it makes what is asked for
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # a client's X-Forwarded-For would be its address in policies and in the audit log
                **options,
            )
        )
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Stop to listen now, and end with the last open request. To be called in the loop's thread."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        """As uvicorn's, but it wakes once a second, and when it shall end; uvicorn wakes ten times to ask for that."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._leaving.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
