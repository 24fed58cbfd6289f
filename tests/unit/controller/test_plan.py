"""The plan: from every state of the world it leads to what was asked for, by steps in a sound order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.contract import Step
from aerodrome.backends.memory import SERVICES, UNITS, Box, MemoryBackend, Place
from aerodrome.controller import changing, keeping, teardown
from aerodrome.controller.keeping import RESTART_LIMIT
from aerodrome.controller.plan import plan
from aerodrome.controller.undoing import RESTORE_LIMIT
from aerodrome.model import defaults
from aerodrome.model.change import Change, Kind, Seed, Strategy
from aerodrome.model.environment import Environment, Failure, LastUpdate, Phase, Progress
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.observed import Cell, Installation, Observed, Unit, Work
from aerodrome.model.release import Deployed
from unit.controller.world import NAME, NOW, REQUEST, World

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
    units = [Unit(name=name, state=each, pid=1, restarts=restarts) for name, each in zip(UNITS, states, strict=True)]
    services = tuple(Unit(name=name, state="ready", pid=1, restarts=0) for name in SERVICES)
    return Observed(
        installation=Installation(done=True),
        database=True,
        files=True,
        traces=True,
        services=Cell(alive=True, units=services, wanted=frozenset(SERVICES)),
        cells={1: Cell(alive=True, units=tuple(units), wanted=frozenset(UNITS))},
    )


def boxes(names: tuple[str, ...]) -> st.SearchStrategy[Box]:
    alive = st.builds(Box, units=st.just(dict.fromkeys(names, "ready")), wanted=st.just(names))
    dead = st.builds(Box, alive=st.just(value=False), leftovers=st.booleans(), wanted=st.just(names))
    return st.one_of(alive, dead)


places = st.builds(
    Place,
    databases=st.sampled_from([{}, {"live": "3.3.1"}]),
    files=st.booleans(),
    services=st.none() | boxes(SERVICES),
    cells=st.dictionaries(st.just(1), boxes(UNITS), max_size=1),
)


def runs(box: Box | None) -> bool:
    return box is not None and (box.alive or box.leftovers)


def world_of(place: Place, environment: Environment, *, installed: bool = True) -> World:
    world = World()
    world.backend = MemoryBackend(installed={"3.3.1"} if installed else set(), places={NAME: place})
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
    assert (place.databases, place.files) == ({}, False)
    assert not any(map(runs, [place.services, *place.cells.values()]))


@given(places)
def test_a_failed_creation_leaves_nothing_running_and_keeps_the_logs(place):
    files = place.files
    world = world_of(place, being_created(Failure(code="UNIT_FAILED", message="")))
    assert world.settle(lambda found: found.status is Status.CREATE_FAILED)
    assert (world.place.databases, world.place.files) == ({}, files)
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
    assert Step.DROP_DATABASE not in [step for _, step, _ in world.backend.taken]


def test_cells_are_stopped_before_their_database_goes():
    world = World()
    world.create()
    begun = len(world.backend.taken)
    world.delete()
    world.settle(lambda found: found is None)
    taken = [step for _, step, _ in world.backend.taken[begun:]]
    assert taken == [Step.STOP_CELL, Step.STOP_SERVICES, Step.DROP_DATABASE, Step.REMOVE_FILES]


def test_units_that_do_not_stop_are_ended():
    deleting = replace(
        an_environment(Status.DELETING), progress=Progress(phase="stop", detail="", phase_started_at=NOW)
    )
    late = NOW + teardown.STOP_LIMIT + timedelta(seconds=1)
    assert plan(deleting, everything("stopping"), NOW).step is Step.STOP_CELL
    assert plan(deleting, everything("stopping"), late).step is Step.END_ALL


@pytest.mark.parametrize("status", [Status.AVAILABLE, Status.UPDATE_FAILED])
@pytest.mark.parametrize("gone", ["services", "cells"])
def test_a_settled_environment_without_its_cells_is_lost(status, gone):
    observed = replace(everything("ready"), **{gone: Cell(alive=False) if gone == "services" else {}})
    assert plan(an_environment(status), observed, NOW).event is Event.LOST


def test_a_dying_unit_is_the_cells_business():
    chosen = plan(an_environment(Status.AVAILABLE), everything("backing_off", 9), NOW)
    assert (chosen.event, chosen.step) == (None, None)
    assert "scheduler" in chosen.detail


def prepared() -> Environment:
    """One that is being created and whose release is built."""
    made = being_created()
    return replace(made, change=replace(made.change, deployed=RUNNING))


def test_a_unit_that_keeps_dying_ends_a_creation_and_is_named():
    chosen = plan(prepared(), everything("backing_off", RESTART_LIMIT), NOW)
    assert chosen.failure is not None
    assert chosen.failure.code == "UNIT_FAILED"
    unit, revision = chosen.failing
    assert (unit in UNITS, revision) == (True, 1)
    assert unit in chosen.failure.message


@pytest.mark.parametrize(("phase", "code"), [(phase, code) for phase, (code, _) in changing.LIMITS.items()])
@pytest.mark.parametrize("late", [False, True])
def test_a_phase_that_never_ends_ends_a_creation(phase, code, late):
    environment = prepared()
    environment = replace(environment, progress=replace(environment.progress, phase=phase, detail="Because."))
    limit = changing.LIMITS[phase][1]
    chosen = plan(environment, everything("starting"), NOW + limit + timedelta(seconds=1 if late else 0))
    assert (chosen.failure is not None) is late
    if chosen.failure is not None:
        assert chosen.failure.code == code
        assert "Because." in chosen.failure.message


def test_an_installation_is_waited_for_as_long_as_for_any_other_package_and_no_longer():
    environment = being_created()
    waits = "Airflow 3.3.1 could not be installed: the download server cannot be reached"
    environment = replace(environment, progress=replace(environment.progress, phase="install", detail=waits))
    observed = MemoryBackend().observe(environment)
    assert plan(environment, observed, NOW + timedelta(minutes=44)).step is Step.INSTALL
    ended = plan(environment, observed, NOW + timedelta(minutes=46))
    assert ended.failure is not None
    assert ended.failure.code == "VERSION_NOT_INSTALLED"
    assert waits in ended.failure.message


def test_what_once_worked_is_tried_for_ever():
    environment = an_environment(Status.UNAVAILABLE)
    chosen = plan(environment, everything("backing_off", 99), NOW + timedelta(days=1))
    assert (chosen.failure, chosen.event) == (None, None)


def test_the_fraction_counts_ready_units():
    assert plan(prepared(), everything("starting", ready=1), NOW).fraction == 0.6


def test_workers_are_not_started_before_their_broker():
    observed = everything("ready")
    waiting = replace(
        observed.services, units=tuple(replace(unit, state="starting") for unit in observed.services.units)
    )
    chosen = plan(prepared(), replace(observed, services=waiting, cells={}), NOW)
    assert (chosen.step, chosen.phase) == (None, "services")


def draining(*, state: str = "stopping") -> Cell:
    """A cell that waits for the task of its worker."""
    return Cell(alive=True, units=(Unit(name="worker-1", state=state, pid=1, restarts=0),), draining=True)


def test_a_cell_that_waits_for_its_tasks_keeps_no_other_from_draining():
    observed = everything("ready")
    serving = replace(an_environment(Status.AVAILABLE), deployed=replace(RUNNING, cell=3))
    observed = replace(observed, cells={1: draining(), 2: observed.cells[1], 3: observed.cells[1]})
    found = plan(serving, observed, NOW)
    assert (found.step, found.revision) == (Step.DRAIN, 2)
    alone = replace(observed, cells={1: draining(), 3: observed.cells[3]})
    assert plan(serving, alone, NOW).step is None


@pytest.mark.parametrize(
    ("strategy", "late", "step"),
    [
        (Strategy.GRACEFUL, True, None),
        (Strategy.FORCED, False, None),
        (Strategy.FORCED, True, Step.END_LEFTOVERS),
    ],
)
def test_only_a_forced_change_ends_tasks_that_an_earlier_one_waits_for(strategy, late, step):
    environment = an_environment(Status.UPDATING)
    progress = Progress(phase="drain", detail="", phase_started_at=NOW - keeping.FORCED_LIMIT * (2 if late else 0))
    found = keeping.emptied(
        replace(environment, progress=progress), replace(everything("ready"), cells={1: draining()}), strategy, NOW
    )
    assert found is not None
    assert found.step is step


def test_a_return_that_does_not_come_about_has_an_end():
    """Also where the units' cell is never there to be looked at."""
    wish = Change(kind=Kind.UPDATE, spec=_created().spec, revision=2, strategy=Strategy.GRACEFUL, requested_at=NOW)
    progress = Progress(
        phase="services",
        detail="Waiting for Redis.",
        phase_started_at=NOW - RESTORE_LIMIT / 2,
        phases=(Phase(name="failed", seconds=0), Phase(name="start", seconds=RESTORE_LIMIT.total_seconds() / 2 + 1)),
    )
    environment = replace(an_environment(Status.ROLLING_BACK), change=wish, progress=progress)
    observed = replace(everything("ready"), cells={})
    assert plan(environment, observed, NOW).event is Event.NOT_RESTORED
    earlier = replace(environment, progress=replace(progress, phases=progress.phases[:1]))
    assert plan(earlier, observed, NOW).step is Step.CELL


def test_a_clone_waits_for_its_database_however_long_that_takes():
    environment = being_created()
    seed = Seed(identifier="00000001", number=2)
    progress = Progress(phase="seed", detail="", phase_started_at=NOW - timedelta(hours=5))
    environment = replace(
        environment, change=replace(environment.change, seed=seed, deployed=RUNNING), progress=progress
    )
    observed = replace(everything("ready"), database=False, cells={})
    assert plan(environment, observed, NOW).step is Step.SEED
    at_work = replace(observed, work=Work(step=Step.SEED, done=False, detail="Restoring."))
    found = plan(environment, at_work, NOW)
    assert (found.step, found.failure, found.detail) == (None, None, "Restoring.")
