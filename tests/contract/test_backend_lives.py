"""Backends with Airflow: in memory, and the local one with a real cell and its units on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import matrices
from aerodrome.errors import RetryError
from aerodrome.model import zones
from aerodrome.model.observed import Ahead, Cell, CellState, Observed, QueueSeen, TasksSeen, WebLoad
from aerodrome.model.orders import AT_ONCE, CellOrder, DropDatabase, Keep, Point, QueueAgain, Remove, ReportDeaths
from aerodrome.model.spec import Spec
from contract import benches
from product import wait_for

PATIENCE = 20.0
NOTHING_QUEUED = QueueSeen(waiting=0, held={(benches.REVISION, f"worker-{number}"): 0 for number in (1, 2)})
NO_TASKS = TasksSeen(queued=0, overdue=0, running={})
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["memory", "local"])
def bench(request: pytest.FixtureRequest, spec: Spec, versions: Path) -> Iterator[benches.Bench]:
    """Where Airflow can be installed."""
    if request.param == "memory":
        yield benches.in_memory(spec)
        return
    with benches.on_this_machine(spec, request.getfixturevalue("cluster"), versions) as made:
        yield made


@pytest.fixture(params=matrices.sampled("memory", beside=("local",)))
def zoned_bench(request: pytest.FixtureRequest, spec: Spec, versions: Path) -> Iterator[benches.Bench]:
    """The same, of which the one with two cells of Airflow takes a minute and more."""
    if request.param == "memory":
        yield benches.in_memory(spec)
        return
    with benches.on_this_machine(spec, request.getfixturevalue("cluster"), versions) as made:
        yield made


def running(bench: benches.Bench, **changes: Any) -> None:
    """Bring the bench to where its units run, as a creation does."""
    bench.act(bench.install, bench.install)
    wait_for("Airflow is installed", lambda: bench.see().releases.installation.done)
    bench.act(bench.database, bench.database, bench.services)
    bench.build()
    wait_for("the cell is started", lambda: bench.can(replace(bench.cell, **changes)))
    wait_for("the cell answers", lambda: bench.sees(lambda seen: cell(seen).alive and seen.services.alive))
    bench.act(Point(revision=benches.REVISION))


def cell(seen: Observed) -> Cell:
    return seen.cell(benches.REVISION)


def test_a_life_from_installation_to_removal(bench):
    running(bench)
    seen = bench.see()
    assert (seen.database.exists, seen.runtime.exists, seen.runtime.served) == (True, True, benches.REVISION)
    assert {unit.name for unit in seen.services.units} == seen.services.wanted == {"redis", "sidecar"}
    assert (seen.services.order, cell(seen).order) == (bench.services, bench.cell)
    names = {unit.name for unit in cell(seen).units}
    assert names == cell(seen).wanted
    assert {"scheduler", "worker-1"} <= names
    assert (seen.database.altered, seen.database.damage) == ((), "")
    bench.unsettled = True
    assert not (bench.see().database.unfinished)
    assert not (bench.see().database.others)
    bench.unsettled = False
    bench.act(ReportDeaths(version=bench.running.version))  # there are none
    assert Ahead() == replace(
        bench.backend.databases.ahead(bench.tenant, version=bench.running.version, since=NOW), read_at=None
    )
    assert cell(bench.see()).alive
    tail = bench.backend.runtime.tail

    def has_printed() -> bool:
        return any(tail(bench.tenant, name, benches.REVISION) for name in names)

    wait_for("a unit prints", has_printed)
    assert tail(bench.tenant, "unheard-of", benches.REVISION) == ()
    assert tail(bench.tenant, "unheard-of") == ()

    begun = {"starting", "ready"}
    wait_for("the units run", lambda: bench.sees(lambda seen: {unit.state for unit in cell(seen).units} <= begun))
    bench.kill_cell()
    wait_for("the loss is seen", lambda: bench.sees(lambda seen: not cell(seen).alive))
    lost = bench.see()
    assert (cell(lost).state, cell(lost).units, cell(lost).trouble) == (CellState.LOST, (), "")
    assert (cell(lost).order, lost.services.alive) == (bench.cell, True)
    assert has_printed()
    with pytest.raises(RetryError):
        bench.backend.runtime.run_command(bench.tenant, benches.REVISION, ["version"])
    at_once = replace(bench.cell, keep=Keep.NOTHING, patience=AT_ONCE)
    bench.act(at_once, at_once)
    assert (cell(bench.see()).state, cell(bench.see()).order) == (CellState.ENDED, at_once)

    bench.act(bench.cell)
    wait_for("the cell answers again", lambda: bench.sees(lambda seen: cell(seen).alive))
    stopped = replace(bench.cell, keep=Keep.NOTHING, patience=PATIENCE)
    wait_for("the cell hears", lambda: bench.can(stopped))  # one that starts its nursery is busy
    wait_for("the units have stopped", lambda: bench.sees(lambda seen: not cell(seen).runs))
    stopped_services = replace(bench.services, keep=Keep.NOTHING, patience=PATIENCE)
    bench.act(stopped, Remove(revision=benches.REVISION), stopped_services)
    wait_for("all has stopped", lambda: bench.sees(lambda seen: not seen.services.alive))
    ended = bench.see()
    assert (ended.cells, ended.database.exists, ended.services.state) == ({}, True, CellState.ENDED)
    bench.act(stopped_services, DropDatabase(), DropDatabase())
    assert not bench.see().database.exists
    assert has_printed()  # the logs outlive what printed them

    bench.act(Remove(), Remove())
    assert bench.see().runtime == benches.NOWHERE
    assert not has_printed()


def test_units_rest_and_resume_and_their_number_changes_and_they_drain_and_removal_ends_them(bench):
    running(bench)
    rest_and_resume(bench)
    more_workers(bench)
    fewer_web_servers(bench)
    drains(bench)
    bench.act(Remove())
    assert bench.see().runtime == benches.NOWHERE


def test_two_zones_of_which_one_is_lost_and_comes_back(zoned_bench):
    bench = zoned_bench
    running(bench, zones=("subnet-a", "subnet-b"), workers=(1, 2))
    spread = replace(bench.cell, zones=("subnet-a", "subnet-b"), workers=(1, 2))
    wait_for("every unit serves", lambda: bench.sees(lambda seen: cell(seen).all_ready), limit=240)
    whole = cell(bench.see())
    assert (whole.order, whole.gone, whole.unattended) == (spread, frozenset(), frozenset())
    assert {"scheduler", "scheduler-2", "web", "web-2", "worker-1", "worker-2", "dag-processor"} <= whole.ready

    bench.lose_zone(0)
    wait_for("the loss is seen", lambda: bench.sees(lambda seen: cell(seen).gone == {0}))
    left = cell(bench.see())
    assert (left.state, left.order, left.all_ready) == (CellState.RUNNING, spread, False)
    assert {zones.of_number(zones.parted(name)[1], 2) for name in left.ready} == {1}
    assert bench.backend.runtime.run_command(bench.tenant, benches.REVISION, ["version"]).exit_code == 0
    ran = processes(bench)
    alone = replace(spread, without=(0,), lead=1, workers=(2, 4))
    bench.act(alone, alone)
    moved = {"dag-processor", "worker-4"}
    wait_for("the other does the work", lambda: bench.sees(lambda seen: moved <= cell(seen).ready))
    assert (cell(bench.see()).gone, cell(bench.see()).order) == (frozenset({0}), alone)
    assert {name: process for name, process in processes(bench).items() if name in ran} == ran

    back = replace(alone, without=(), workers=(1, 2, 4), draining=(4,))
    bench.act(back, back)
    wait_for("it is back", lambda: bench.sees(lambda seen: cell(seen).all_ready), limit=240)
    assert (cell(bench.see()).order, cell(bench.see()).gone) == (back, frozenset())
    assert {name: process for name, process in processes(bench).items() if name in ran} == ran
    drain = replace(back, keep=Keep.TASKS, web_servers=0, patience=PATIENCE)
    bench.act(drain, drain)
    wait_for("its workers have ended", lambda: bench.sees(lambda seen: not cell(seen).workers))
    assert (cell(bench.see()).draining, has(cell(bench.see()), "scheduler-2")) == (True, False)
    at_once = replace(drain, keep=Keep.NOTHING, patience=AT_ONCE)
    bench.act(at_once, at_once)
    assert (cell(bench.see()).state, cell(bench.see()).order) == (CellState.ENDED, at_once)
    bench.act(Remove(revision=benches.REVISION))
    assert benches.REVISION not in bench.see().cells
    bench.act(Remove())
    assert bench.see().runtime == benches.NOWHERE


def processes(bench: benches.Bench) -> dict[str, int | str]:
    """The units with their processes."""
    return dict(bench.backend.runtime.show(bench.tenant)[1][benches.REVISION].processes)


def rest_and_resume(bench: benches.Bench) -> None:
    shared = replace(bench.cell, keep=Keep.SHARED)
    bench.act(shared, shared)
    wait_for("the DAG processor has stopped", lambda: bench.sees(lambda seen: not has(cell(seen), "dag-processor")))
    quiet = cell(bench.see())
    assert has(quiet, "scheduler")
    assert has(quiet, "worker-1")
    assert (quiet.order, quiet.all_ready) == (shared, False)
    assert "dag-processor" in quiet.wanted
    bench.act(bench.cell)
    wait_for("every unit is back", lambda: bench.sees(lambda seen: has(cell(seen), "dag-processor")))
    assert cell(bench.see()).order == bench.cell


def more_workers(bench: benches.Bench) -> None:
    """One worker more starts one unit and touches no other; one fewer ends one."""

    def restarts() -> dict[str, int]:
        return {unit.name: unit.restarts for unit in cell(bench.see()).units}

    wait_for("every unit serves", lambda: bench.sees(lambda seen: cell(seen).all_ready), limit=120)
    before, ran = restarts(), processes(bench)
    more = replace(bench.cell, workers=(1, 2))
    bench.act(more, more)
    wait_for("the second worker serves", lambda: bench.sees(lambda seen: cell(seen).all_ready), limit=120)
    assert restarts() == before | {"worker-2": 0}
    assert {name: pid for name, pid in processes(bench).items() if name != "worker-2"} == ran
    assert cell(bench.see()).order == more
    takes_no_more(bench, more)
    bench.act(bench.cell)
    wait_for("the second worker is gone", lambda: bench.sees(lambda seen: not has(cell(seen), "worker-2")))
    assert cell(bench.see()).wanted == before.keys()


def takes_no_more(bench: benches.Bench, more: CellOrder) -> None:
    """A worker that takes no more tasks says that it holds none; it takes them again when it is told so."""

    def holds() -> dict[str, int | None]:
        return {unit.name: unit.holds for unit in cell(bench.see()).workers}

    def is_counted(seen: Observed) -> bool:
        return seen.runtime.queue == NOTHING_QUEUED and seen.database.tasks == NO_TASKS

    wait_for("the tasks are counted", lambda: bench.sees(is_counted))
    assert bench.backend.runtime.waiting(bench.tenant) == 0
    drain = replace(more, draining=(2,))
    bench.act(drain, drain)
    wait_for("it holds none", lambda: holds() == {"worker-1": None, "worker-2": 0})
    assert cell(bench.see()).order == drain
    bench.act(more)
    wait_for("it takes tasks again", lambda: holds() == {"worker-1": None, "worker-2": None})
    bench.act(drain)
    wait_for("it holds none again", lambda: holds() == {"worker-1": None, "worker-2": 0})
    bench.act(QueueAgain(version=more.deployed.version, queued_for=30.0))  # there are none


def fewer_web_servers(bench: benches.Bench) -> None:
    """It is seen what they have to do, and one fewer ends one and touches no other unit."""

    def load() -> WebLoad:
        found = bench.backend.runtime.web_load(bench.tenant, benches.REVISION)
        assert found is not None
        return found

    wait_for("every unit serves", lambda: bench.sees(lambda seen: cell(seen).all_ready), limit=120)
    assert (load().connections, load().processor.keys()) == (0, {"web", "web-2"})
    ran = processes(bench)
    fewer = replace(bench.cell, web_servers=1)
    bench.act(fewer, fewer)
    wait_for("the second web server is gone", lambda: bench.sees(lambda seen: not has(cell(seen), "web-2")))
    assert (cell(bench.see()).order, cell(bench.see()).all_ready, load().processor.keys()) == (fewer, True, {"web"})
    left = {name: process for name, process in ran.items() if name != "web-2"}
    wait_for("its process is gone, and no other", lambda: processes(bench) == left)
    assert bench.backend.runtime.web_load(bench.tenant, benches.REVISION + 1) is None


def drains(bench: benches.Bench) -> None:
    """Its workers end with their tasks."""
    wait_for("the worker is ready", lambda: bench.sees(lambda seen: "worker-1" in cell(seen).ready), limit=120)
    drain = replace(bench.cell, keep=Keep.TASKS, web_servers=0, patience=PATIENCE)
    bench.act(drain, drain)
    wait_for("its workers have ended", lambda: bench.sees(lambda seen: not cell(seen).workers))
    drained = cell(bench.see())
    assert (drained.alive, drained.draining, drained.all_ready) == (True, True, False)
    assert not has(drained, "scheduler")


def has(seen: Cell, unit: str) -> bool:
    return unit in {each.name for each in seen.units if not each.is_stopping}
