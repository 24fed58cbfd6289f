"""Waits for a condition: looks again and again until it holds or the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(
    look: Callable[[], Found | None],
    *,
    seconds: float,
    every: float,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Found:
    """Return what `look` finds, once it is not None. `seconds` to wait at most, `every` so many seconds a look.

    Raises:
        TimeoutError: nothing was found in time.
    """
    end = now() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if now() >= end:
            raise TimeoutError
        sleep(every)
