"""An environment that hibernates, on each line: it ends what runs, costs nothing, and is there for whoever needs it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

import lines
from product import BUCKET, wait_for
from waiting import LIMIT

pytestmark = pytest.mark.timeout(4 * LIMIT)  # it stops and starts a whole environment twice

DAG = """
import time
from datetime import datetime
import boto3
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

def wait():
    s3 = boto3.client("s3")
    while not s3.list_objects_v2(Bucket="{bucket}", Prefix="go/{name}").get("KeyCount"):
        time.sleep(0.2)

with DAG("{name}", start_date=datetime(2026, 1, 1), schedule=None, catchup=False):
    PythonOperator(task_id="wait", python_callable=wait)
"""


@pytest.fixture
def environment(product, shared_environment):
    yield shared_environment.name
    product.run("wake", shared_environment.name)


def rests(product, environment: str) -> str:
    return str(product.environment(environment)["hibernation"]["rest"])


def processes(product, environment: str) -> dict[str, psutil.Process]:
    """Its units' processes, each known by its start time too: another may get its number."""
    units = product.environment(environment)["units"]
    return {unit["name"]: psutil.Process(unit["pid"]) for unit in units if unit["pid"] is not None}


@pytest.mark.parametrize("shared_environment", lines.ONE, indirect=True)
def test_it_ends_what_runs_and_costs_nothing_and_wakes_for_whoever_needs_it(product, environment):
    dag = f"sleeper_{environment}"
    product.put_dag(dag, DAG.format(bucket=BUCKET, name=dag))
    first = product.trigger(environment, dag)
    wait_for("the task runs", lambda: product.task(environment, dag, first, "wait")["state"] == "running")
    refused = product.run("hibernate", environment, check=False)
    assert refused.returncode != 0
    assert re.search(r"\d+ tasks?, \d+ runs? not done", refused.stderr)  # others may use the environment too
    assert "--wait" in refused.stderr
    assert rests(product, environment) == "AWAKE"

    before = processes(product, environment)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(product.run, "hibernate", environment, "--wait")
        try:
            wait_for("it waits for the task", lambda: waiting.done() or rests(product, environment) == "WAITING")
            assert product.task(environment, dag, first, "wait")["state"] == "running"
        finally:
            product.s3.put_object(Bucket=BUCKET, Key=f"go/{dag}")
        waiting.result()
    assert rests(product, environment) == "HIBERNATED"
    assert product.get(environment)["Status"] == "AVAILABLE"
    assert "hibernated" in product.run("status").stdout
    assert set(processes(product, environment)) == {"sidecar"}
    assert not [name for name, process in before.items() if name != "sidecar" and process.is_running()]

    second = product.trigger(environment, dag)  # its first REST call wakes it
    assert product.finished(environment, dag, second) == "success"
    runs = product.rest(environment, "GET", f"/dags/{dag}/dagRuns")["dag_runs"]
    assert {run["dag_run_id"]: run["state"] for run in runs} == {first: "success", second: "success"}
    assert {product.task(environment, dag, run, "wait")["try_number"] for run in (first, second)} == {1}

    check_that_a_dag_object_wakes_it(product, environment)
    kinds = [line.split()[2] for line in product.run("events", environment).stdout.splitlines()[1:] if line[:2] == "20"]
    assert {"HIBERNATION_REFUSED", "HIBERNATED", "WAKING"} <= {*kinds}
    product.remove_dags(dag)


def check_that_a_dag_object_wakes_it(product, environment: str) -> None:
    product.run("hibernate", environment, "--wait")
    later = f"later_{environment}"
    product.put_dag(later, DAG.format(bucket=BUCKET, name=later))
    wait_for("a DAG object wakes it", lambda: rests(product, environment) == "AWAKE")
    wait_for("the DAG is listed", lambda: product.listed(environment, later))
    product.remove_dags(later)
