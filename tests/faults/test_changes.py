"""The control plane is killed in every phase of a change: the change goes on to its end, and the tasks with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import psycopg
import pytest

from acceptance.test_updates import LOOKING, WAITING, plugins, put
from matrices import ALL_FAULTS, EVERY_FAULT
from product import BUCKET, LIMIT, Product, wait_for

SETTLED = {"AVAILABLE", "UPDATE_FAILED", "UNAVAILABLE"}

IMPOSSIBLE = {"scheduler.max_tis_per_query": "many"}
"""Options with which no scheduler starts."""

BROKEN = """
import no_such_library
from airflow.plugins_manager import AirflowPlugin

class Broken(AirflowPlugin):
    name = "broken"
"""
"""A plugin that is found out by a build's last step, which takes seconds."""

WAY_UP = {"rehearsal", "migrate", "start"}
"""Phases that no other change has, and the one in which a change with impossible options fails."""

pytestmark = pytest.mark.timeout(4 * LIMIT + 300)


@pytest.fixture(scope="module")
def stubborn(mortal_product: Product) -> Product:
    mortal_product.put_dag("looking", LOOKING.format(dag="looking"))
    mortal_product.put_dag("waiting", WAITING.format(bucket=BUCKET, dag="waiting"))
    return mortal_product


@pytest.fixture
def made(stubborn: Product) -> Iterator[Callable[[str, str], None]]:
    """Makes an environment of its own for one test: by its name, of an Airflow version."""
    names = []

    def make(name: str, version: str) -> None:
        names.append(name)
        stubborn.s3.delete_object(Bucket=BUCKET, Key="go/waiting")
        stubborn.create(name, version)
        stubborn.wait_until(name, "AVAILABLE")

    yield make
    for name in names:
        stubborn.delete(name)


def kill_in_every_phase(product: Product, name: str, besides: Collection[str] = ()) -> list[str]:
    """Kill the control plane in each phase that is seen, besides these, and start it again; the phases."""
    seen: list[str] = []
    last, deadline = "", 0.0
    with product.database("aerodrome", autocommit=True) as ledger:
        while (now := status_and_phase(ledger, name))[0] not in SETTLED:
            phase = now[1]
            if phase != last:  # it goes on, however slowly
                last, deadline = phase, time.monotonic() + 2 * LIMIT
            if phase not in {*seen, "ready"}:  # which stands there until the change has begun
                seen.append(phase)
                if phase not in besides:
                    product.kill_control_plane()
            if time.monotonic() > deadline:
                pytest.fail(f"stuck: {product.environment(name)}\n{product.log()}")
            time.sleep(0.05)
    return seen


def status_and_phase(ledger: psycopg.Connection[Any], name: str) -> tuple[str, str]:
    """As the ledger has them. The control plane would need a tenth of a core to answer as often."""
    row = ledger.execute("SELECT status, progress ->> 'phase' FROM environment WHERE name = %s", (name,)).fetchone()
    assert row is not None
    return row[0], row[1]


def begin_to_wait(product: Product, name: str) -> str:
    """A run whose task waits for an object."""
    run = product.trigger(name, "waiting")
    wait_for("the task runs", lambda: product.task(name, "waiting", run, "wait")["state"] == "running")
    return run


def check_whole(product: Product, name: str) -> str:
    """What holds of an environment that has settled; the run by which that was seen."""
    run = product.trigger(name, "looking")
    assert product.finished(name, "looking", run) == "success"
    wait_for("no other cell is left", lambda: product.environment(name)["other_cells"] == [])
    shown = product.environment(name)
    assert {unit["state"] for unit in shown["units"]} == {"ready"}
    folder = product.data / "run" / shown["identifier"]
    assert len([each for each in folder.iterdir() if each.name.isdecimal()]) == 1
    return run


