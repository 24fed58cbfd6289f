"""How long points are kept at which period, as CloudWatch keeps them, and what goes when there is too much. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MINUTE, HOUR, DAY = 60, 3600, 86_400
"""Seconds, as all times of metrics."""

FIVE_MINUTES = 5 * MINUTE

PERIODS = (MINUTE, FIVE_MINUTES, HOUR)
"""At which points are stored; each point is stored at all of them once its block is written."""

KEPT = {MINUTE: 15 * DAY, FIVE_MINUTES: 63 * DAY, HOUR: 455 * DAY}
"""By period: how long, in seconds."""

SPANS = {MINUTE: 6 * HOUR, FIVE_MINUTES: DAY, HOUR: DAY}
"""By period: how much time one block of a series covers. It is read and written anew when points are added to it."""

FORMER_SPANS = {**SPANS, HOUR: 30 * DAY}
"""The same of blocks that an earlier version has written, and that are there still."""

SLACK = HOUR
"""How long after its end a span is left as single minutes: most late points come sooner."""

OLDEST = 14 * DAY
NEWEST = 2 * HOUR
"""How far in the past and in the future a point may be that comes in."""

EVICTED = DAY
"""How much time goes at once, at least, when the store is too large."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """Forget points of a period before a time."""

    period: int
    before: int


def aligned(moment: float, period: int) -> int:
    """The beginning of the period that a time is in."""
    return int(moment // period) * period


def asked(start: float, end: float, now: float) -> tuple[int, int]:
    """The time that a request is answered for: its first period begins with it, and no point counts at its end.

    As on CloudWatch: the older, the coarser is what the start is rounded down to, whatever the period.
    """
    step = MINUTE if start > now - KEPT[MINUTE] else FIVE_MINUTES if start > now - KEPT[FIVE_MINUTES] else HOUR
    return aligned(start, step), -aligned(-end, MINUTE)


def finest(period: int, phase: int, start: int) -> int:
    """The period of the blocks that answer a question for points of `period`: the longest that fits."""
    return max(each for each in PERIODS if each == MINUTE or not (period % each or phase % each or start % each))


def expired(now: float) -> tuple[Eviction, ...]:
    """What is older than CloudWatch keeps it."""
    return tuple(Eviction(period, aligned(now - kept, HOUR)) for period, kept in KEPT.items())


def rolled_before(now: float) -> int:
    """Minutes before this time belong into blocks."""
    return aligned(now - SLACK, SPANS[MINUTE])


def beyond(oldest: Mapping[int, int | None]) -> Eviction | None:
    """What goes when the store is too large: the finest points first, the oldest of them; None = there is no block.

    `oldest` is the beginning of the first block of each period.
    """
    for period in PERIODS:
        first = oldest[period]
        if first is not None:
            return Eviction(period, first + max(SPANS[period], EVICTED))
    return None
