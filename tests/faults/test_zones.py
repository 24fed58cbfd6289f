"""A whole zone of an environment is killed: the other goes on, no task is lost, and balance returns with the zone."""

from __future__ import annotations

import pytest

from aerodrome.backends.local import groups, leftovers
from aerodrome.backends.local import paths as local_paths
from aerodrome.settings import Paths
from matrices import EVERY_FAULT
from product import wait_for

pytestmark = EVERY_FAULT
"""With two of each it takes two minutes. `make test` has integration/backends/test_zoned_cells with real cells."""

NAME = "twins"
TASKS = 8
BOTH = {"scheduler", "scheduler-2", "web", "web-2", "execution", "execution-2", "worker-1", "worker-2"}

CROWD = """
import time
from datetime import datetime, timedelta
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:  # other environments of the bucket are of Airflow 2
    from airflow.operators.python import PythonOperator
with DAG("spread", start_date=datetime(2024, 1, 1), schedule=None):
    for number in range({tasks}):
        PythonOperator(
            task_id=f"task_{{number}}", python_callable=lambda: time.sleep(20), retries=2,
            retry_delay=timedelta(seconds=1),
        )
with DAG("short", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(task_id="short", python_callable=lambda: None)
"""


def ready(product) -> dict[str, int]:
    return {unit["name"]: unit["pid"] for unit in product.environment(NAME)["units"] if unit["state"] == "ready"}


@pytest.mark.timeout(900)
def test_a_lost_zone_takes_nothing_with_it(mortal_product):
    product = mortal_product
    product.put_dag("spread", CROWD.format(tasks=TASKS))
    product.create(NAME, Schedulers=2, MinWebservers=2, MinWorkers=2, MaxWorkers=4)
    product.wait_until(NAME, "AVAILABLE")
    wait_for("both zones are ready", lambda: ready(product).keys() >= BOTH)
    wait_for("the DAGs are listed", lambda: product.listed(NAME, "spread") and product.listed(NAME, "short"))

    def tasks():
        return product.rest(NAME, "GET", f"/dags/spread/dagRuns/{run}/taskInstances")["task_instances"]

    def is_under_way():
        busy = {each["hostname"].partition(".")[0] for each in tasks() if each["state"] == "running"}
        return busy >= {"worker-1", "worker-2"}

    run = product.trigger(NAME, "spread")
    wait_for("both workers run tasks", is_under_way)
    before = ready(product)
    lose_first_zone(product)

    again = product.trigger(NAME, "short")
    assert product.finished(NAME, "short", again) == "success"
    assert product.finished(NAME, "spread", run) == "success"
    ended = {each["task_id"]: each["try_number"] for each in tasks()}
    assert {first_host(product, run, task) for task, tries in ended.items() if tries > 1} == {"worker-1"}
    assert product.get(NAME)["Status"] == "AVAILABLE"

    wait_for("balance is back", lambda: balanced(product))
    after = ready(product)
    assert {name: after[name] for name in ("scheduler-2", "web-2", "execution-2", "worker-2")} == {
        name: before[name] for name in ("scheduler-2", "web-2", "execution-2", "worker-2")
    }
    told = [each["kind"] for each in product.run_json("events", NAME)]
    assert [kind for kind in told if kind.startswith("ZONE_")] == ["ZONE_LOST", "ZONE_RETURNED"]
    product.delete(NAME)


def first_host(product, run: str, task: str) -> str:
    """The worker that had the first try of a task."""
    tries = product.rest(NAME, "GET", f"/dags/spread/dagRuns/{run}/taskInstances/{task}/tries")["task_instances"]
    return str(min(tries, key=lambda each: each["try_number"])["hostname"]).partition(".")[0]


def lose_first_zone(product) -> None:
    """SIGKILL everything of the cell in the first zone: the cell, its nursery, units, their tasks."""
    paths = Paths(product.data)
    environment = local_paths.of(paths, NAME, product.environment(NAME)["identifier"])
    revision = next(int(each.name) for each in environment.run.iterdir() if each.name.isdecimal())
    cell = environment.cell(revision)
    leftovers.end([cell], None, top=groups.known(paths))


def balanced(product) -> bool:
    workers = {name for name in ready(product) if name.startswith("worker-")}
    return workers == {"worker-1", "worker-2"} and ready(product).keys() >= BOTH
