"""A real HTTP server in the place of a collector: away, busy, broken, silent, or well."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily

from aerodrome.api.prometheus import Exposition
from aerodrome.otlp import collector as client
from aerodrome.otlp import outbox
from aerodrome.otlp.addresses import CollectorAddress
from aerodrome.otlp.collector import METRICS, Collector
from aerodrome.otlp.export import MetricsExport
from aerodrome.otlp.outbox import Outbox
from aerodrome.otlp.points import Collected
from collector import Behaviour, TestCollector, attributes, request_with_spans, started
from waiting import wait_for


@pytest.fixture
def collector() -> Iterator[TestCollector]:
    with started() as made:
        yield made


def exporting(outbox: Outbox) -> MetricsExport:
    """An export of one metric, again and again."""
    up = GaugeMetricFamily("up", "Up.", value=1)
    return MetricsExport(lambda: [Collected((up,), since=1.0)], outbox, every=0.05, instance="m:1")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(outbox, "LONGEST_PAUSE", 0.02)


def test_metrics_arrive_with_the_headers_of_the_file(collector: TestCollector, tmp_path) -> None:
    headers = tmp_path / "headers"
    headers.touch(0o600)
    headers.write_text("Authorization: Bearer the-secret\n")
    export = exporting(Outbox(Collector(CollectorAddress(collector.endpoint + "/", headers), METRICS)))
    export.start()
    wait_for("metrics come again and again", lambda: len(collector.received) >= 3)
    export.close()
    received = collector.received[0]
    assert (received.path, received.headers["authorization"]) == ("/v1/metrics", "Bearer the-secret")
    assert [metric.name for _, metric in collector.metrics()][:2] == ["up", "up"]
    assert export.troubles() == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_not_taken_now_is_sent_again(collector: TestCollector, status: int) -> None:
    collector.behaviour = Behaviour(status)
    box = Outbox(Collector(collector.address, "/v1/traces"))
    box.put(request_with_spans("a"))
    assert box.send() > 0
    assert f"answers {status}" in str(box.status.error)
    collector.behaviour = Behaviour()
    wait_for("it is taken", lambda: box.send() == 0.0 and box.status.sent == 1)
    assert box.status.error is None
    assert {span.name for _, span in collector.spans()} == {"a"}


def test_a_busy_collector_says_when_to_come_again(collector: TestCollector) -> None:
    box = Outbox(Collector(collector.address, "/v1/traces"))
    for wish, least, most in (("30", 29, 30), ("100000", 299, 300), ("Wed, 21 Oct 2026 07:28:00 GMT", 0, 4)):
        collector.behaviour = Behaviour(429, (("Retry-After", wish),))
        box = Outbox(Collector(collector.address, "/v1/traces"))
        box.put(request_with_spans("a"))
        assert least < box.send() <= most


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 500])
def test_what_is_never_taken_is_dropped_and_counted(collector: TestCollector, status: int) -> None:
    collector.behaviour = Behaviour(status, body=b"x" * 100_000)
    box = Outbox(Collector(collector.address, "/v1/traces"))
    for name in ("a", "b"):
        box.put(request_with_spans(name))
        assert box.send() == 0.0
    assert (box.status.sent, box.status.dropped) == (0, 2)
    assert f"{collector.endpoint}/v1/traces answers {status}" in str(box.status.error)


@pytest.mark.usefixtures("quick")
def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
    box = Outbox(Collector(CollectorAddress(endpoint, None), METRICS))
    export = exporting(box)
    export.start()
    wait_for("a person is told", export.troubles)
    assert "does not answer: Connection refused" in export.troubles()[0]
    export.close()


@pytest.mark.usefixtures("quick")
def test_a_collector_that_hangs_holds_up_itself_alone(
    collector: TestCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.2)
    monkeypatch.setattr(outbox, "MOST_WAITING", 1000)
    collector.hangs.set()
    box = Outbox(Collector(collector.address, METRICS))
    export = exporting(box)
    export.start()
    wait_for("what waits is bounded", lambda: box.status.dropped > 2)
    assert "timed out" in export.troubles()[0]
    collector.hangs.clear()
    collector.goes_on.set()
    wait_for("it is well again", lambda: box.status.sent and not export.troubles())
    export.close()


@pytest.mark.usefixtures("quick")
def test_a_headers_file_that_is_gone_for_a_while_loses_nothing(collector: TestCollector, tmp_path) -> None:
    headers = tmp_path / "headers"
    box = Outbox(Collector(CollectorAddress(collector.endpoint, headers), "/v1/traces"))
    box.put(request_with_spans("a"))
    assert box.send() > 0
    assert "cannot be read" in str(box.status.error)
    headers.touch(0o600)
    wait_for("it is sent", lambda: box.send() == 0.0 and box.status.sent == 1)


def test_what_leaves_is_what_prometheus_is_shown(collector: TestCollector) -> None:
    """And a look that fails is one look alone."""
    outcomes: list[Any] = [ValueError("the ledger is away"), [SimpleNamespace(name="demo", status="AVAILABLE")]]

    def environments() -> Any:
        found = outcomes[0] if len(outcomes) == 1 else outcomes.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    finished = {
        "namespace": "AmazonMWAA", "name": "TaskInstanceFinished", "unit": "Count", "minute": 60.0,
        "dimensions": {"Environment": "demo", "DAG": "d"}, "count": 4.0, "sum": 9.0, "last": 1.0, "since": 30.0,
    }  # fmt: skip
    box = Outbox(Collector(collector.address, METRICS))
    exposition = Exposition(
        token="t",
        environments=environments,
        totals=lambda: {"series": [finished], "left_out": 0},
        exported=lambda: box.status,
    )
    exposition.count("airflow", 200)
    export = MetricsExport(exposition.collected, box, every=0.05, instance="m:1")
    export.start()
    wait_for("metrics come", lambda: len(collector.received) > 1)
    export.close()
    found = {(each.get("aerodrome.environment"), metric.name): metric for each, metric in collector.metrics()}
    [counted] = found["demo", "aerodrome_airflow_task_instance_finished"].sum.data_points
    assert (counted.as_double, counted.start_time_unix_nano) == (9, 30 * 10**9)
    assert attributes(counted.attributes) == {"dag": "d"}
    [status] = found["demo", "aerodrome_environment_status"].gauge.data_points
    assert (status.as_double, attributes(status.attributes)) == (1, {"status": "AVAILABLE"})
    assert found[None, "aerodrome_log_store_up"].gauge.data_points[0].as_double == 1
    assert found[None, "aerodrome_api_answers"].sum.data_points[0].as_double == 1
    assert found[None, "aerodrome_control_plane_process_resident_memory_bytes"].gauge.data_points[0].as_double > 0
    batches = found[None, "aerodrome_otlp_batches"].sum.data_points
    assert {attributes(point.attributes)["outcome"] for point in batches} == {"sent", "dropped"}
    page = exposition._page().decode()
    assert 'aerodrome_airflow_task_instance_finished_total{dag="d",environment="demo"} 9.0' in page
    assert 'aerodrome_otlp_batches_total{outcome="sent"}' in page
