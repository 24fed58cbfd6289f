"""Calls that block (the ledger, IAM), in a few threads of the gateway's own, so that a flood here harms nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from aerodrome.gateway.requests import GatewayRefusal
from aerodrome.ledger.connection import LedgerError

Found = TypeVar("Found")

THREADS = 4
"""The ledger's connection pool has five."""

MOST_WAITING = 512
"""Calls that may wait for a thread; each takes milliseconds, so the last waits a second or two."""

log = structlog.get_logger("aerodrome.gateway")


class LedgerThreads:
    """A bounded pool; `close` it at the end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway")
        self._waiting = 0

    async def run(self, call: Callable[[], Found]) -> Found:
        """What `call` returns.

        Raises:
            GatewayRefusal: 503, when too many wait or the ledger is away.
        """
        if self._waiting >= MOST_WAITING:
            raise GatewayRefusal(
                503, "Too many people log in at once. Try again in a moment.", headers={"retry-after": "2"}
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except LedgerError as error:
            log.warning("ledger_away", error=type(error).__name__)
            sentence = "Logins cannot be checked just now. Try again in a moment."
            raise GatewayRefusal(503, sentence, headers={"retry-after": "2"}) from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
