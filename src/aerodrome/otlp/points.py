"""Metrics as Prometheus' client has them, as requests of OTLP: a resource for each environment. Pure.

Counters become monotonic sums, gauges gauges, and summaries, which are a count and a sum, histograms without buckets.
A name is that of Prometheus without `_total`, which a receiver of Prometheus' kind puts there again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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

ENVIRONMENT = "environment"
"""The label that becomes a resource."""

UNITS = {"_seconds": "s", "_bytes": "By", "_percent": "%"}

NANO = 1_000_000_000

SCOPE = "aerodrome"


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


def requests(collected: Iterable[Collected], *, now: float, instance: str) -> Iterator[bytes]:
    """The requests, in as many pieces as it needs."""
    for environment, found in _sorted_out(collected).items():
        attributes = resources.attributes(environment, instance)
        for first in range(0, len(found), MOST_POINTS):
            yield _request(found[first : first + MOST_POINTS], attributes, now).SerializeToString()


def _sorted_out(collected: Iterable[Collected]) -> dict[str | None, list[ExportedSeries]]:
    """The series of each environment; those of None are the control plane's own."""
    found: dict[str | None, dict[Any, ExportedSeries]] = {}
    for group in collected:
        for family in group.families:
            for sample in family.samples:
                if sample.name.endswith("_created"):
                    continue
                labels = {key: value for key, value in sample.labels.items() if key != ENVIRONMENT}
                of_place = found.setdefault(sample.labels.get(ENVIRONMENT), {})
                key = family.name, tuple(sorted(labels.items()))
                series = of_place.setdefault(key, ExportedSeries(family, labels, group.since, {}))
                series.values[sample.name.removeprefix(family.name)] = sample.value
    return {environment: [*of_place.values()] for environment, of_place in found.items()}


def _request(found: Iterable[ExportedSeries], attributes: Mapping[str, str], now: float) -> ExportMetricsServiceRequest:
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415 - 7 MB, where OTLP is on
    from opentelemetry.proto.metrics.v1 import metrics_pb2  # noqa: PLC0415 - as above

    request = metrics_service_pb2.ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.extend(_key_values(attributes))
    scope = resource.scope_metrics.add()
    scope.scope.name = SCOPE
    made: dict[str, metrics_pb2.Metric] = {}
    for series in found:
        name, moment, since = series.family.name, int(now * NANO), int(series.since * NANO)
        labels, values = _key_values(series.labels), series.values
        if name not in made:
            made[name] = scope.metrics.add(name=name, description=series.family.documentation, unit=_unit(name))
        metric = made[name]
        if series.family.type == "counter":
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
            metric.sum.data_points.add(
                attributes=labels, time_unix_nano=moment, start_time_unix_nano=since, as_double=values["_total"]
            )
        elif series.family.type == "summary":
            count = int(values["_count"])
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
