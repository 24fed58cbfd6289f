"""Metrics of Prometheus' kind as OTLP."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from aerodrome.otlp import points
from aerodrome.otlp.points import Collected
from collector import attributes

SECOND = 1_000_000_000


def exported(*families: Metric) -> list[Any]:
    found = points.sorted_out([Collected(families, since=50.0)]).items()
    encoded = [
        request
        for environment, series in found
        for request in points.requests(environment, series, now=100.0, instance="machine:4560")
    ]
    requests = [ExportMetricsServiceRequest.FromString(each) for each in encoded]
    return [resource for request in requests for resource in request.resource_metrics]


def metrics(resources: Iterable[Any]) -> dict[str, Any]:
    return {metric.name: metric for each in resources for scope in each.scope_metrics for metric in scope.metrics}


def test_each_kind_is_the_kind_that_it_was():
    counter = CounterMetricFamily("finished", "Tasks.", labels=["dag"], created=1.0)
    counter.add_metric(["d"], 7, created=1.0)
    summary = SummaryMetricFamily("run_seconds", "Runs.", labels=["dag"])
    summary.add_metric(["d"], count_value=3, sum_value=1.5)
    gauge = GaugeMetricFamily("memory_percent", "Memory.", labels=["unit"])
    gauge.add_metric(["web"], 12.5)
    found = metrics(exported(counter, summary, gauge))
    [counted] = found["finished"].sum.data_points
    assert found["finished"].sum.is_monotonic
    assert found["finished"].sum.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert (counted.as_double, attributes(counted.attributes)) == (7, {"dag": "d"})
    assert (counted.start_time_unix_nano, counted.time_unix_nano) == (50 * SECOND, 100 * SECOND)
    [timed] = found["run_seconds"].histogram.data_points
    assert (timed.count, timed.sum, list(timed.bucket_counts), list(timed.explicit_bounds)) == (3, 1.5, [3], [])
    assert not timed.HasField("min")
    [measured] = found["memory_percent"].gauge.data_points
    assert (measured.as_double, measured.time_unix_nano) == (12.5, 100 * SECOND)
    assert [found[name].unit for name in ("finished", "run_seconds", "memory_percent")] == ["", "s", "%"]


def test_an_environment_is_a_resource_and_no_label():
    gauge = GaugeMetricFamily("open", "Open.", labels=["environment", "pool"])
    gauge.add_metric(["blue", "default"], 1)
    gauge.add_metric(["green", "default"], 2)
    up = GaugeMetricFamily("up", "Up.", value=1)
    found = {each.get("aerodrome.environment"): each for each in map(of_resource, exported(gauge, up))}
    assert {key: each["service.name"] for key, each in found.items()} == {
        "blue": "blue", "green": "green", None: "aerodrome-control-plane",
    }  # fmt: skip
    assert {each["service.namespace"] for each in found.values()} == {"aerodrome"}
    assert {each["service.instance.id"] for each in found.values()} == {"machine:4560"}
    assert [attributes(point.attributes) for point in metrics(exported(gauge))["open"].gauge.data_points] == [
        {"pool": "default"}
    ]


def of_resource(found: Any) -> dict[str, str]:
    return attributes(found.resource.attributes)


def test_what_is_much_goes_in_pieces_and_a_summary_stays_whole(monkeypatch):
    monkeypatch.setattr(points, "MOST_POINTS", 3)
    summary = SummaryMetricFamily("run_seconds", "Runs.", labels=["dag"])
    for number in range(8):
        summary.add_metric([str(number)], count_value=number, sum_value=number / 2)
    pieces = [metrics([each])["run_seconds"].histogram.data_points for each in exported(summary)]
    assert [len(each) for each in pieces] == [3, 3, 2]
    assert [(point.count, point.sum) for each in pieces for point in each] == [(n, n / 2) for n in range(8)]


def test_numbers_that_no_receiver_takes():
    summary = SummaryMetricFamily("run_seconds", "Runs.", labels=["dag"])
    summary.add_metric(["d"], count_value=1e30, sum_value=1.5)
    summary.add_metric(["e"], count_value=1, sum_value=math.inf)
    gauge = GaugeMetricFamily("open", "Open.", labels=["pool"])
    for number, value in enumerate((1.0, math.inf, -math.inf, math.nan)):
        gauge.add_metric([str(number)], value)
    found = metrics(exported(summary, gauge))
    assert [point.count for point in found["run_seconds"].histogram.data_points] == [2**64 - 1]
    assert [point.as_double for point in found["open"].gauge.data_points] == [1.0]


def test_one_name_of_two_kinds():
    gauge, counter = GaugeMetricFamily("busy", "Busy.", value=1.0), CounterMetricFamily("busy", "Busy.", value=2.0)
    [resource] = exported(gauge, counter)
    assert [each.WhichOneof("data") for each in resource.scope_metrics[0].metrics] == ["gauge", "sum"]


def test_a_request_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(points, "LARGEST", 3000)
    gauge = GaugeMetricFamily("open", "Open.", labels=["pool"])
    for number, length in enumerate((1000, 1000, 1000, 5000, 10)):
        gauge.add_metric([str(number) * length], 1)
    sizes = [(each.ByteSize(), [*metrics([each])["open"].gauge.data_points]) for each in exported(gauge)]
    assert sum(len(found) for _, found in sizes) == 5
    assert all(size <= 3000 or len(found) == 1 for size, found in sizes)
    assert len(sizes) < 5
