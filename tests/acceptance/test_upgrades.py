"""Another Airflow version in place: rehearsed on a copy, applied with everybody out, and back from the snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from acceptance.test_updates import LOOKING, WAITING, put
from product import BUCKET, LIMIT, Product, wait_for

pytestmark = pytest.mark.timeout(4 * LIMIT)


@pytest.fixture(scope="module")
def upgrading(own_product: Product) -> Product:
    """An Aerodrome with two DAGs that both lines can import."""
    own_product.put_dag("looking", LOOKING.format(dag="looking"))
    own_product.put_dag("waiting", WAITING.format(bucket=BUCKET, dag="waiting"))
    return own_product


@pytest.fixture(scope="module")
def resting(upgrading: Product) -> Iterator[str]:
    """An environment of Airflow 2.11 that no test brings to another version."""
    with_history(upgrading, "resting", "2.11.2")
    yield "resting"
    upgrading.delete("resting")


def with_history(product: Product, name: str, version: str) -> None:
    """Make an environment in which a DAG has run and a connection is kept."""
    product.create(name, version)
    product.wait_until(name, "AVAILABLE")
    product.rest(name, "POST", "/connections", {"connection_id": "kept", "conn_type": "http", "password": "a secret"})
    assert product.finished(name, "looking", product.trigger(name, "looking")) == "success"


def database(product: Product, name: str) -> psycopg.Connection:
    """The environment's metadata database, with its rights."""
    password = (product.data / "keys" / "postgres").read_text().strip()
    own = f"env_{product.environment(name)['identifier']}"
    host = str(product.data / "run" / "pg")
    return psycopg.connect(host=host, user="postgres", password=password, dbname=own, options=f"-c role={own}")


def runs(product: Product, name: str, dag: str) -> dict[str, str]:
    """Ids and states of the runs of a DAG."""
    found = product.rest(name, "GET", f"/dags/{dag}/dagRuns")["dag_runs"]
    return {each["dag_run_id"]: each["state"] for each in found}


def processes(product: Product, name: str) -> dict[str, int]:
    return {unit["name"]: unit["pid"] for unit in product.environment(name)["units"]}


def snapshots(product: Product, name: str) -> list[dict[str, Any]]:
    return json.loads(product.run("snapshots", "list", name, "--json").stdout)


def succeeds(product: Product, name: str) -> None:
    """Whether a DAG runs now, and the connection of the beginning is there."""
    assert product.finished(name, "looking", product.trigger(name, "looking")) == "success"
    assert product.rest(name, "GET", "/connections/kept")["conn_type"] == "http"


def test_a_migration_that_fails_in_the_rehearsal_touches_nothing(upgrading, resting):
    before = processes(upgrading, resting)
    with database(upgrading, resting) as connection:
        connection.execute("CREATE TABLE dag_version (of_a_user int)")
    upgrading.update(resting, AirflowVersion="3.3.1")
    after = upgrading.wait_until(resting, "UPDATE_FAILED")
    error = after["LastUpdate"]["Error"]
    assert error["ErrorCode"] == "MIGRATION_FAILED"
    assert "dag_version" in error["ErrorMessage"]
    assert after["AirflowVersion"] == "2.11.2"
    assert processes(upgrading, resting) == before
    assert snapshots(upgrading, resting) == []
    with database(upgrading, resting) as connection:
        connection.execute("DROP TABLE dag_version")


def test_a_dag_that_the_target_cannot_import_is_told_by_the_rehearsal(upgrading, resting):
    upgrading.put_dag("old", "from airflow.operators.subdag import SubDagOperator\n")
    there = upgrading.data / "environments" / resting / "dags" / "old.py"
    wait_for("the file is there", there.exists)
    upgrading.update(resting, AirflowVersion="3.3.1")
    error = upgrading.wait_until(resting, "UPDATE_FAILED")["LastUpdate"]["Error"]
    assert error["ErrorCode"] == "DAG_IMPORT_FAILED"
    assert "old.py" in error["ErrorMessage"]
    upgrading.s3.delete_object(Bucket=BUCKET, Key="dags/old.py")
    wait_for("the file is gone", lambda: not there.exists())


def test_an_upgrade_and_the_ways_back(upgrading):
    with_history(upgrading, "moving", "2.11.2")
    upgrade_while_a_task_runs(upgrading, "moving")
    [snapshot] = snapshots(upgrading, "moving")
    assert (snapshot["airflow_version"], snapshot["size"] > 0) == ("2.11.2", True)
    clone(upgrading, "moving", snapshot["number"])
    downgrade(upgrading, "moving")
    restore(upgrading, "moving", snapshot["number"])
    upgrading.delete("moving")


def upgrade_while_a_task_runs(product: Product, name: str) -> None:
    history = runs(product, name, "looking")
    product.rest(name, "POST", "/roles", {"name": "Analysts", "actions": []})
    run = product.trigger(name, "waiting")
    wait_for("the task runs", lambda: product.task(name, "waiting", run, "wait")["state"] == "running")
    product.update(name, AirflowVersion="3.3.1")
    product.wait_until(name, "CREATING_SNAPSHOT")
    wait_for(
        "it waits for the worker",
        lambda: (now := product.environment(name)["progress"])["phase"] == "drain" and "worker" in now["detail"],
    )
    assert runs(product, name, "waiting")[run] == "running"  # the web server goes on until the task has ended
    put(product, "go/waiting", "")
    found = product.wait_until(name, "AVAILABLE")
    assert (found["AirflowVersion"], found["LastUpdate"]["Status"]) == ("3.3.1", "SUCCESS")
    assert history.items() <= runs(product, name, "looking").items()
    ended = product.task(name, "waiting", run, "wait")
    assert (ended["state"], ended["try_number"]) == ("success", 1)
    assert "Without effect there: Analysts." in product.run("events", name, "--json").stdout
    succeeds(product, name)


def clone(product: Product, name: str, number: int) -> None:
    product.run("snapshots", "clone", name, str(number), "clone")
    assert product.get("clone")["AirflowVersion"] == "2.11.2"
    assert [*runs(product, "clone", "looking").values()] == ["success"]
    succeeds(product, "clone")
    product.delete("clone")


def downgrade(product: Product, name: str) -> None:
    product.update(name, AirflowVersion="2.11.2")
    assert product.wait_until(name, "AVAILABLE")["AirflowVersion"] == "2.11.2"
    succeeds(product, name)
    assert "no logical date" in product.run("events", name, "--json").stdout


def restore(product: Product, name: str, number: int) -> None:
    """Bring back the configuration and the history of a snapshot."""
    before = runs(product, name, "looking")
    shown = product.run("snapshots", "restore", name, str(number), "--yes")
    assert "is AVAILABLE" in shown.stdout
    assert len(runs(product, name, "looking")) < len(before)
    succeeds(product, name)
    assert "RESTORE" in product.run("revisions", name).stdout


def test_a_downgrade_of_a_database_that_has_been_of_3_from_its_beginning(upgrading):
    """2.11 finds no tables of roles there."""
    with_history(upgrading, "born-3", "3.3.1")
    downgrade(upgrading, "born-3")
    upgrading.delete("born-3")
