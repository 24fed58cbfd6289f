"""GetMetricData's queries on the store: metrics, expressions on them, searches, labels.

`api` answers with the results, `evaluation` decides on alarms by them. Runs in the thread of the catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from aerodrome.telemetry.metrics import expressions, periods, points, searching
from aerodrome.telemetry.metrics.catalogue import Metric
from aerodrome.telemetry.metrics.expressions import ExpressionError, Series, Value, World
from aerodrome.telemetry.metrics.periods import MINUTE
from aerodrome.telemetry.metrics.points import DataPoint
from aerodrome.telemetry.metrics.searching import SearchError
from aerodrome.telemetry.refusals import TelemetryRefusedError

INVALID_VALUE = "InvalidParameterValue"

VALIDATION = "ValidationError"

MOST_QUERIES = 500

MOST_POINTS = 2_000_000
"""Of all series, at the period in which they are stored, that one request may look at."""

SEARCHED = 14 * periods.DAY
"""A search finds metrics with a point in this time, as CloudWatch's."""

DEFAULT_PERIOD = 300
"""Of an expression that nothing gives a period."""

_ID = re.compile(r"[a-z][a-zA-Z0-9_]*", re.ASCII)

_LABEL = re.compile(r"\$\{\s*(LABEL|AVG|MAX|MIN|SUM|LAST|FIRST|DATAPOINT_COUNT|PROP\('([^']*)'\))\s*\}")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueriedSeries:
    """One series of an answer."""

    identifier: str
    series: Series


def metric(document: Document) -> Metric:
    """A metric as requests name it."""
    dimensions = tuple(sorted((each["Name"], each["Value"]) for each in document.get("Dimensions", ())))
    return Metric(document["Namespace"], document["MetricName"], dimensions)


def check_statistic(name: str) -> None:
    """Raise TelemetryRefusedError when it is none that is offered."""
    if not points.is_statistic(name):
        raise TelemetryRefusedError(
            VALIDATION,
            f"The statistic {name!r} is not offered here: SampleCount, Average, Sum, Minimum, Maximum, pNN.N.",
        )


def check_period(period: int) -> None:
    """Raise TelemetryRefusedError when it is no whole number of minutes."""
    if period < MINUTE or period % MINUTE:
        raise TelemetryRefusedError(VALIDATION, f"Period {period} is not offered here: give a multiple of 60 seconds.")


class PointSource(Protocol):
    """What queries read: a catalogue, or points that are made up."""

    def read(
        self, metric: Metric, unit: str | None, *, start: int, end: int, period: int, phase: int = 0
    ) -> Mapping[int, DataPoint]:
        """The points of a metric from `start` to before `end`, by the beginnings of periods."""

    def all_metrics(self, since: int) -> list[Metric]:
        """Every metric that had a point at or after `since`, by its name."""


class OnePoint:
    """Every metric has one point: what can be worked out with it can be worked out."""

    def read(  # its keywords are those of a catalogue
        self,
        _metric: Metric,
        _unit: str | None,
        *,
        start: int,  # noqa: ARG002
        end: int,
        period: int,
        phase: int = 0,  # noqa: ARG002
    ) -> Mapping[int, DataPoint]:
        """The point, of the last period."""
        return {end - period: points.of({1.0: 1.0})}

    def all_metrics(self, _since: int) -> list[Metric]:
        """None."""
        return []