def test_an_update_that_fails_and_an_upgrade_that_fails(stubborn, made):
    """Between them they take each kind of step: build, archive, rehearse, migrate, swap, start; and back from each.

    `make test` kills in each phase once.
    """
    made("moved", "2.11.2")
    run = begin_to_wait(stubborn, "moved")
    archive = put(stubborn, "moved/plugins.zip", plugins(broken__py=BROKEN))
    stubborn.update("moved", PluginsS3Path="moved/plugins.zip", PluginsS3ObjectVersion=archive)
    failing = kill_in_every_phase(stubborn, "moved")
    assert "release" in failing
    found = stubborn.get("moved")
    assert (found["Status"], found["LastUpdate"]["Error"]["ErrorCode"]) == ("UPDATE_FAILED", "PLUGIN_IMPORT_FAILED")
    assert stubborn.task("moved", "waiting", run, "wait")["state"] == "running"

    put(stubborn, "go/waiting", "")  # the drain does not wait for long
    stubborn.update("moved", AirflowVersion="3.3.1", AirflowConfigurationOptions=IMPOSSIBLE)
    upgrading = kill_in_every_phase(stubborn, "moved", besides=() if ALL_FAULTS else failing)
    assert {*upgrading} >= WAY_UP
    assert {*upgrading} - WAY_UP - {*failing}  # the way back
    found = stubborn.get("moved")
    assert (found["Status"], found["AirflowVersion"]) == ("UPDATE_FAILED", "2.11.2")
    assert found["LastUpdate"]["Error"]["ErrorCode"] == "UNIT_FAILED"
    assert stubborn.finished("moved", "waiting", run) == "success"
    assert stubborn.task("moved", "waiting", run, "wait")["try_number"] == 1
    check_whole(stubborn, "moved")


@EVERY_FAULT
def test_an_upgrade_and_a_downgrade_that_fails(stubborn, made):
    made("risen", "2.11.2")
    run = begin_to_wait(stubborn, "risen")
    put(stubborn, "go/waiting", "")
    stubborn.update("risen", AirflowVersion="3.3.1")
    upgrading = kill_in_every_phase(stubborn, "risen")
    assert {*upgrading} >= WAY_UP
    found = stubborn.get("risen")
    assert (found["Status"], found["AirflowVersion"]) == ("AVAILABLE", "3.3.1"), found["LastUpdate"]
    assert stubborn.finished("risen", "waiting", run) == "success"
    assert stubborn.task("risen", "waiting", run, "wait")["try_number"] == 1
    run = check_whole(stubborn, "risen")

    stubborn.update("risen", AirflowVersion="2.11.2", AirflowConfigurationOptions=IMPOSSIBLE)
    downgrading = kill_in_every_phase(stubborn, "risen")
    assert {*downgrading} >= WAY_UP
    assert {*downgrading} - {*upgrading}  # the way back
    found = stubborn.get("risen")
    assert (found["Status"], found["AirflowVersion"]) == ("UPDATE_FAILED", "3.3.1")
    check_whole(stubborn, "risen")
    assert run in {each["dag_run_id"] for each in stubborn.rest("risen", "GET", "/dags/looking/dagRuns")["dag_runs"]}


@EVERY_FAULT
def test_an_update(stubborn, made):
    made("updated", "2.11.2")
    run = begin_to_wait(stubborn, "updated")
    version = put(stubborn, "updated/plugins.zip", plugins())
    stubborn.update("updated", PluginsS3Path="updated/plugins.zip", PluginsS3ObjectVersion=version)
    assert {"release", "start"} <= {*kill_in_every_phase(stubborn, "updated")}
    found = stubborn.get("updated")
    assert (found["Status"], found["LastUpdate"]["Status"]) == ("AVAILABLE", "SUCCESS")
    put(stubborn, "go/waiting", "")
    assert stubborn.finished("updated", "waiting", run) == "success"
    assert stubborn.task("updated", "waiting", run, "wait")["try_number"] == 1
    check_whole(stubborn, "updated")


@EVERY_FAULT
def test_a_failing_update(stubborn, made):
    made("kept", "3.3.1")
    run = begin_to_wait(stubborn, "kept")
    stubborn.update("kept", AirflowConfigurationOptions=IMPOSSIBLE)
    assert "start" in kill_in_every_phase(stubborn, "kept")
    found = stubborn.get("kept")
    assert (found["Status"], found["LastUpdate"]["Error"]["ErrorCode"]) == ("UPDATE_FAILED", "UNIT_FAILED")
    put(stubborn, "go/waiting", "")
    assert stubborn.finished("kept", "waiting", run) == "success"
    assert stubborn.task("kept", "waiting", run, "wait")["try_number"] == 1
    check_whole(stubborn, "kept")
