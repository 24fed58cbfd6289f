"""A whole zone of an environment is killed: the other goes on, no task is lost, and balance returns with the zone."""

from __future__ import annotations

import contextlib

import pytest

from aerodrome.backends.local import groups, leftovers
from aerodrome.backends.local import paths as local_paths
from aerodrome.errors import RetryError
from aerodrome.settings import Paths
from lines import MAIN
from matrices import EVERY_FAULT
from product import wait_for

pytestmark = EVERY_FAULT
"""With two of each it takes two minutes. `make test` has integration/backends/test_zoned_cells with real cells."""

TASKS = 8


def first(version: str) -> set[str]:
    """The units of the first zone that the second has, too."""
    return {"scheduler", "web", "worker-1", *(() if version.startswith("2.") else ("execution",))}


def second(version: str) -> set[str]:
    return {unit.removesuffix("-1") + "-2" for unit in first(version)}


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


def ready(product, name: str) -> dict[str, int]:
    return {unit["name"]: unit["pid"] for unit in product.environment(name)["units"] if unit["state"] == "ready"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", MAIN)
def test_a_lost_zone_takes_nothing_with_it(mortal_product, version):
    product, name = mortal_product, f"twins-{version.partition('.')[0]}"
    both = first(version) | second(version)
    product.put_dag("spread", CROWD.format(tasks=TASKS))
    product.create(name, version, Schedulers=2, MinWebservers=2, MinWorkers=2, MaxWorkers=4)
    product.wait_until(name, "AVAILABLE")
    wait_for("both zones are ready", lambda: ready(product, name).keys() >= both)
    wait_for("the DAGs are listed", lambda: product.listed(name, "spread") and product.listed(name, "short"))

    def tasks():
        return product.rest(name, "GET", f"/dags/spread/dagRuns/{run}/taskInstances")["task_instances"]

    def is_under_way():
        busy = {each["hostname"].partition(".")[0] for each in tasks() if each["state"] == "running"}
        return busy >= {"worker-1", "worker-2"}

    run = product.trigger(name, "spread")
    wait_for("both workers run tasks", is_under_way)
    before = ready(product, name)
    lose_first_zone(product, name)

    again = product.trigger(name, "short")
    assert product.finished(name, "short", again) == "success"
    assert product.finished(name, "spread", run) == "success"
    ended = {each["task_id"]: each["try_number"] for each in tasks()}
    assert {first_host(product, name, run, task) for task, tries in ended.items() if tries > 1} == {"worker-1"}
    assert product.get(name)["Status"] == "AVAILABLE"

    wait_for("balance is back", lambda: is_balanced(product, name, both))
    after = ready(product, name)
    assert {unit: after[unit] for unit in second(version)} == {unit: before[unit] for unit in second(version)}
    told = [each["kind"] for each in product.run_json("events", name)]
    assert [kind for kind in told if kind.startswith("ZONE_")] == ["ZONE_LOST", "ZONE_RETURNED"]
    product.delete(name)


def first_host(product, name: str, run: str, task: str) -> str:
    """The worker that had the first try of a task."""
    tries = product.rest(name, "GET", f"/dags/spread/dagRuns/{run}/taskInstances/{task}/tries")["task_instances"]
    return str(min(tries, key=lambda each: each["try_number"])["hostname"]).partition(".")[0]


def lose_first_zone(product, name: str) -> None:
    """SIGKILL everything of the cell in the first zone: the cell, its nursery, units, their tasks."""
    paths = Paths(product.data)
    environment = local_paths.of(paths, name, product.environment(name)["identifier"])
    revision = next(int(each.name) for each in environment.run.iterdir() if each.name.isdecimal())
    cell = environment.cell(revision)

    def is_lost() -> bool:
        with contextlib.suppress(RetryError):  # on a busy machine processes take a while to end
            leftovers.end([cell], None, top=groups.known(paths))
            return True
        return False

    wait_for("everything in the zone has ended", is_lost)


def is_balanced(product, name: str, both: set[str]) -> bool:
    found = ready(product, name)
    return {unit for unit in found if unit.startswith("worker-")} == {"worker-1", "worker-2"} and found.keys() >= both
