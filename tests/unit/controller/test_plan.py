"""The plan: from every state of the world it leads to what was asked for, by steps in a sound order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.memory import SERVICES, UNITS, FakeCell, FakeEnvironment, MemoryBackend
from aerodrome.controller import letting_go, ordering, teardown
from aerodrome.controller.bringing_up import RESTART_LIMIT
from aerodrome.controller.plans import Fail, Happen, Plan, Take, Wait
from aerodrome.controller.undoing import RESTORE_LIMIT
from aerodrome.model import defaults
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment, Failure, FinishedPhase, LastUpdate, Progress
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.observed import (
    NO_CELL,
    Cell,
    CellState,
    DatabaseSeen,
    InstallationProgress,
    Observed,
    ReleasesSeen,
    RuntimeSeen,
    Unit,
    Work,
)
from aerodrome.model.orders import AT_ONCE, Keep, SeedDatabase, title
from aerodrome.model.phases import LIMITS, Phase
from aerodrome.model.release import Deployed
from unit.controller.world import NAME, NOW, REQUEST, World, plan

RUNNING = Deployed(identifier="0" * 64, version="3.3.1", lock="lock")


def an_environment(status: Status) -> Environment:
    """A settled environment of revision 1, in this status."""
    made = _created()
    return replace(
        made,
        status=status,
        change=None,
        deployed=RUNNING,
        last_update=LastUpdate(status="SUCCESS", created_at=NOW, source="user"),
        progress=Progress(phase="start", detail="", phase_started_at=NOW),
    )


def being_created(failure: Failure | None = None) -> Environment:
    return replace(_created(), progress=Progress(phase="start", detail="", phase_started_at=NOW), failure=failure)


def _created() -> Environment:
    spec = defaults.complete(NAME, REQUEST, latest_version="3.3.1")
    return World().environments.create(NAME, spec, {}, sealed_secrets=b"", quota=1, now=NOW)


def everything(state: str, restarts: int = 0, *, ready: int = 0) -> Observed:
    """All there is, with units in one state, but for the first so many."""
    states = ["ready"] * ready + [state] * (len(UNITS) - ready)
    units = [Unit(name=name, state=each, restarts=restarts) for name, each in zip(UNITS, states, strict=True)]
    services = tuple(Unit(name=name, state="ready", restarts=0) for name in SERVICES)
    made = _created()
    return Observed(
        runtime=RuntimeSeen(
            exists=True,
            services=Cell(
                state=CellState.RUNNING,
                order=ordering.services(made),
                units=services,
                wanted=frozenset(SERVICES),
            ),
            cells={
                1: Cell(
                    state=CellState.RUNNING,
                    order=ordering.cell(made, 1, RUNNING),
                    units=tuple(units),
                    wanted=frozenset(UNITS),
                )
            },
            served=1,
        ),
        database=DatabaseSeen(exists=True),
        releases=ReleasesSeen(version="3.3.1", lock="lock", installation=InstallationProgress(done=True)),
    )


def with_runtime(observed: Observed, **changed: Any) -> Observed:
    return replace(observed, runtime=replace(observed.runtime, **changed))


def orders(chosen: Plan) -> list[str]:
    """The titles of what a plan orders; none where it is no `Take`."""
    return [title(order) for order in chosen.orders] if isinstance(chosen, Take) else []


def last(chosen: Plan) -> str | None:
    """The order that a plan ends with."""
    return next(reversed(orders(chosen)), None)


def boxes(names: tuple[str, ...]) -> st.SearchStrategy[FakeCell]:
    alive = st.builds(FakeCell, units=st.just(dict.fromkeys(names, "ready")), wanted=st.just(names))
    dead = st.builds(FakeCell, alive=st.just(value=False), leftovers=st.booleans(), wanted=st.just(names))
    return st.one_of(alive, dead)


places = st.builds(
    FakeEnvironment,
    databases=st.sampled_from([{}, {"live": "3.3.1"}]),
    exists=st.booleans(),
    services=st.none() | boxes(SERVICES),
    cells=st.dictionaries(st.just(1), boxes(UNITS), max_size=1),
)


def runs(box: FakeCell | None) -> bool:
    return box is not None and (box.alive or box.leftovers)


def world_of(place: FakeEnvironment, environment: Environment, *, installed: bool = True) -> World:
    world = World()
    world.backend = MemoryBackend(installed={"3.3.1"} if installed else set(), environments={NAME: place})
    world.environments.create(NAME, environment.spec, {}, sealed_secrets=b"", quota=1, now=NOW)
    world.environments.rows[NAME] = replace(environment, progress=replace(environment.progress, phase_started_at=NOW))
    return world


@given(places, st.booleans())
def test_a_creation_comes_to_its_end_from_wherever_it_was_broken_off(place, installed):
    world = world_of(place, being_created(), installed=installed)
    assert world.settle().status is Status.AVAILABLE
    assert world.place.cells[1].seen().all_ready
    assert world.place.databases == {"live": "3.3.1"}


@given(places)
def test_a_deletion_leaves_nothing_from_wherever_it_starts(place):
    world = world_of(place, an_environment(Status.DELETING))
    assert world.settle(lambda found: found is None) is None
    place = world.place
    assert (place.databases, place.exists) == ({}, False)
    assert not any(map(runs, [place.services, *place.cells.values()]))


@given(places)
def test_a_failed_creation_leaves_nothing_running_and_keeps_the_logs(place):
    exists = place.exists
    world = world_of(place, being_created(Failure(code="UNIT_FAILED", message="")))
    assert world.settle(lambda found: found.status is Status.CREATE_FAILED)
    assert (world.place.databases, world.place.exists) == ({}, exists)
    assert not any(map(runs, [world.place.services, *world.place.cells.values()]))


@given(places)
def test_a_lost_environment_is_built_up_again_without_losing_its_database(place):
    world = world_of(place, an_environment(Status.UNAVAILABLE))
    if not place.databases:
        for _ in range(30):
            world.look(world.controller())
        assert world.found().status is Status.UNAVAILABLE
        assert "database is gone" in world.found().progress.detail
        return
    assert world.settle().status is Status.AVAILABLE
    assert "DropDatabase" not in world.titles()


def test_cells_are_stopped_before_their_database_goes():
    world = World()
    world.create()
    begun = len(world.backend.taken)
    world.delete()
    world.settle(lambda found: found is None)
    taken = world.titles(begun)
    assert taken == ["CellOrder NOTHING", "ServicesOrder NOTHING", "DropDatabase", "Remove"]


def test_units_that_do_not_stop_are_ended():
    deleting = replace(
        an_environment(Status.DELETING), progress=Progress(phase="stop", detail="", phase_started_at=NOW)
    )
    late = NOW + teardown.STOP_LIMIT + timedelta(seconds=1)
    in_time, forced = plan(deleting, everything("stopping"), NOW), plan(deleting, everything("stopping"), late)
    assert orders(in_time) == orders(forced) == ["CellOrder NOTHING"]
    assert in_time.orders[0].patience > AT_ONCE
    assert forced.orders[0].patience == AT_ONCE


@pytest.mark.parametrize("status", [Status.AVAILABLE, Status.UPDATE_FAILED])
@pytest.mark.parametrize("gone", ["services", "cells"])
def test_a_settled_environment_without_its_cells_is_lost(status, gone):
    observed = with_runtime(everything("ready"), **{gone: Cell(state=CellState.ENDED) if gone == "services" else {}})
    chosen = plan(an_environment(status), observed, NOW)
    assert isinstance(chosen, Happen)
    assert chosen.event is Event.LOST


def test_a_dying_unit_is_the_cells_business():
    chosen = plan(an_environment(Status.AVAILABLE), everything("backing_off", 9), NOW)
    assert isinstance(chosen, Wait)
    assert "scheduler" in chosen.detail


def prepared() -> Environment:
    """One that is being created and whose release is built."""
    made = being_created()
    return replace(made, change=replace(made.change, deployed=RUNNING))


def test_a_unit_that_keeps_dying_ends_a_creation_and_is_named():
    chosen = plan(prepared(), everything("backing_off", RESTART_LIMIT), NOW)
    assert isinstance(chosen, Fail)
    assert chosen.failure.code == "UNIT_FAILED"
    unit, revision = chosen.failing
    assert (unit in UNITS, revision) == (True, 1)
    assert unit in chosen.failure.message


def test_what_died_before_a_change_does_not_end_the_change():
    environment = an_environment(Status.AVAILABLE)
    change = Change(
        kind=ChangeKind.UPDATE, revision=2, spec=environment.spec, strategy=Strategy.FORCED, requested_at=NOW,
        deployed=replace(RUNNING, cell=1),
    )  # fmt: skip
    changed = replace(environment, status=Status.UPDATING, deployed=replace(RUNNING, cell=1), change=change)
    chosen = plan(changed, everything("backing_off", RESTART_LIMIT), NOW)
    assert isinstance(chosen, Wait)
    assert "scheduler" in chosen.detail


@pytest.mark.parametrize(("phase", "code"), [(phase, limit.code) for phase, limit in LIMITS.items()])
@pytest.mark.parametrize("late", [False, True])
def test_a_phase_that_never_ends_ends_a_creation(phase, code, late):
    environment = prepared()
    environment = replace(environment, progress=replace(environment.progress, phase=phase, detail="Because."))
    limit = LIMITS[phase].time
    chosen = plan(environment, everything("starting"), NOW + limit + timedelta(seconds=1 if late else 0))
    assert isinstance(chosen, Fail) is late
    if isinstance(chosen, Fail):
        assert chosen.failure.code == code
        assert "Because." in chosen.failure.message


def test_an_installation_is_waited_for_as_long_as_for_any_other_package_and_no_longer():
    environment = being_created()
    waits = "Airflow 3.3.1 could not be installed: the download server cannot be reached"
    environment = replace(environment, progress=replace(environment.progress, phase="install", detail=waits))
    ready = everything("ready")
    observed = replace(ready, releases=replace(ready.releases, installation=InstallationProgress(done=False)))
    observed = with_runtime(observed, services=NO_CELL, cells={})
    assert orders(plan(environment, observed, NOW + timedelta(minutes=44))) == ["Install"]
    ended = plan(environment, observed, NOW + timedelta(minutes=46))
    assert isinstance(ended, Fail)
    assert ended.failure.code == "VERSION_NOT_INSTALLED"
    assert waits in ended.failure.message


def test_what_once_worked_is_tried_for_ever():
    environment = an_environment(Status.UNAVAILABLE)
    chosen = plan(environment, everything("backing_off", 99), NOW + timedelta(days=1))
    assert isinstance(chosen, Wait)


def test_the_fraction_counts_ready_units():
    assert plan(prepared(), everything("starting", ready=1), NOW).fraction == 0.5


def test_workers_are_not_started_before_their_broker():
    observed = everything("ready")
    waiting = replace(
        observed.services, units=tuple(replace(unit, state="starting") for unit in observed.services.units)
    )
    chosen = plan(prepared(), with_runtime(observed, services=waiting, cells={}), NOW)
    assert isinstance(chosen, Wait)
    assert chosen.phase is Phase.SERVICES


def draining(*, state: str = "stopping") -> Cell:
    """A cell that waits for the task of its worker."""
    order = replace(ordering.cell(_created(), 1, RUNNING), keep=Keep.TASKS)
    return Cell(state=CellState.RUNNING, order=order, units=(Unit(name="worker-1", state=state, restarts=0),))


def test_a_cell_that_waits_for_its_tasks_keeps_no_other_from_draining():
    observed = everything("ready")
    serving = replace(an_environment(Status.AVAILABLE), deployed=replace(RUNNING, cell=3))
    other = replace(observed.cells[1], order=ordering.cell(serving, 2, replace(RUNNING, cell=2)))
    last_one = replace(other, order=ordering.cell(serving, 3, serving.deployed))
    observed = with_runtime(observed, cells={1: draining(), 2: other, 3: last_one}, served=3)
    found = plan(serving, observed, NOW)
    assert orders(found) == ["CellOrder TASKS"]
    assert found.orders[0].revision == 2
    alone = with_runtime(observed, cells={1: draining(), 3: observed.cells[3]})
    assert isinstance(plan(serving, alone, NOW), Wait)


@pytest.mark.parametrize(
    ("strategy", "late", "ordered"),
    [
        (Strategy.GRACEFUL, True, None),
        (Strategy.FORCED, False, None),
        (Strategy.FORCED, True, "CellOrder NOTHING"),
    ],
)
def test_only_a_forced_change_ends_tasks_that_an_earlier_one_waits_for(strategy, late, ordered):
    environment = an_environment(Status.UPDATING)
    progress = Progress(phase="drain", detail="", phase_started_at=NOW - letting_go.FORCED_LIMIT * (2 if late else 0))
    found = letting_go.emptied(
        replace(environment, progress=progress), with_runtime(everything("ready"), cells={1: draining()}), strategy, NOW
    )
    assert found is not None
    assert last(found) == ordered


def test_a_return_that_does_not_come_about_has_an_end():
    """Also where the units' cell is never there to be looked at."""
    change = Change(
        kind=ChangeKind.UPDATE, spec=_created().spec, revision=2, strategy=Strategy.GRACEFUL, requested_at=NOW
    )
    progress = Progress(
        phase="services",
        detail="Waiting for Redis.",
        phase_started_at=NOW - RESTORE_LIMIT / 2,
        phases=(
            FinishedPhase(name="failed", seconds=0),
            FinishedPhase(name="start", seconds=RESTORE_LIMIT.total_seconds() / 2 + 1),
        ),
    )
    environment = replace(an_environment(Status.ROLLING_BACK), change=change, progress=progress)
    observed = with_runtime(everything("ready"), cells={})
    given_up = plan(environment, observed, NOW)
    assert isinstance(given_up, Happen)
    assert given_up.event is Event.NOT_RESTORED
    earlier = replace(environment, progress=replace(progress, phases=progress.phases[:1]))
    assert last(plan(earlier, observed, NOW)) == "CellOrder ALL"


def test_a_clone_waits_for_its_database_however_long_that_takes():
    environment = being_created()
    seed = Seed(identifier="00000001", number=2)
    progress = Progress(phase="seed", detail="", phase_started_at=NOW - timedelta(hours=5))
    environment = replace(
        environment, change=replace(environment.change, seed=seed, deployed=RUNNING), progress=progress
    )
    observed = replace(with_runtime(everything("ready"), cells={}), database=DatabaseSeen())
    assert orders(plan(environment, observed, NOW)) == ["SeedDatabase"]
    work = Work(order=SeedDatabase, done=False, detail="Restoring.")
    at_work = replace(observed, database=DatabaseSeen(work=work))
    found = plan(environment, at_work, NOW)
    assert isinstance(found, Wait)
    assert found.detail == "Restoring."
