"""Running totals of what came in since the process began, for scrapers: counters must only rise. Pure.

The store itself keeps points by the minute; these live in memory, and begin anew with the process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from aerodrome.telemetry.metrics.catalogue import Datum, Metric

MOST_TOTALS = 10_000
"""Different metrics; what comes beyond is not shown to scrapers."""


class Totals:
    """How often, the sum and the last mean of each metric of some namespaces."""

    def __init__(self, namespaces: Collection[str], *, since: float) -> None:
        """`since` is now, in seconds since 1970."""
        self._namespaces = frozenset(namespaces)
        self._since = since
        self._found: dict[tuple[Metric, str], list[float]] = {}
        """Metric and unit → count, sum, the last minute and its mean."""

    def add(self, data: Iterable[Datum]) -> None:
        """Count these."""
        for datum in data:
            key = datum.metric, datum.unit
            if datum.metric.namespace not in self._namespaces:
                continue
            if key not in self._found:
                if len(self._found) >= MOST_TOTALS:
                    continue
                self._found[key] = [0.0, 0.0, 0.0, 0.0]
            totals, point = self._found[key], datum.point
            totals[0] += point.count
            totals[1] += point.sum
            if datum.moment >= totals[2]:
                totals[2:] = [datum.moment, point.sum / point.count]

    def document(self) -> list[dict[str, Any]]:
        """What a scraper's door is answered."""
        return [
            {
                "namespace": metric.namespace,
                "name": metric.name,
                "dimensions": dict(metric.dimensions),
                "unit": unit,
                "count": count,
                "sum": total,
                "minute": minute,
                "last": last,
                "since": self._since,
            }
            for (metric, unit), (count, total, minute, last) in self._found.items()
        ]
