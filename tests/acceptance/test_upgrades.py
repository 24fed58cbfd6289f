"""Another Airflow version in place: rehearsed on a copy, applied with everybody out, and back from the snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from acceptance.test_updates import LOOKING, WAITING, looked, put, watched
from matrices import ALL_FAULTS
from product import LIMIT, Product, wait_for

pytestmark = pytest.mark.timeout(4 * LIMIT)

OWN_BUCKET = "to-be-upgraded"
"""A rehearsal tries every DAG in the bucket; these are to be the only ones."""


@pytest.fixture(scope="module")
def product(changing_product: Product) -> Product:
    """Not the one whose environments are shared."""
    return changing_product


@pytest.fixture(scope="module")
def moving(product: Product) -> Iterator[str]:
    """An environment of Airflow 2.11 with a history; each test leaves it with that version."""
    name = "moving"
    product.make_bucket(OWN_BUCKET)
    product.put_dag("looking", LOOKING.format(dag="looking"), bucket=OWN_BUCKET)
    product.put_dag("waiting", WAITING.format(bucket=OWN_BUCKET, dag="waiting"), bucket=OWN_BUCKET)
    product.create(name, "2.11.2", bucket=OWN_BUCKET)
    product.wait_until(name, "AVAILABLE")
    make_history(product, name)
    yield name
    product.delete(name)


def make_history(product: Product, name: str) -> None:
    """Run a DAG, and keep a connection."""
    product.rest(name, "POST", "/connections", {"connection_id": "kept", "conn_type": "http", "password": "a secret"})
    assert product.finished(name, "looking", product.trigger(name, "looking")) == "success"


def database(product: Product, name: str) -> psycopg.Connection:
    """The environment's metadata database, with its rights."""
    own = f"env_{product.environment(name)['identifier']}"
    return product.database(own, role=own)


def runs(product: Product, name: str, dag: str) -> dict[str, str]:
    """Ids and states of the runs of a DAG; Airflow 3 tells none before it has read the DAG."""
    wait_for(f"{dag} is listed", lambda: product.listed(name, dag))
    found = product.rest(name, "GET", f"/dags/{dag}/dagRuns")["dag_runs"]
    return {each["dag_run_id"]: each["state"] for each in found}


def processes(product: Product, name: str) -> dict[str, int]:
    return {unit["name"]: unit["pid"] for unit in product.environment(name)["units"]}


def begin_to_wait(product: Product, name: str) -> str:
    """A run whose task waits for an object."""
    product.s3.delete_object(Bucket=OWN_BUCKET, Key="go/waiting")
    run = product.trigger(name, "waiting")
    wait_for("the task runs", lambda: product.task(name, "waiting", run, "wait")["state"] == "running")
    return run


def let_go(product: Product, name: str, run: str) -> None:
    """Let the task end, or see that it did."""
    put(product, "go/waiting", "", bucket=OWN_BUCKET)
    assert product.finished(name, "waiting", run) == "success"
    ended = product.task(name, "waiting", run, "wait")
    assert (ended["state"], ended["try_number"]) == ("success", 1)


def snapshots(product: Product, name: str) -> list[dict[str, Any]]:
    return json.loads(product.run("snapshots", "list", name, "--json").stdout)


def succeeds(product: Product, name: str) -> None:
    """Check that a DAG runs, and that the first connection is still there."""
    assert product.finished(name, "looking", product.trigger(name, "looking")) == "success"
    assert product.rest(name, "GET", "/connections/kept")["conn_type"] == "http"


def test_a_migration_that_fails_in_the_rehearsal_touches_nothing(product, moving):
    before, kept = processes(product, moving), snapshots(product, moving)
    with database(product, moving) as connection:
        connection.execute("CREATE TABLE dag_version (of_a_user int)")
    product.update(moving, AirflowVersion="3.3.1")
    after = product.wait_until(moving, "UPDATE_FAILED")
    error = after["LastUpdate"]["Error"]
    assert error["ErrorCode"] == "MIGRATION_FAILED"
    assert "dag_version" in error["ErrorMessage"]
    assert after["AirflowVersion"] == "2.11.2"
    assert processes(product, moving) == before
    assert snapshots(product, moving) == kept
    with database(product, moving) as connection:
        connection.execute("DROP TABLE dag_version")


