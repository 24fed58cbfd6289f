"""What Prometheus scrapes, read by its own parser."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from protocol.api.behind import SCRAPE_TOKEN, Behind
from waiting import wait_for


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def scrape(port: int, token: str | None = SCRAPE_TOKEN) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels; a name or labels that come twice fail."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def total(name: str, unit: str = "Count", namespace: str = "AmazonMWAA", minute: float = 6000.0, **given: Any) -> Any:
    dimensions = {"Environment": "demo", **given}
    return {"namespace": namespace, "name": name, "dimensions": dimensions, "unit": unit, "count": 4.0, "sum": 6000.0,
            "minute": minute, "last": 1500.0, "since": 100.0}  # fmt: skip


def test_its_own_parser_reads_it(behind: Behind, port: int, mwaa: Any, creation: dict[str, Any]) -> None:
    mwaa.create_environment(**creation)
    odd = {"DAG Filename": 'a"b\\\n', "HostName": "h"}
    behind.totals = [
        total("TaskInstanceFinished", DAG="d", Task="t", State="success"),
        total("TaskInstanceFinished", DAG="e", Task="t", State="success"),
        total("QueuedTasks", Function="Executor"),
        total("QueuedTasks", namespace="AWS/MWAA", Queue="default"),
        total("CPUUtilization", "Percent", "AWS/MWAA", Cluster="Scheduler"),
        total("DAGDurationSuccess", "Milliseconds", DAG="d"),
        total("DAGFileProcessingLastRunSecondsAgo", "Seconds", **odd),
        total("OpenSlots", minute=10.0, Function="Executor"),
    ]
    status, text = scrape(port)
    found = samples(text)
    demo = ("environment", "demo")
    assert status == 200
    assert found["aerodrome_environment_status", (demo, ("status", "CREATING"))] == 1
    finished = (("dag", "d"), demo, ("state", "success"), ("task", "t"))
    assert found["aerodrome_airflow_task_instance_finished_total", finished] == 6000
    assert found["aerodrome_airflow_queued_tasks", (demo, ("function", "Executor"))] == 1500
    assert found["aerodrome_mwaa_queued_tasks", (demo, ("queue", "default"))] == 1500
    assert found["aerodrome_mwaa_cpu_utilization_percent", (("cluster", "Scheduler"), demo)] == 1500
    assert found["aerodrome_airflow_dag_duration_success_seconds_sum", (("dag", "d"), demo)] == 6
    assert found["aerodrome_airflow_dag_duration_success_seconds_count", (("dag", "d"), demo)] == 4
    name = "aerodrome_airflow_dag_file_processing_last_run_seconds_ago_seconds"
    assert found[name, (("dag_filename", odd["DAG Filename"]), demo, ("host_name", "h"))] == 1500
    assert not [key for key in found if "open_slots" in key[0]]  # nobody has measured it for long
    assert found["aerodrome_api_answers_total", (("service", "airflow"), ("status", "2xx"))] == 1
    assert found["aerodrome_log_store_up", ()] == 1
    assert found["aerodrome_log_store_points_left_out_total", ()] == 7
    assert found["aerodrome_control_plane_process_resident_memory_bytes", ()] > 0


@pytest.mark.parametrize("token", [None, "", "x", SCRAPE_TOKEN[:-1]])
def test_nobody_scrapes_without_the_token(port: int, token: str | None) -> None:
    status, text = scrape(port, token)
    assert status == 401
    assert "scrape-token" in text


def test_the_control_plane_is_shown_while_the_log_store_is_away(behind: Behind, port: int) -> None:
    behind.totals = OSError("away")
    status, text = scrape(port)
    assert (status, samples(text)["aerodrome_log_store_up", ()]) == (200, 0)


PROMETHEUS = shutil.which("prometheus")


@pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus on PATH (Debian has a package of that name)")
def test_prometheus_itself_scrapes_with_the_token_in_the_file(behind: Behind, port: int, tmp_path: Path) -> None:
    behind.totals = [total("TaskInstanceFinished", DAG="d", Task="t", State="success")]
    token, own = tmp_path / "scrape-token", free_port()
    token.write_text(SCRAPE_TOKEN)
    scraped = {
        "job_name": "aerodrome", "scrape_interval": "1s", "authorization": {"credentials_file": str(token)},
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
    }  # fmt: skip
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"scrape_configs": [scraped]}))  # which is YAML too
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{own}",
    ]

    def asked() -> list[str]:
        query = urlencode({"query": "aerodrome_airflow_task_instance_finished_total"})
        try:
            with urlopen(f"http://127.0.0.1:{own}/api/v1/query?{query}", timeout=10) as answer:
                return [each["value"][1] for each in json.load(answer)["data"]["result"]]
        except OSError:
            return []

    with subprocess.Popen([str(PROMETHEUS), *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            assert wait_for("what Prometheus has scraped", asked) == ["6000"]
        finally:
            process.kill()
