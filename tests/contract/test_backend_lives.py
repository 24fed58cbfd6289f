"""Backends with Airflow: in memory, and the local one with a real cell and its units on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aerodrome.backends.contract import Step
from aerodrome.errors import RetryError
from aerodrome.model.environment import Environment
from aerodrome.model.lifecycle import Status
from aerodrome.model.observed import Cell, Observed
from aerodrome.model.spec import Spec
from contract import benches
from product import wait_for


@pytest.fixture
def environment(spec: Spec) -> Environment:
    return benches.an_environment(spec)


@pytest.fixture(params=["memory", "local"])
def bench(request: pytest.FixtureRequest, environment: Environment, versions: Path) -> Iterator[benches.Bench]:
    """Where Airflow can be installed."""
    if request.param == "memory":
        yield benches.in_memory(environment)
        return
    with benches.on_this_machine(environment, request.getfixturevalue("cluster"), versions) as made:
        yield made


def running(bench: benches.Bench) -> None:
    """Bring the bench to where its units run, as a creation does."""
    bench.act(Step.INSTALL, Step.INSTALL)
    wait_for("Airflow is installed", lambda: bench.see().installation.done)
    bench.act(Step.FILES, Step.DATABASE, Step.DATABASE, Step.SERVICES)
    bench.deploy()
    wait_for("the cell is started", lambda: bench.can(Step.CELL))
    wait_for("the cell answers", lambda: bench.sees(lambda seen: cell(seen).alive and seen.services.alive))
    bench.act(Step.SWITCH)


def cell(seen: Observed) -> Cell:
    return seen.cell(benches.REVISION)


def test_a_life_from_installation_to_removal(bench):
    running(bench)
    seen = bench.see()
    assert (seen.database, seen.files, seen.traces, seen.copies, seen.bereaved) == (True, True, True, False, False)
    assert {unit.name for unit in seen.services.units} == seen.services.wanted == {"redis", "sidecar"}
    names = {unit.name for unit in cell(seen).units}
    assert names == cell(seen).wanted
    assert {"scheduler", "worker-1"} <= names
    deployed = bench.environment.change.deployed
    settled = replace(bench.environment, status=Status.AVAILABLE, change=None, deployed=deployed)
    assert (bench.backend.observe(settled).altered, bench.backend.observe(settled).damage) == ((), "")
    bench.act(Step.REPORT_LOST_TASKS)  # there are none
    assert cell(bench.see()).alive

    def has_printed() -> bool:
        return any(bench.backend.tail(bench.environment, name, benches.REVISION) for name in names)

    wait_for("a unit prints", has_printed)
    assert bench.backend.tail(bench.environment, "unheard-of", benches.REVISION) == ()
    assert bench.backend.tail(bench.environment, "unheard-of") == ()

    wait_for("the units run", lambda: bench.sees(lambda seen: all(unit.pid for unit in cell(seen).units)))
    bench.kill_cell()
    wait_for("the loss is seen", lambda: bench.sees(lambda seen: not cell(seen).alive))
    lost = bench.see()
    assert (cell(lost).leftovers, cell(lost).units, lost.services.alive) == (True, (), True)
    assert has_printed()
    with pytest.raises(RetryError):
        bench.backend.run_command(bench.environment, ["version"])
    bench.act(Step.END_LEFTOVERS, Step.END_LEFTOVERS)
    assert not cell(bench.see()).leftovers

    bench.act(Step.CELL)
    wait_for("the cell answers again", lambda: bench.sees(lambda seen: cell(seen).alive))
    wait_for("the cell hears", lambda: bench.can(Step.STOP_CELL))  # one that starts its nursery is busy
    wait_for("the units have stopped", lambda: bench.sees(lambda seen: not (cell(seen).alive or cell(seen).leftovers)))
    bench.act(Step.STOP_CELL, Step.RETIRE, Step.STOP_SERVICES)
    wait_for("all has stopped", lambda: bench.sees(lambda seen: not seen.services.alive))
    stopped = bench.see()
    assert (stopped.cells, stopped.database, stopped.services.leftovers) == ({}, True, False)
    bench.act(Step.STOP_SERVICES, Step.DROP_DATABASE, Step.DROP_DATABASE)
    assert not bench.see().database
    assert has_printed()  # the logs outlive what printed them

    bench.act(Step.REMOVE_FILES, Step.REMOVE_FILES)
    assert (bench.see().files, bench.see().traces) == (False, False)
    assert not has_printed()


def test_units_rest_and_resume_and_removal_ends_them(bench):
    running(bench)
    rest_and_resume(bench)
    bench.act(Step.REMOVE_FILES)
    seen = bench.see()
    assert (seen.cells, seen.services.alive, seen.services.leftovers, seen.traces) == ({}, False, False, False)


def rest_and_resume(bench: benches.Bench) -> None:
    assert cell(bench.see()).is_whole
    bench.act(Step.QUIET, Step.QUIET)
    wait_for("the DAG processor has stopped", lambda: bench.sees(lambda seen: not has(cell(seen), "dag-processor")))
    quiet = cell(bench.see())
    assert has(quiet, "scheduler")
    assert has(quiet, "worker-1")
    assert not quiet.is_whole
    bench.act(Step.RESUME)
    wait_for("every unit is back", lambda: bench.sees(lambda seen: cell(seen).is_whole))


def test_a_cell_that_drains_ends_with_its_tasks(bench):
    running(bench)
    wait_for("the worker is ready", lambda: bench.sees(lambda seen: "worker-1" in cell(seen).ready), limit=120)
    bench.act(Step.DRAIN, Step.DRAIN)
    wait_for("its workers have ended", lambda: bench.sees(lambda seen: not cell(seen).workers))
    drained = cell(bench.see())
    assert (drained.alive, drained.draining, drained.is_whole) == (True, True, False)
    assert not has(drained, "scheduler")


def has(seen: Cell, unit: str) -> bool:
    return unit in {each.name for each in seen.units if not each.is_stopping}
