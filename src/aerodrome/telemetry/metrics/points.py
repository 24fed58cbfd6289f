"""Data points as CloudWatch has them, and their statistics. Pure.

A point is what was measured in one period: how often, the sum, the least, the most; and how values spread, from which
percentiles come. The spread is bounded: values that lie near each other become one.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

MOST_VALUES = 50
"""Different values of a point that are kept; more are rounded until there are so few."""

FINEST = 0.01
"""The first step of that rounding, as a share of the value."""

MERGED_AT_ONCE = 60
"""Points that wait to become one, so that values are rounded once for all; more would need memory without a bound."""

SIMPLE: Mapping[str, Callable[[DataPoint], float]] = {
    "SampleCount": lambda point: point.count,
    "Sum": lambda point: point.sum,
    "Minimum": lambda point: point.least,
    "Maximum": lambda point: point.most,
    "Average": lambda point: point.sum / point.count,
}

_PERCENTILE = re.compile(r"p(100(?:\.0{1,10})?|[0-9]{1,2}(?:\.[0-9]{1,10})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class DataPoint:
    """What was measured in one period."""

    count: float
    sum: float
    least: float
    most: float
    spread: Mapping[float, float] | None = None
    """How often each value was measured; None = nobody has said it, or all values were the same."""

    @property
    def values(self) -> Mapping[float, float] | None:
        """How often each value was measured; None = nobody can tell."""
        return {self.least: self.count} if self.least == self.most else self.spread


def of(values: Mapping[float, float]) -> DataPoint:
    """The point of these values, each with how often it was measured; there is one at least."""
    return DataPoint(
        count=sum(values.values()),
        sum=sum(value * count for value, count in values.items()),
        least=min(values),
        most=max(values),
        spread=bounded(values) if len(values) > 1 else None,
    )


def merged(*found: DataPoint) -> DataPoint:
    """All of these as one; there is one at least."""
    known = [values for each in found if (values := each.values) is not None]
    every: dict[float, float] = {}
    if len(known) == len(found):
        for values in known:
            for value, count in values.items():
                every[value] = every.get(value, 0.0) + count
    return DataPoint(
        count=sum(each.count for each in found),
        sum=sum(each.sum for each in found),
        least=min(each.least for each in found),
        most=max(each.most for each in found),
        spread=bounded(every) if len(every) > 1 else None,
    )


def in_periods(found: Iterable[tuple[int, DataPoint]], period: int, phase: int = 0) -> dict[int, DataPoint]:
    """The points of longer periods, by their beginnings, in order; one period begins at `phase`."""
    gathered: dict[int, list[DataPoint]] = {}
    for moment, point in found:
        several = gathered.setdefault(moment - (moment - phase) % period, [])
        several.append(point)
        if len(several) > MERGED_AT_ONCE:
            several[:] = [merged(*several)]
    return {start: merged(*several) if len(several) > 1 else several[0] for start, several in sorted(gathered.items())}


def bounded(values: Mapping[float, float]) -> dict[float, float]:
    """The same values, rounded until there are few enough."""
    found, step = dict(values), FINEST
    while len(found) > MOST_VALUES:
        found = {}
        for value, count in values.items():
            rounded = _rounded(value, step)
            found[rounded] = found.get(rounded, 0.0) + count
        step *= 2
    return found


def _rounded(value: float, step: float) -> float:
    """The middle of the interval on a logarithmic scale that the value lies in."""
    if abs(value) < 1e-12:  # noqa: PLR2004 - nothing that is measured is smaller
        return 0.0
    width = math.log1p(step)
    return math.copysign(math.exp((math.floor(math.log(abs(value)) / width) + 0.5) * width), value)


def is_statistic(name: str) -> bool:
    """Whether it is one that is offered."""
    return name in SIMPLE or _PERCENTILE.fullmatch(name) is not None


def statistic(point: DataPoint, name: str) -> float | None:
    """One statistic of a point, by CloudWatch's name; None = it cannot be told from what was sent."""
    if name in SIMPLE:
        return SIMPLE[name](point)
    found = _PERCENTILE.fullmatch(name)
    if found is None or point.values is None:
        return None
    return _percentile(point, point.values, float(found[1]))


def _percentile(point: DataPoint, values: Mapping[float, float], share: float) -> float:
    """The least value that so many percent of all do not exceed."""
    ordered = sorted(values.items())
    total = sum(values.values())
    sums = itertools.accumulate(count for _, count in ordered)
    wanted = total * share / 100
    found = next((value for (value, _), below in zip(ordered, sums, strict=True) if below >= wanted), point.most)
    return min(max(found, point.least), point.most)  # a rounded value may lie beyond both
