"""A chain of trivial tasks, and the time that it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.ours import wait_for

LENGTH = 40
"""Tasks of the chain."""

A_CHAIN = """
from datetime import datetime
from airflow.sdk import DAG
from airflow.providers.standard.operators.python import PythonOperator
with DAG("chain", start_date=datetime(2024, 1, 1), schedule=None):
    before = None
    for number in range({length}):
        task = PythonOperator(task_id=f"t{{number}}", python_callable=lambda: None)
        if before is not None:
            before >> task
        before = task
"""

Rest = Callable[..., tuple[int, Any]]


def begin(rest: Rest, dag: str) -> str:
    """Start a run of the DAG as soon as Airflow knows it; its id."""
    wait_for(lambda: rest("GET", f"/dags/{dag}")[0] == 200)
    rest("PATCH", f"/dags/{dag}", {"is_paused": False})
    status, run = rest("POST", f"/dags/{dag}/dagRuns", {"logical_date": None})
    if status != 200:  # Airflow 2 takes no run without a date, and finds one itself
        status, run = rest("POST", f"/dags/{dag}/dagRuns", {})
    assert status == 200, run
    return str(run["dag_run_id"])


def run(rest: Rest) -> float:
    """Wall time of one run of the chain, from its start to its end as Airflow recorded them."""
    identifier = begin(rest, "chain")

    def ended() -> Any:
        found = rest("GET", f"/dags/chain/dagRuns/{identifier}")[1]
        return found if found and found["state"] in {"success", "failed"} else None

    found = wait_for(ended, every=0.5)
    assert found["state"] == "success", found
    return float(found["duration"])
