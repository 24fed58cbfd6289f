"""What the emulator may take of memory: a bound for the process, a budget for bodies, and giving back what is free.

MiniStack holds every body whole, about twice. `__main__` applies this.
"""

from __future__ import annotations

import ctypes
import resource
import time

from aerodrome.budget import Budget

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


def budget() -> Budget:
    """What all bodies may take together; one owner has half of it at most."""
    return Budget(AT_ONCE, each=AT_ONCE // 2, patience=PATIENCE)


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
