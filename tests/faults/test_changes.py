"""The control plane is killed in every phase of a change: the change goes on to its end, and the tasks with it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from acceptance.test_updates import LOOKING, WAITING, plugins, put
from product import BUCKET, LIMIT, Product, wait_for

SETTLED = {"AVAILABLE", "UPDATE_FAILED", "UNAVAILABLE"}

IMPOSSIBLE = {"scheduler.max_tis_per_query": "many"}
"""Options with which no scheduler starts."""

pytestmark = pytest.mark.timeout(2 * LIMIT + 300)


@pytest.fixture(scope="module")
def stubborn(own_product: Product) -> Product:
    own_product.put_dag("looking", LOOKING.format(dag="looking"))
    own_product.put_dag("waiting", WAITING.format(bucket=BUCKET, dag="waiting"))
    return own_product


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


def kill_in_every_phase(product: Product, name: str) -> list[str]:
    """Kill the control plane whenever a phase is seen that was not seen before, and start it again; the phases."""
    seen: list[str] = []
    deadline = time.monotonic() + 2 * LIMIT
    while (found := product.environment(name))["status"] not in SETTLED:
        phase = found["progress"]["phase"]
        if phase not in seen:
            seen.append(phase)
            os.kill(json.loads((product.data / "run" / "control-plane.pid").read_text())["pid"], signal.SIGKILL)
            product.up()
        if time.monotonic() > deadline:
            pytest.fail(f"stuck: {found}\n{product.log()}")
        time.sleep(0.02)
    return seen


def begin_to_wait(product: Product, name: str) -> str:
    """A run whose task waits for an object."""
    run = product.trigger(name, "waiting")
    wait_for("the task runs", lambda: product.task(name, "waiting", run, "wait")["state"] == "running")
    return run


def check_whole(product: Product, name: str) -> None:
    """What holds of an environment that has settled."""
    assert product.finished(name, "looking", product.trigger(name, "looking")) == "success"
    wait_for("no other cell is left", lambda: product.environment(name)["other_cells"] == [])
    shown = product.environment(name)
    assert {unit["state"] for unit in shown["units"]} == {"ready"}
    folder = product.data / "run" / shown["identifier"]
    assert len([each for each in folder.iterdir() if each.name.isdecimal()]) == 1


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


def test_an_upgrade(stubborn, made):
    made("upgraded", "2.11.2")
    run = begin_to_wait(stubborn, "upgraded")
    put(stubborn, "go/waiting", "")  # the drain does not wait for long
    stubborn.update("upgraded", AirflowVersion="3.3.1")
    assert {"rehearsal", "migrate", "start"} <= {*kill_in_every_phase(stubborn, "upgraded")}
    found = stubborn.get("upgraded")
    assert (found["Status"], found["AirflowVersion"]) == ("AVAILABLE", "3.3.1"), found["LastUpdate"]
    assert stubborn.finished("upgraded", "waiting", run) == "success"
    assert stubborn.task("upgraded", "waiting", run, "wait")["try_number"] == 1
    check_whole(stubborn, "upgraded")


def test_a_failing_downgrade_comes_back_to_the_old_version(stubborn, made):
    made("returned", "3.3.1")
    run = stubborn.trigger("returned", "looking")
    assert stubborn.finished("returned", "looking", run) == "success"
    stubborn.update("returned", AirflowVersion="2.11.2", AirflowConfigurationOptions=IMPOSSIBLE)
    assert {"rehearsal", "migrate", "start"} <= {*kill_in_every_phase(stubborn, "returned")}
    found = stubborn.get("returned")
    assert (found["Status"], found["AirflowVersion"]) == ("UPDATE_FAILED", "3.3.1")
    check_whole(stubborn, "returned")
    assert run in {each["dag_run_id"] for each in stubborn.rest("returned", "GET", "/dags/looking/dagRuns")["dag_runs"]}
