"""Running totals of what came in since the process began, for scrapers: counters must only rise. Pure.

The store itself keeps points by the minute; these live in memory, and begin anew with the process. They are bounded in
bytes, of all and of each caller, so that no environment takes another's room.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from aerodrome.telemetry.metrics.catalogue import Datum, Metric

MOST_BYTES = 24 * 2**20
MOST_BYTES_EACH = 2 * 2**20
"""Of the document, all totals and those of one caller: some 5,000 metrics, unless their names are long."""

FRAME_BYTES = 320
"""What a total has in the document beside its names, at most."""

SILENT_AFTER = 6 * 3600.0
"""Seconds without a point after which a total may be forgotten, where room is needed."""

LOOK_EVERY = 60.0
"""Seconds between two searches for such totals."""

Key = tuple[Metric, str]
"""A metric and a unit."""


@dataclass(slots=True)
class _Total:
    caller: str
    size: int
    heard: float
    count: float = 0.0
    sum: float = 0.0
    minute: float = 0.0
    last: float = 0.0


class Totals:
    """How often, the sum and the last mean of each metric of some namespaces."""

    def __init__(self, namespaces: Collection[str], *, since: float, trusted: Collection[str] = ()) -> None:
        """`since` is now, in seconds since 1970. Trusted callers have as much room as there is."""
        self._namespaces = frozenset(namespaces)
        self._trusted = frozenset(trusted)
        self._since = since
        self._found: dict[Key, _Total] = {}
        self._bytes: defaultdict[str, int] = defaultdict(int)
        """Of each caller."""
        self._looked_at: dict[str | None, float] = {}
        self._left_out = 0

    def add(self, data: Iterable[Datum], caller: str, *, now: float) -> None:
        """Count these, of a caller."""
        for datum in data:
            if datum.metric.namespace not in self._namespaces:
                continue
            total = self._found.get((datum.metric, datum.unit)) or self._made(datum, caller, now)
            if total is None:
                self._left_out += 1
                continue
            point = datum.point
            total.heard = now
            total.count += point.count
            total.sum += point.sum
            if datum.moment >= total.minute:
                total.minute, total.last = datum.moment, point.sum / point.count

    def document(self) -> dict[str, Any]:
        """What a scraper's door is answered."""
        series = [
            {
                "namespace": metric.namespace,
                "name": metric.name,
                "dimensions": dict(metric.dimensions),
                "unit": unit,
                "count": total.count,
                "sum": total.sum,
                "minute": total.minute,
                "last": total.last,
                "since": self._since,
            }
            for (metric, unit), total in self._found.items()
        ]
        return {"series": series, "left_out": self._left_out}

    def _made(self, datum: Datum, caller: str, now: float) -> _Total | None:
        """A new total; None: there is no room."""
        metric = datum.metric
        names = [metric.namespace, metric.name, dict(metric.dimensions), datum.unit]
        size = len(json.dumps(names)) + FRAME_BYTES
        if caller not in self._trusted and not self._has_room(size, caller, MOST_BYTES_EACH, now):
            return None
        if not self._has_room(size, None, MOST_BYTES, now):
            return None
        self._bytes[caller] += size
        self._found[metric, datum.unit] = total = _Total(caller, size, now)
        return total

    def _has_room(self, size: int, caller: str | None, most: int, now: float) -> bool:
        """Whether so many bytes fit, of a caller or (None) of all; forgets what is silent if that is needed."""
        if self._size(caller) + size <= most:
            return True
        if now - self._looked_at.get(caller, float("-inf")) < LOOK_EVERY:
            return False
        self._looked_at = {who: then for who, then in self._looked_at.items() if now - then < LOOK_EVERY}
        self._looked_at[caller] = now
        for key, total in [*self._found.items()]:
            if total.caller == (caller or total.caller) and now - total.heard >= SILENT_AFTER:
                self._bytes[total.caller] -= total.size
                del self._found[key]
        self._bytes = defaultdict(int, {who: held for who, held in self._bytes.items() if held})
        return self._size(caller) + size <= most

    def _size(self, caller: str | None) -> int:
        return sum(self._bytes.values()) if caller is None else self._bytes[caller]
