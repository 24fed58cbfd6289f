"""What an environment costs that hibernates, and how soon it works again."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from typing import Any

import psutil
from rich.console import Console

from benchmarks.consumption import pss
from benchmarks.ours import Installation, wait_for
from benchmarks.table import Row

NAME = "hibernation"

ONE_TASK = """
from datetime import datetime
from airflow.sdk import DAG, task
with DAG("sleeper", start_date=datetime(2024, 1, 1), schedule=None):
    @task
    def only(): ...
    only()
"""

ROUNDS = 3

QUEUE = "redis-server"


def hibernation(ours: Installation, console: Console) -> list[Row]:
    """Airflow's processes and all memory of a hibernated environment; a REST call that wakes it → its task begins."""
    ours.create(NAME)
    ours.put_dag("sleeper", ONE_TASK)
    wait_for(lambda: ours.rest(NAME, "GET", "/dags/sleeper")[0] == 200)
    ours.rest(NAME, "PATCH", "/dags/sleeper", {"is_paused": False})
    seconds, others, memory = [], 0, 0.0
    for _ in range(ROUNDS):
        ours.operate("POST", f"/environments/{NAME}/hibernate?wait=true")
        wait_for(lambda: ours.status(NAME)["hibernation"]["rest"] == "HIBERNATED")
        found = _processes(ours)
        others = max(others, sum(_is_airflow_s(each, ours) for each in found))
        memory = max(memory, pss(found))
        seconds.append(_woken(ours))
    console.print("  " + ", ".join(f"{each:.2f} s" for each in seconds) + f"; the last wake: {ours.phases(NAME)}")
    ours.delete(NAME)
    return [
        Row(what="hibernated: processes of Airflow and its queue", ours=others, stock=None, unit="", bar=0),
        Row(what="hibernated: memory (summed PSS)", ours=memory, stock=None, unit="MB", bar=None),
        Row(what="REST call that wakes → its task begins", ours=sorted(seconds)[1], stock=None, unit="s", bar=5),
    ]


def _woken(ours: Installation) -> float:
    """Seconds from a call that starts a run until the run's task begins, by Airflow's own record."""
    called = time.time()
    status, run = ours.rest(NAME, "POST", "/dags/sleeper/dagRuns", {"logical_date": None})
    assert status == 200, run
    path = f"/dags/sleeper/dagRuns/{run['dag_run_id']}/taskInstances/only"

    def succeeded() -> Any:
        status, found = ours.rest(NAME, "GET", path)
        return found if status == 200 and found["state"] == "success" else None

    ended = wait_for(succeeded)
    return datetime.fromisoformat(ended["start_date"]).timestamp() - called


def _is_airflow_s(process: psutil.Process, ours: Installation) -> bool:
    """Whether Airflow's own interpreter runs it, or it is the queue; the sidecar and the cell that keeps it stay."""
    return bool(process.name() == QUEUE or process.cmdline()[:1] == [str(ours.python)])


def _processes(ours: Installation) -> list[psutil.Process]:
    """Every process of the environment: its cells, and all below."""
    found: list[psutil.Process] = []
    for path in (ours.settings.paths.run / ours.status(NAME)["identifier"]).glob("**/cell.pid"):
        with contextlib.suppress(psutil.NoSuchProcess):  # an ended cell has left its file
            cell = psutil.Process(int(path.read_text()))
            found += [cell, *cell.children(recursive=True)]
    return found
