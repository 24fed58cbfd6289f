"""What the store does of itself: move the newest events into Parquet files, merge small files, drop what is old. Pure.

`store` carries it out every few seconds. Bounds are of time and of size; the oldest goes first, of the largest group.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aerodrome.telemetry.acceptance import DAY

FLUSHED_ROWS = 50_000
FLUSHED_BYTES = 16 * 2**20
FLUSHED_AGE = 30 * 60_000
"""Events leave SQLite when there are so many of one group and day, or when the oldest has been there so long (ms)."""

MERGED_PARTS = 8
"""Small files of one group and day that are made into one."""

SMALL_ROWS = 500_000
MERGED_BYTES = 128 * 2**20
"""A file is merged with others when it has fewer rows, and fewer bytes than half; one merge takes no more bytes.

Bytes are those of the events, not of the file: they are what writing one needs memory for.
"""

LARGE_LINE = 8 * 2**10
MERGED_BYTES_OF_LARGE = 32 * 2**20
"""The same of files whose events have so many bytes on average: DuckDB handles 2048 of them at once at least."""

MOVED_BYTES = 32 * 2**20
"""Of newest events that go to one file; the rest goes to the next."""

NEWEST_BYTES = 256 * 2**20
NEWEST_BYTES_OF_ONE = 64 * 2**20
"""Of newest events that wait for their files, of all groups and of one; beyond it no more are taken for now."""

LOW_WATER = 0.9
"""The share of the size limit that is left after it was exceeded, so that it is not exceeded again at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """Bounds of the store."""

    total_bytes: int
    longest_days: int
    """Days that an event is kept at most, whatever its group's retention says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The newest events of one group and day."""

    group: int
    day: int
    """Days since 1970."""
    rows: int
    size: int
    oldest: int
    """When the first of them came in, in milliseconds."""
    last_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One Parquet file."""

    identifier: int
    group: int
    day: int
    name: str
    rows: int
    size: int
    """Bytes of the file."""
    raw: int
    """Bytes of its events."""
    last_moment: int


class DropReason(StrEnum):
    """Why events are dropped."""

    RETENTION = "retention"
    LONGEST = "longest"
    SIZE = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Make one file of the newest events up to a number (0 = of none) and of earlier files."""

    group: int
    day: int
    up_to: int
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Remove one file."""

    part: Part
    reason: DropReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now."""

    writes: tuple[Write, ...]
    drops: tuple[Drop, ...]
    cutoffs: Mapping[int, int]
    """Log group → time before which its newest events go, in milliseconds."""


def plan(
    *,
    now: int,
    retentions: Mapping[int, int | None],
    fresh: Iterable[Fresh],
    parts: Sequence[Part],
    limits: StoreLimits,
) -> Plan:
    """What to do at `now`; `retentions` are days by group, None = for ever."""
    cutoffs = {group: cutoff(now, days, limits) for group, days in retentions.items()}
    drops = [
        Drop(part=part, reason=_reason(retentions[part.group], limits))
        for part in parts
        if part.last_moment < cutoffs[part.group]
    ]
    dropped = {each.part.identifier for each in drops}
    left = [part for part in parts if part.identifier not in dropped]
    fresh = list(fresh)
    drops += [Drop(part=part, reason=DropReason.SIZE) for part in _beyond(left, fresh, limits)]
    dropped = {each.part.identifier for each in drops}
    left = [part for part in left if part.identifier not in dropped]
    return Plan(writes=tuple(_writes(now, fresh, left)), drops=tuple(drops), cutoffs=cutoffs)


def cutoff(now: int, retention_days: int | None, limits: StoreLimits) -> int:
    """The time before which events of a group are not shown any more, in milliseconds."""
    days = limits.longest_days if retention_days is None else min(retention_days, limits.longest_days)
    return now - days * DAY


def _reason(retention_days: int | None, limits: StoreLimits) -> DropReason:
    is_own = retention_days is not None and retention_days <= limits.longest_days
    return DropReason.RETENTION if is_own else DropReason.LONGEST


def _beyond(parts: Sequence[Part], fresh: Iterable[Fresh], limits: StoreLimits) -> list[Part]:
    """The files that go beyond the size limit: always the oldest of the group that is the largest then.

    So a group that says much loses its own past, and no other's.
    """
    sizes: dict[int, int] = defaultdict(int)
    for part in parts:
        sizes[part.group] += part.size
    for new in fresh:
        sizes[new.group] += new.size
    total = sum(sizes.values())
    if total <= limits.total_bytes:
        return []
    youngest_first: dict[int, list[Part]] = defaultdict(list)
    for part in sorted(parts, key=lambda part: (part.last_moment, part.identifier), reverse=True):
        youngest_first[part.group].append(part)
    found = []
    largest = [(-sizes[group], group) for group in youngest_first]
    heapq.heapify(largest)
    while largest and total > limits.total_bytes * LOW_WATER:
        size, group = heapq.heappop(largest)
        part = youngest_first[group].pop()
        found.append(part)
        total -= part.size
        if youngest_first[group]:
            heapq.heappush(largest, (size + part.size, group))
    return found


def _writes(now: int, fresh: Iterable[Fresh], parts: Sequence[Part]) -> list[Write]:
    found = [
        Write(group=each.group, day=each.day, up_to=each.last_number)
        for each in fresh
        if each.rows >= FLUSHED_ROWS or each.size >= FLUSHED_BYTES or now - each.oldest >= FLUSHED_AGE
    ]
    small: dict[tuple[int, int, bool], list[Part]] = defaultdict(list)
    for part in parts:
        if part.rows < SMALL_ROWS and part.raw < _most_merged(part) // 2:
            small[part.group, part.day, _is_large(part)].append(part)
    return [
        *found,
        *(
            Write(group=group, day=day, up_to=0, parts=_merged(each))
            for (group, day, _), each in small.items()
            if len(each) >= MERGED_PARTS
        ),
    ]


def _is_large(part: Part) -> bool:
    """Whether its events are large on average."""
    return part.raw > LARGE_LINE * part.rows


def _most_merged(part: Part) -> int:
    return MERGED_BYTES_OF_LARGE if _is_large(part) else MERGED_BYTES


def _merged(small: Sequence[Part]) -> tuple[Part, ...]:
    """The smallest of these, as many as one merge takes: two at least, because two always fit."""
    found: list[Part] = []
    left = _most_merged(small[0])
    for part in sorted(small, key=lambda part: (part.raw, part.identifier))[:MERGED_PARTS]:
        left -= part.raw
        if left < 0:
            break
        found.append(part)
    return tuple(found)
