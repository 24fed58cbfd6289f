"""Metrics and traces of a whole Aerodrome with a real Airflow, as a collector gets them.

It needs an Aerodrome of its own, so only `make lines` runs it. `make test` has the parts: the configuration of units
(`unit/airflow/test_units`), the sidecar (`integration/sidecar/test_traces`), the export of metrics
(`integration/otlp/test_collector`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import collector
import lines
import product as products
from aerodrome.airflow import options
from aerodrome.release import airflow_home
from collector import TestCollector
from product import Product
from waiting import wait_for

pytestmark = pytest.mark.skipif(not lines.ALL, reason="make lines runs it: it needs an Aerodrome of its own")

VERSIONS = [version for version in lines.ONE if options.has_traces(version)]

DAG = """
import os
from datetime import datetime
from airflow import DAG
from airflow.providers.standard.operators.python import PythonOperator
from opentelemetry import trace

def look():
    with trace.get_tracer("of-the-user").start_as_current_span("own"):
        pass
    assert "the-secret" not in str(dict(os.environ))
    for path in {hidden}:
        try:
            open(path).close()
        except PermissionError:
            continue
        raise AssertionError(path)

with DAG("traced", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(task_id="look", python_callable=look)
"""


@pytest.fixture
def receiver() -> Iterator[TestCollector]:
    with collector.started() as made:
        yield made


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    path = tmp_path / "headers"
    path.touch(0o600)
    path.write_text("Authorization: Bearer the-secret\n")
    return path


@pytest.fixture
def traced(versions: Path, receiver: TestCollector, headers: Path) -> Iterator[Product]:
    variables = {
        "AERODROME_OTLP_ENDPOINT": receiver.endpoint,
        "AERODROME_OTLP_HEADERS_FILE": str(headers),
        "AERODROME_OTLP_INTERVAL": "2",
    }
    with products.started(versions, **variables) as made:
        yield made


@pytest.mark.parametrize("version", VERSIONS)
def test_spans_of_tasks_and_metrics_of_environments_reach_the_collector(
    traced: Product, receiver: TestCollector, headers: Path, version: str
) -> None:
    hidden = [str(headers), str(traced.data / "run" / "collector.json")]
    traced.put_dag("traced", DAG.format(hidden=hidden if os.geteuid() == 0 else []))
    name = "traced-" + version.replace(".", "-")
    is_primed = version == lines.MAIN[0] and airflow_home.can_be_shown()
    if is_primed:
        wait_for("Airflow is imported for creations", lambda: version in traced.status()["primed"])
    traced.create(name, version)
    traced.wait_until(name, "AVAILABLE")
    if is_primed:
        assert refusals(traced) == []
    run = traced.trigger(name, "traced")
    assert traced.finished(name, "traced", run) == "success"

    def spans() -> dict[str, tuple[str, str]]:
        return {span.name: (found["service.name"], found["aerodrome.environment"]) for found, span in receiver.spans()}

    wanted = {"dag_run.traced", "task_run.look", "worker.look", "own"}
    wait_for("the spans of the run", lambda: wanted <= spans().keys())
    assert {spans()[each] for each in wanted} == {(name, name)}
    [trace] = {span.trace_id for _, span in receiver.spans() if span.name in wanted}
    assert trace

    def metrics() -> set[tuple[str, str]]:
        return {(found["service.name"], metric.name) for found, metric in receiver.metrics()}

    expected = {
        (name, "aerodrome_airflow_task_instance_finished"),
        (name, "aerodrome_environment_status"),
        ("aerodrome-control-plane", "aerodrome_control_plane_process_resident_memory_bytes"),
    }
    wait_for("metrics of the environment", lambda: expected <= metrics())
    assert {each.headers["authorization"] for each in receiver.received} == {"Bearer the-secret"}
    assert traced.status()["troubles"] == []


def refusals(product: Product) -> list[str]:
    """Why cells were no forks of the process that has imported Airflow."""
    told = [json.loads(line) for line in (product.data / "logs" / "control-plane.log").read_text().splitlines()]
    return [each["reason"] for each in told if each.get("event") == "not primed"]
