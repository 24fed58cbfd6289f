"""What `aerodrome metrics` and `aerodrome top` ask CloudWatch, and what they make of the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aerodrome.airflow import published_metrics
from aerodrome.errors import CallerError

OF_THE_SERVICE = "AWS/MWAA"

NAMESPACES = (published_metrics.NAMESPACE, OF_THE_SERVICE)

SUM, AVERAGE = "Sum", "Average"

BARS = "▁▂▃▄▅▆▇█"

MOST_BARS = 60

_QUOTABLE = re.compile(r"[\w.@/+-]{1,255}")

DIMENSIONS = (
    "Environment", "Cluster", "Queue", "Database", "DAG", "Task", "State", "Function", "Pool", "Job", "Operator",
    "HostName", "DAG Filename",
)  # fmt: skip
"""All that MWAA's metrics have."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One metric in the time that was asked for."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str
    points: Mapping[float, float]
    """By the beginnings of periods, in seconds since 1970."""

    @property
    def total(self) -> float:
        """The sum of a counter, the mean of everything else."""
        values = list(self.points.values())
        return sum(values) if self.statistic == SUM else sum(values) / len(values)

    @property
    def last(self) -> float:
        """The newest point's."""
        return self.points[max(self.points)]

    def document(self) -> dict[str, Any]:
        """What a script reads."""
        points = [{"at": at, "value": value} for at, value in sorted(self.points.items())]
        return {"namespace": self.namespace, "name": self.name, "dimensions": dict(self.dimensions),
                "statistic": self.statistic, "points": points}  # fmt: skip


def period(seconds: float) -> int:
    """The period, in seconds, of a sparkline over so long a time: whole minutes."""
    minutes = max(1, round(seconds / MOST_BARS / 60))
    return int(60 * next((each for each in (1, 5, 15, 60, 180, 360, 1440) if each >= minutes), 1440))


def first(start: datetime, length: int) -> datetime:
    """The beginning of the period that a time is in: CloudWatch's first period begins when it is told to."""
    return datetime.fromtimestamp(start.timestamp() // length * length, UTC)


def queries(environment: str | None, name: str | None, length: int) -> list[dict[str, Any]]:
    """Queries of GetMetricData for the metrics of an environment, or of all.

    Raises:
        CallerError: a name has characters that no search can have.
    """
    wanted = ""
    for key, value in (("Environment", environment), ("MetricName", name)):
        if value is not None:
            if not _QUOTABLE.fullmatch(value):
                raise CallerError(f"{value!r} is no name of a metric or an environment.")
            wanted += f' {key}="{value}"'
    told = "".join(f"${{PROP('Dim.{each}')}}\t" for each in DIMENSIONS)
    return [
        {
            "Id": f"q{number}{kind.lower()}",
            "Expression": f"SEARCH('Namespace=\"{namespace}\"{wanted}', '{kind}', {length})",
            "Label": f"{namespace}\t{kind}\t${{PROP('MetricName')}}\t{told}",
        }
        for number, namespace in enumerate(NAMESPACES)
        for kind in (SUM, AVERAGE)
    ]


def shown(results: Sequence[Mapping[str, Any]], summed: frozenset[str] = published_metrics.COUNTERS) -> list[Shown]:
    """The metrics of an answer in the order of their names: sums of those that are named, means of all others."""
    found: dict[tuple[str, ...], dict[float, float]] = {}
    for each in results:
        label = tuple(each["Label"].split("\t"))
        points = found.setdefault(label, {})
        for at, value in zip(each["Timestamps"], each["Values"], strict=True):
            points[at.timestamp() if isinstance(at, datetime) else float(at)] = value
    return sorted(_chosen(found, summed), key=lambda each: (each.namespace, each.name, sorted(each.dimensions.items())))


def _chosen(found: Mapping[tuple[str, ...], Mapping[float, float]], summed: frozenset[str]) -> Iterator[Shown]:
    for label, points in found.items():
        namespace, statistic, name, *values = label
        if points and statistic == (SUM if name in summed else AVERAGE):
            dimensions = {key: value for key, value in zip(DIMENSIONS, values, strict=False) if value}
            yield Shown(namespace, name, dimensions, statistic, points)


def sparkline(points: Mapping[float, float], start: float, end: float, length: int) -> str:
    """A bar for each period of the time; a space where nothing was measured."""
    first = int(start // length) * length
    values = [points.get(float(at)) for at in range(first, int(end) + 1, length)][-MOST_BARS:]
    known = [value for value in values if value is not None]
    least, most = min(known, default=0.0), max(known, default=0.0)
    least = min(least, 0.0)

    def bar(value: float | None) -> str:
        if value is None:
            return " "
        return BARS[round((value - least) / (most - least) * (len(BARS) - 1))] if most > least else BARS[0]

    return "".join(map(bar, values))


def number(value: float) -> str:
    """A number for a person."""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - digits
