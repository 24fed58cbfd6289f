"""Workers follow the load: more come for many tasks, and leave when nothing is left to do."""

from __future__ import annotations

import re

import pytest

import lines
from product import wait_for

TASKS = 11
"""The least that are for three workers."""

CROWD = """
import time
from datetime import datetime
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator
with DAG("{dag}", start_date=datetime(2024, 1, 1), schedule=None):
    for number in range({tasks}):
        PythonOperator(task_id=f"task_{{number}}", python_callable=lambda: time.sleep(6), retries=0)
"""


@pytest.mark.parametrize("shared_environment", lines.ONE, indirect=True)
def test_workers_come_for_a_crowd_and_leave_without_a_lost_task(product, shared_environment):
    name = shared_environment.name
    dag = f"crowd_{name.replace('-', '_')}"
    product.put_dag(dag, CROWD.format(dag=dag, tasks=TASKS))
    run = product.trigger(name, dag)
    assert product.finished(name, dag, run) == "success"
    found = product.rest(name, "GET", f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
    assert [each["try_number"] for each in found] == [1] * TASKS
    assert len({each["hostname"] for each in found}) > 1
    wait_for("one worker is left", lambda: workers(product, name) == 1)
    told = [each["sentence"] for each in product.events(name) if each["kind"] == "SCALING"]
    assert any(re.fullmatch(r"\d+ queued \+ \d+ running, 5 a worker → [23] workers", each) for each in told), told
    assert any("→ 1 worker" in each for each in told), told
    assert any("no task any more" in each for each in told), told
    product.remove_dags(dag)


def workers(product, name):
    units = product.environment(name)["units"]
    return sum(unit["name"].startswith("worker-") for unit in units)
