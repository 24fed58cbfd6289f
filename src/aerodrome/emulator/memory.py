"""What the emulator may take of memory: a bound for the process, a budget for bodies, and giving back what is free.

MiniStack holds every body whole, about twice. `__main__` applies this.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

PROCESS_LIMIT = 4 * 2**30
"""Bytes of data that the process may have; what would take more fails with a MemoryError, and the process goes on."""

AT_ONCE = 256 * 2**20
"""Bytes of all bodies that are being received or answered at one time; a request beyond it waits. Half of it is room
for the largest body that is taken (`rules.BODY_LIMIT`)."""

PATIENCE = 30.0
"""Seconds that a request waits for its part of the budget."""

LARGE = 2**20
"""Bytes of a body after which free memory is given back to the system."""

TRIM_EVERY = 1.0
"""Seconds between two times that it is given back; each takes milliseconds."""


class BusyError(Exception):
    """There was no room for the body for as long as a request waits."""


@dataclass(slots=True, eq=False)
class _Share:
    """A request's part of the budget, which it waits for until `granted`."""

    owner: str
    length: int
    granted: asyncio.Event = field(default_factory=asyncio.Event)


class Budget:
    """Bytes that requests share. Whoever came first is served first, but one owner has half of them at most.

    Otherwise somebody whose bodies arrive slowly could hold all of it, and everybody else would wait.
    """

    def __init__(self, size: int = AT_ONCE, *, patience: float = PATIENCE) -> None:
        self._free = size
        self._each = size // 2
        self._patience = patience
        self._taken: Counter[str] = Counter()
        self._waiting: list[_Share] = []

    @contextlib.asynccontextmanager
    async def share(self, length: int, owner: str) -> AsyncIterator[None]:
        """The block may hold `length` bytes; more than an owner may have counts as all that he may have.

        Raises:
            BusyError: there was no room in time.
        """
        wanted = _Share(owner, min(length, self._each))
        self._waiting.append(wanted)
        try:
            self._grant()
            await self._granted(wanted)
            yield
        finally:
            self._give_back(wanted)

    async def _granted(self, wanted: _Share) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await wanted.granted.wait()
        except TimeoutError:
            raise BusyError from None

    def _grant(self) -> None:
        """Give to those who wait, in their order; who has his part already holds nobody up."""
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


class Trimmer:
    """Gives the system back what the allocator has kept of large bodies."""

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
        self._last = 0.0

    def after(self, length: int) -> None:
        """Call it when a body of that many bytes is no longer needed."""
        now = time.monotonic()
        if self._trim is not None and length >= LARGE and now - self._last >= TRIM_EVERY:
            self._last = now
            self._trim(0)


def limit_process() -> None:
    """Bound the memory of this process; a lower bound that it has already is kept."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = PROCESS_LIMIT if hard == resource.RLIM_INFINITY else min(PROCESS_LIMIT, hard)
    if soft == resource.RLIM_INFINITY or soft > wanted:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))
