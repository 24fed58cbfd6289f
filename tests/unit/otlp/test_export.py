"""The thread that exports metrics."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from aerodrome.otlp import outbox as outboxes
from aerodrome.otlp import points
from aerodrome.otlp.export import MetricsExport
from aerodrome.otlp.outbox import Outbox
from aerodrome.otlp.points import Collected
from collector import attributes
from waiting import wait_for


class Taking:
    """In the place of a collector: it takes everything."""

    url = "http://collector"

    def __init__(self) -> None:
        self.posted: list[bytes] = []

    def post(self, body: bytes) -> bytes:
        self.posted.append(body)
        return b""

    def close(self) -> None:
        pass

    def environments(self) -> set[str | None]:
        found = [ExportMetricsServiceRequest.FromString(each).resource_metrics for each in self.posted]
        return {attributes(one.resource.attributes).get("aerodrome.environment") for each in found for one in each}


def collected(*environments: str) -> list[Collected]:
    counter = CounterMetricFamily("finished", "Tasks.", labels=["environment"])
    for each in environments:
        counter.add_metric([each], 7)
    return [Collected((counter, GaugeMetricFamily("up", "Up.", value=1)), since=1.0)]


def exporting(collect: Any, taking: Taking) -> MetricsExport:
    return MetricsExport(collect, Outbox(taking), every=3600.0, instance="i")


def test_what_cannot_be_written_of_one_environment_holds_up_no_other(monkeypatch):
    taking = Taking()
    outbox = Outbox(taking)
    export = MetricsExport(lambda: collected("blue", "green"), outbox, every=3600.0, instance="i")
    real = points.requests

    def odd_at_blue(environment: str | None, *given: Any, **named: Any) -> Any:
        yield b""
        if environment == "blue":
            raise KeyError("_count")
        yield from real(environment, *given, **named)

    monkeypatch.setattr(points, "requests", odd_at_blue)
    export.once()
    outbox.send()
    assert taking.environments() == {"green", None}
    assert outbox.status.dropped == 1
    assert export.troubles() == ["Metrics of blue are not exported: KeyError. The log otlp has more."]
    monkeypatch.setattr(points, "requests", real)
    export.once()
    assert export.troubles() == []


def test_what_cannot_be_collected_is_told_until_it_can_be():
    answers: list[Any] = [ValueError("odd"), collected("blue")]

    def collect() -> list[Collected]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    export = exporting(collect, Taking())
    export.once()
    assert ["ValueError" in each for each in export.troubles()] == [True]
    export.once()
    assert export.troubles() == []


@pytest.mark.filterwarnings("error")
def test_an_error_of_the_thread_is_a_trouble_until_its_work_is_done_again(monkeypatch):
    taking = Taking()
    export = exporting(lambda: collected("blue"), taking)
    real, failing = MetricsExport.once, [True]

    def once(self: MetricsExport) -> None:
        if failing:
            raise RuntimeError("unforeseen")
        real(self)

    monkeypatch.setattr(MetricsExport, "once", once)
    export.start()
    try:
        [sentence] = wait_for("the trouble", export.troubles)
        assert "unforeseen" in sentence
        failing.clear()
        wait_for("the next round", lambda: not export.troubles())
        assert taking.environments() == {"blue", None}
    finally:
        export.close()


def test_who_sends_too_much_loses_what_is_his_alone(monkeypatch):
    monkeypatch.setattr(outboxes, "MOST_WAITING", 4000)
    monkeypatch.setattr(points, "MOST_POINTS", 10)
    gauge = GaugeMetricFamily("open", "Open.", labels=["environment", "pool"])
    gauge.add_metric(["first", "p"], 1)
    for number in range(1000):
        gauge.add_metric(["loud", str(number)], 1)
    gauge.add_metric(["last", "p"], 1)
    taking = Taking()
    outbox = Outbox(taking)
    MetricsExport(lambda: [Collected((gauge,), since=1.0)], outbox, every=3600.0, instance="i").once()
    outbox.send()
    assert taking.environments() == {"first", "loud", "last"}
    assert outbox.status.dropped > 0
