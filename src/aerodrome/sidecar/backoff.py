"""When to act next: the pace of the rounds, and the wait after failures.

Used by `rounds` and `credentials`. Pure: the time is an argument.
"""

from __future__ import annotations

LONGEST_WAIT = 10.0
"""Seconds between two tries while the other side is away, so that its return is noticed within this time."""


def next_start(started: float, now: float, interval: float) -> float:
    """The moment of the next round on one monotonic clock: on the beat, or at once if the last round took longer."""
    return max(started + interval, now)


def back_off(failures: int, *, first: float = 1.0, longest: float = LONGEST_WAIT) -> float:
    """Seconds to wait after so many failures in a row; 0 after none."""
    if failures <= 0:
        return 0.0
    return min(longest, first * 2.0 ** min(failures - 1, 30))
