"""What was measured in each minute, from stats one by one. Pure; the time is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aerodrome.airflow import published_metrics
from aerodrome.airflow.published_metrics import PublishedName
from aerodrome.sidecar.metrics.statsd import COUNTER, GAUGE, TIMER, Stat
from aerodrome.telemetry.metrics import points

MINUTE = 60

SET_BACK = 5 * MINUTE

MOST_SERIES = 5000
"""Different metrics in a minute; more are dropped. Of 1,000 DAGs that run each hour there are some 2,200."""

MOST_NAMES = 10_000
"""Names that are remembered with what they are."""

MOST_VALUES = 400
"""Different values of a series that are remembered within a minute, before they are rounded."""

MILLISECONDS = 1000.0

Key = tuple[str, tuple[tuple[str, str], ...], str]
"""Name, dimensions, unit."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one metric in one minute."""

    name: str
    dimensions: tuple[tuple[str, str], ...]
    unit: str
    minute: int
    """Its beginning, in seconds since 1970."""
    values: dict[float, float]
    """How often each value was measured."""
    namespace: str = published_metrics.NAMESPACE


class Aggregation:
    """The present minute, and the gauges' last values."""

    def __init__(self, line: int, match: Callable[[str, int], PublishedName | None] = published_metrics.match) -> None:
        self._line = line
        self._match = match
        self._known: dict[str, PublishedName | None] = {}
        self._minute = 0
        self._series: dict[Key, dict[float, float]] = {}
        self._gauges: dict[Key, float] = {}
        self._finished: list[Measured] = []
        self.dropped = 0
        """Stats that were one series too many."""

    def add(self, stat: Stat, now: float) -> None:
        """Count a stat that was sent now."""
        self._turn(now)
        match = self._of(stat.name)
        if match is None or (stat.kind == COUNTER and not stat.value):
            return
        key = (match.metric.name, match.dimensions, match.metric.unit)
        if key not in self._series and len(self._series) >= MOST_SERIES:
            self.dropped += 1
            return
        values = self._series.setdefault(key, {})
        value = self._value(key, stat)
        if value not in values and len(values) >= MOST_VALUES:
            values = self._series[key] = points.bounded(values)
        values[value] = values.get(value, 0.0) + 1

    def take(self, now: float, *, is_early: bool = False) -> list[Measured]:
        """What was measured in the minutes that are over, or until now; each measurement is handed out once."""
        self._turn(now)
        if is_early:
            self._finish()
        found, self._finished = self._finished, []
        return found

    def _of(self, name: str) -> PublishedName | None:
        if name not in self._known:
            if len(self._known) >= MOST_NAMES:
                self._known.clear()
            self._known[name] = self._match(name, self._line)
        return self._known[name]

    def _value(self, key: Key, stat: Stat) -> float:
        if stat.kind == TIMER:
            return stat.value / MILLISECONDS if key[2] == published_metrics.SECONDS else stat.value
        if stat.kind != GAUGE:
            return stat.value
        if len(self._gauges) >= MOST_SERIES and key not in self._gauges:
            self._gauges.clear()
        self._gauges[key] = stat.value + (self._gauges.get(key, 0.0) if stat.is_delta else 0.0)
        return self._gauges[key]

    def _turn(self, now: float) -> None:
        minute = int(now // MINUTE) * MINUTE
        if self._minute - SET_BACK <= minute <= self._minute:
            return  # also where a clock was set back a little
        self._finish()
        self._minute = minute

    def _finish(self) -> None:
        self._finished += [Measured(*key, self._minute, points.bounded(values)) for key, values in self._series.items()]
        self._series = {}
