"""How many points a caller may send: an allowance that fills again with time, like CloudWatch's throttling. Pure."""

from __future__ import annotations

from collections.abc import Callable

EACH_SECOND = 2_000.0
MOST_AT_ONCE = 60_000.0
"""Points of one caller."""

MOST_CALLERS = 10_000


class Rates:
    """What each caller has left."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}

    def allows(self, caller: str, points: int) -> bool:
        """Whether the caller may send so many now; if so, they are taken from what it has."""
        now = self._monotonic()
        left, then = self._left.get(caller, (MOST_AT_ONCE, now))
        left = min(left + (now - then) * EACH_SECOND, MOST_AT_ONCE)
        is_enough = left >= points
        if len(self._left) >= MOST_CALLERS:
            self._left.clear()
        self._left[caller] = (left - points if is_enough else left, now)
        return is_enough
