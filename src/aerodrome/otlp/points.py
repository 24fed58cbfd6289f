"""Metrics as Prometheus' client has them, as requests of OTLP: a resource for each environment. Pure.

Counters become monotonic sums, gauges gauges, and summaries, which are a count and a sum, histograms without buckets.
A name is that of Prometheus without `_total`, which a receiver of Prometheus' kind puts there again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client.core import Metric

from aerodrome.otlp import resources

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.metrics.v1 import metrics_pb2

MOST_POINTS = 1000
"""Of one request."""

LARGEST = 512 * 1024
"""Bytes of one request, unless one point alone is larger. Collectors refuse large ones, 4 MiB often."""

ENVIRONMENT = "environment"
"""The label that becomes a resource."""

UNITS = {"_seconds": "s", "_bytes": "By", "_percent": "%"}

NANO = 1_000_000_000

SCOPE = "aerodrome"

HIGHEST_COUNT = 2**64 - 1
"""What a histogram can count to; whoever puts statistics in may claim more."""

_VALUES = {"counter": ("_total",), "summary": ("_count", "_sum")}
"""What a family's samples are called after its name; those of other kinds are called as it is."""


@dataclass(frozen=True, slots=True)
class Collected:
    """Metrics that rise from the same moment."""

    families: tuple[Metric, ...]
    since: float
    """Since when counters count, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class ExportedSeries:
    """One metric with one set of labels."""

    family: Metric
    labels: Mapping[str, str]
    since: float
    values: dict[str, float]
    """By what a sample's name has after the family's: one value, or count and sum."""


def requests(environment: str | None, found: Sequence[ExportedSeries], *, now: float, instance: str) -> Iterator[bytes]:
    """The requests for one environment, None = for the control plane, in as many pieces as it needs."""
    attributes = resources.attributes(environment, instance)
    for first in range(0, len(found), MOST_POINTS):
        yield from _pieces(found[first : first + MOST_POINTS], attributes, now)


def sorted_out(collected: Iterable[Collected]) -> dict[str | None, list[ExportedSeries]]:
    """The series of each environment; those of None are the control plane's own.

    What has a value that is no number is left out: many a receiver would refuse everything else with it.
    """
    found: dict[str | None, dict[Any, ExportedSeries]] = {}
    for group in collected:
        for family in group.families:
            for sample in family.samples:
                if sample.name == f"{family.name}_created":
                    continue
                labels = {key: value for key, value in sample.labels.items() if key != ENVIRONMENT}
                of_place = found.setdefault(sample.labels.get(ENVIRONMENT), {})
                key = family.name, family.type, tuple(sorted(labels.items()))
                series = of_place.setdefault(key, ExportedSeries(family, labels, group.since, {}))
                series.values[sample.name.removeprefix(family.name)] = sample.value
    return {environment: [*filter(_is_whole, of_place.values())] for environment, of_place in found.items()}


def _is_whole(series: ExportedSeries) -> bool:
    return all(math.isfinite(series.values.get(each, math.nan)) for each in _VALUES.get(series.family.type, ("",)))


def _pieces(found: Sequence[ExportedSeries], attributes: Mapping[str, str], now: float) -> Iterator[bytes]:
    encoded = _request(found, attributes, now).SerializeToString()
    if len(encoded) <= LARGEST or len(found) == 1:
        yield encoded
        return
    middle = len(found) // 2
    yield from _pieces(found[:middle], attributes, now)
    yield from _pieces(found[middle:], attributes, now)


def _request(found: Iterable[ExportedSeries], attributes: Mapping[str, str], now: float) -> ExportMetricsServiceRequest:
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415 - 7 MB, where OTLP is on
    from opentelemetry.proto.metrics.v1 import metrics_pb2  # noqa: PLC0415 - as above

    request = metrics_service_pb2.ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.extend(_key_values(attributes))
    scope = resource.scope_metrics.add()
    scope.scope.name = SCOPE
    made: dict[tuple[str, str], metrics_pb2.Metric] = {}
    for series in found:
        name, moment, since = series.family.name, int(now * NANO), int(series.since * NANO)
        labels, values = _key_values(series.labels), series.values
        key = name, series.family.type
        if key not in made:
            made[key] = scope.metrics.add(name=name, description=series.family.documentation, unit=_unit(name))
        metric = made[key]
        if series.family.type == "counter":
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
            metric.sum.data_points.add(
                attributes=labels, time_unix_nano=moment, start_time_unix_nano=since, as_double=values["_total"]
            )
        elif series.family.type == "summary":
            count = min(int(values["_count"]), HIGHEST_COUNT)
            metric.histogram.aggregation_temporality = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
            metric.histogram.data_points.add(
                attributes=labels, time_unix_nano=moment, start_time_unix_nano=since, count=count,
                sum=values["_sum"], bucket_counts=[count],
            )  # fmt: skip
        else:
            metric.gauge.data_points.add(attributes=labels, time_unix_nano=moment, as_double=values[""])
    return request


def _key_values(attributes: Mapping[str, str]) -> list[KeyValue]:
    from opentelemetry.proto.common.v1 import common_pb2  # noqa: PLC0415 - as above

    return [
        common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(string_value=value)) for key, value in attributes.items()
    ]


def _unit(name: str) -> str:
    """UCUM's word for the unit that a name ends in."""
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
