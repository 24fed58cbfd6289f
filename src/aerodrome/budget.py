"""Bytes that requests share: what all of them may hold at one time, and which part of it one owner may have.

The API, the AWS door and the emulator hold bodies within a budget. Without a bound for each owner, one whose bodies
arrive slowly could hold all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aerodrome.errors import RetryError


class BusyError(RetryError):
    """Other requests use the whole budget."""


@dataclass(slots=True, eq=False)
class _Share:
    """A request's part of the budget, which it waits for until `granted`."""

    owner: str
    length: int
    granted: asyncio.Event = field(default_factory=asyncio.Event)


class Budget:
    """`total` bytes, of which one owner has `each` at most. Who comes first is served first.

    A request waits `patience` seconds for its part; with 0 it fails at once if there is none.
    """

    def __init__(self, total: int, *, each: int, patience: float) -> None:
        self._free = total
        self._each = each
        self._patience = patience
        self._taken: Counter[str] = Counter()
        self._waiting: list[_Share] = []

    @contextlib.asynccontextmanager
    async def share(self, length: int, owner: str) -> AsyncIterator[None]:
        """Let the block hold `length` bytes. A longer body counts as all that its owner may have.

        Raises:
            BusyError: there was no room in time.
        """
        wanted = _Share(owner, min(length, self._each))
        self._waiting.append(wanted)
        try:
            self._grant()
            if not wanted.granted.is_set():
                await self._granted(wanted)
            yield
        finally:
            self._give_back(wanted)

    async def _granted(self, wanted: _Share) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await wanted.granted.wait()
        except TimeoutError:
            raise BusyError("Other large requests are under way: try again in a moment") from None

    def _grant(self) -> None:
        """Serve those that wait, in their order. An owner that has its whole part does not hold up the others."""
        for wanted in list(self._waiting):
            if self._taken[wanted.owner] + wanted.length > self._each:
                continue
            if wanted.length > self._free:
                break  # a smaller one does not overtake, or a large one might wait for ever
            self._waiting.remove(wanted)
            self._free -= wanted.length
            self._taken[wanted.owner] += wanted.length
            wanted.granted.set()

    def _give_back(self, share: _Share) -> None:
        if share.granted.is_set():
            self._free += share.length
            self._taken[share.owner] -= share.length
            if not self._taken[share.owner]:
                del self._taken[share.owner]
        else:
            self._waiting.remove(share)
        self._grant()