class Queries:
    """The queries of one request."""

    def __init__(
        self,
        catalogue: PointSource,
        asked: Sequence[Document],
        *,
        start: float,
        end: float,
        now: float,
        sliding: int | None = None,
    ) -> None:
        """`sliding`: a time at which periods end, in the place of those that begin with the time that is asked for."""
        self._catalogue = catalogue
        self._asked = {each["Id"]: each for each in asked}
        self._start, self._end, self._now = start, end, now
        self._sliding = sliding
        self._known: dict[str, Value] = {}
        self._under_way: set[str] = set()
        self._left = MOST_POINTS
        _check(asked, len(self._asked))

    def results(self) -> list[QueriedSeries]:
        """What is to be returned, in the order of the queries.

        Raises:
            TelemetryRefusedError: a query cannot be answered.
        """
        try:
            return [
                QueriedSeries(identifier, self._labelled(query, series))
                for identifier, query in self._asked.items()
                if query.get("ReturnData", True)
                for series in self._series(identifier)
            ]
        except (ExpressionError, SearchError) as error:
            raise TelemetryRefusedError(VALIDATION, str(error)) from error

    def check(self) -> None:
        """See that each query can be answered, and that together they are one time series, as an alarm needs it.

        Raises:
            TelemetryRefusedError: they are not.
        """
        try:
            for identifier in self._asked:
                self._value(identifier)
        except (ExpressionError, SearchError) as error:
            raise TelemetryRefusedError(VALIDATION, str(error)) from error
        if len(self.results()) != 1:
            raise TelemetryRefusedError(VALIDATION, "Exactly one time series must be returned.")

    def _series(self, identifier: str) -> list[Series]:
        value = self._value(identifier)
        if isinstance(value, list):
            return value
        if not isinstance(value, Series):
            raise ExpressionError(f"The query {identifier} is no time series: TIME_SERIES makes one of a number.")
        return [value]

    def _value(self, identifier: str) -> Value:
        if identifier not in self._asked:
            raise ExpressionError(f"There is no query {identifier!r}.")
        if identifier in self._under_way:
            raise ExpressionError(f"The query {identifier!r} is about itself.")
        if identifier not in self._known:
            self._under_way.add(identifier)
            query = self._asked[identifier]
            made = self._measured(query["MetricStat"]) if "MetricStat" in query else self._worked_out(query)
            self._known[identifier] = made
            self._under_way.discard(identifier)
        return self._known[identifier]

    def _measured(self, wanted: Document) -> Series:
        return self._read(metric(wanted["Metric"]), wanted["Stat"], wanted["Period"], wanted.get("Unit"))

    def _read(self, wanted: Metric, statistic: str, period: int, unit: str | None) -> Series:
        check_statistic(statistic)
        check_period(period)
        start, end = self._range()
        phase = (start if self._sliding is None else self._sliding) % period
        self._look_at((end - start) // periods.finest(period, phase, start))
        found = self._catalogue.read(wanted, unit, start=start, end=end, period=period, phase=phase)
        values = {at: points.statistic(point, statistic) for at, point in found.items()}
        known = {at: value for at, value in values.items() if value is not None}
        told = {"Namespace": wanted.namespace, "MetricName": wanted.name, "Stat": statistic, "Period": str(period)}
        told |= {f"Dim.{name}": value for name, value in wanted.dimensions}
        return Series(wanted.name, known, period, told)

    def _look_at(self, count: int) -> None:
        self._left -= max(count, 1)
        if self._left < 0:
            raise TelemetryRefusedError(
                INVALID_VALUE,
                "The request looks at too many points: begin at a whole hour, shorten its time, or ask for less.",
            )

    def _range(self) -> tuple[int, int]:
        if self._sliding is not None:
            return int(self._start), self._sliding
        return periods.asked(self._start, self._end, self._now)

    def _worked_out(self, query: Document) -> Value:
        node = expressions.read(query["Expression"])
        world = World(
            of=self._value,
            metrics=self._metrics,
            search=self._search,
            times=self._times,
            period=query.get("Period") or self._period(expressions.names(node)),
        )
        found = expressions.work_out(node, world)
        if isinstance(found, Series) and not found.label:
            return replace(found, label=query["Id"])
        return found

    def _period(self, named: Any) -> int:
        """The longest of those of the metrics that an expression names, or of all."""
        stats = {name: each["MetricStat"]["Period"] for name, each in self._asked.items() if "MetricStat" in each}
        return max([stats[name] for name in named if name in stats] or stats.values(), default=DEFAULT_PERIOD)

    def _metrics(self, text: str) -> list[Series]:
        return [
            one
            for name, each in self._asked.items()
            if "MetricStat" in each and text in name
            for one in self._series(name)
        ]

    def _times(self, period: int) -> range:
        check_period(period)
        start, end = self._range()
        times = range(start, end, period)
        self._look_at(len(times))
        return times

    def _search(self, text: str, statistic: str, period: int) -> list[Series]:
        test = searching.read(text)
        since = int(min(self._start, self._now) - SEARCHED)
        found = [each for each in self._catalogue.all_metrics(since) if test(each)][: searching.MOST_FOUND]
        read = [self._read(each, statistic, period, None) for each in found]
        labels = _told_apart(found)
        return [replace(each, label=label) for each, label in zip(read, labels, strict=True) if each.points]

    def _labelled(self, query: Document, series: Series) -> Series:
        label = query.get("Label")
        return replace(series, label=_label(label, series)) if label else series


def _check(asked: Sequence[Document], different: int) -> None:
    if len(asked) > MOST_QUERIES:
        raise TelemetryRefusedError(VALIDATION, f"A request may have {MOST_QUERIES} queries.")
    if different < len(asked):
        raise TelemetryRefusedError(VALIDATION, "Two queries have the same Id.")
    for each in asked:
        if not _ID.fullmatch(each["Id"]):
            raise TelemetryRefusedError(VALIDATION, f"The Id {each['Id']!r} must begin with a lower-case letter.")
        if ("MetricStat" in each) == ("Expression" in each):
            raise TelemetryRefusedError(
                VALIDATION, f"The query {each['Id']} must have either MetricStat or Expression."
            )
        stat = each.get("MetricStat")
        if stat and not {"Namespace", "MetricName"} <= set(stat["Metric"]):
            raise TelemetryRefusedError(
                VALIDATION, f"The metric of the query {each['Id']} needs Namespace and MetricName."
            )


def _told_apart(found: Sequence[Metric]) -> list[str]:
    """A label for each: the metric's name and the values of its dimensions, as far as they differ."""
    names = {each.name for each in found}
    shared = set.intersection(*({*each.dimensions} for each in found)) if len(found) > 1 else set()
    labels = []
    for each in found:
        values = [value for pair in each.dimensions if pair not in shared for value in pair[1:]]
        labels.append(" ".join([each.name, *values] if len(names) > 1 or not values else values))
    return labels


def _label(text: str, series: Series) -> str:
    return _LABEL.sub(partial(_part, series), text)


_NUMBERS: Mapping[str, Callable[[list[float]], float]] = {
    "AVG": lambda values: sum(values) / len(values),
    "MAX": max,
    "MIN": min,
    "SUM": sum,
    "LAST": lambda values: values[-1],
    "FIRST": lambda values: values[0],
    "DATAPOINT_COUNT": lambda values: float(len(values)),
}


def _part(series: Series, found: re.Match[str]) -> str:
    if found[2] is not None:
        return (series.properties or {}).get(found[2], "")
    if found[1] == "LABEL":
        return series.label
    values = [value for _, value in sorted(series.points.items())]
    return f"{_NUMBERS[found[1]](values):g}" if values else "--"