def test_a_dag_that_the_target_cannot_import_is_told_by_the_rehearsal(product, moving):
    product.put_dag("old", "from airflow.operators.subdag import SubDagOperator\n", bucket=OWN_BUCKET)
    there = product.data / "environments" / moving / "dags" / "old.py"
    wait_for("the file is there", there.exists)
    product.update(moving, AirflowVersion="3.3.1")
    error = product.wait_until(moving, "UPDATE_FAILED")["LastUpdate"]["Error"]
    assert error["ErrorCode"] == "DAG_IMPORT_FAILED"
    assert "old.py" in error["ErrorMessage"]
    product.remove_dags("old", bucket=OWN_BUCKET)
    wait_for("the file is gone", lambda: not there.exists())


def test_an_upgrade_and_the_ways_back(product, moving):
    history = runs(product, moving, "looking")
    upgrade_while_a_task_runs(product, moving)
    [snapshot] = snapshots(product, moving)
    assert (snapshot["airflow_version"], snapshot["size"] > 0) == ("2.11.2", True)
    clone(product, moving, snapshot["number"], history)
    if ALL_FAULTS:  # otherwise a database that has been of 3 from its beginning is enough (test_bad_beginnings.py)
        downgrade(product, moving)
    restore(product, moving, snapshot["number"])


def upgrade_while_a_task_runs(product: Product, name: str) -> None:
    history = runs(product, name, "looking")
    product.rest(name, "POST", "/roles", {"name": "Analysts", "actions": []})
    run = begin_to_wait(product, name)
    product.update(name, AirflowVersion="3.3.1")
    product.wait_until(name, "CREATING_SNAPSHOT")
    wait_for(
        "it waits for the worker",
        lambda: (now := product.environment(name)["progress"])["phase"] == "drain" and "worker" in now["detail"],
    )
    assert runs(product, name, "waiting")[run] == "running"  # the web server goes on until the task has ended
    put(product, "go/waiting", "", bucket=OWN_BUCKET)
    found = product.wait_until(name, "AVAILABLE")
    assert (found["AirflowVersion"], found["LastUpdate"]["Status"]) == ("3.3.1", "SUCCESS")
    assert history.items() <= runs(product, name, "looking").items()
    let_go(product, name, run)
    assert "Without effect there: Analysts." in product.run("events", name, "--json").stdout
    succeeds(product, name)


def clone(product: Product, name: str, number: int, history: dict[str, str]) -> None:
    product.run("snapshots", "clone", name, str(number), "clone")
    assert product.get("clone")["AirflowVersion"] == "2.11.2"
    assert runs(product, "clone", "looking") == history
    succeeds(product, "clone")
    product.delete("clone")


def downgrade(product: Product, name: str) -> None:
    product.update(name, AirflowVersion="2.11.2")
    assert product.wait_until(name, "AVAILABLE")["AirflowVersion"] == "2.11.2"
    succeeds(product, name)
    told = product.run("events", name, "--json").stdout
    assert "no logical date" in told
    assert "DATABASE_DAMAGED" not in told


def restore(product: Product, name: str, number: int) -> None:
    """Bring back the version, the configuration and the history of a snapshot."""
    before = runs(product, name, "looking")
    shown = product.run("snapshots", "restore", name, str(number), "--yes")
    assert "is AVAILABLE" in shown.stdout
    assert product.get(name)["AirflowVersion"] == "2.11.2"
    assert len(runs(product, name, "looking")) < len(before)
    succeeds(product, name)
    assert "RESTORE" in product.run("revisions", name).stdout


def test_an_update_of_airflow_2_leaves_no_gap_and_lets_tasks_end(product, moving):
    run = begin_to_wait(product, moving)
    worker = product.task(moving, "waiting", run, "wait")["hostname"]
    with watched(product, moving) as refusals:
        product.update(moving, AirflowConfigurationOptions={"core.max_map_length": "3"})
        assert product.get(moving)["Status"] == "UPDATING"
        found = product.wait_until(moving, "AVAILABLE")
        assert "'3'" in looked(product, moving, "looking").replace('"', "'")
    assert refusals == []
    assert found["LastUpdate"]["Status"] == "SUCCESS"
    running = product.task(moving, "waiting", run, "wait")
    assert (running["state"], running["hostname"]) == ("running", worker)
    let_go(product, moving, run)
    wait_for("the former cell is gone", lambda: product.environment(moving)["other_cells"] == [])
