"""Changes of an environment: each comes to its end or is undone, wherever the control plane dies on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from aerodrome.backends.memory import ONCE, UNITS
from aerodrome.controller.bringing_up import RESTART_LIMIT
from aerodrome.controller.undoing import RESTORE_LIMIT
from aerodrome.errors import BrokenError
from aerodrome.model.change import ChangeKind, Seed, Strategy
from aerodrome.model.environment import Failure
from aerodrome.model.history import Outcome
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.orders import Keep
from aerodrome.model.release import Patch
from unit.controller.world import NAME, Fuse, World, option, version


def check_sound(world: World) -> None:
    """What holds of every settled environment."""
    found, place = world.found(), world.place
    assert found.change is None
    assert found.failure is None
    assert found.deployed is not None
    assert set(place.cells) == {found.deployed.cell}
    assert place.cells[found.deployed.cell].seen().all_ready
    assert not place.cells[found.deployed.cell].seen().draining
    assert place.served == found.deployed.cell
    assert place.services is not None
    assert place.databases["live"] == found.deployed.version
    assert "coming" not in place.databases
    outcomes = [each.outcome for each in world.environments.revisions(NAME)]
    assert Outcome.PENDING not in outcomes
    assert world.environments.revisions(NAME)[found.revision - 1].outcome is Outcome.APPLIED
    applied = {each.number for each in world.environments.revisions(NAME) if each.outcome is Outcome.APPLIED}
    assert {each.number for each in world.snapshots.of(NAME)} <= applied  # those of failed changes are gone


def update(world: World) -> None:
    world.begin(option("7"))


def upgrade(world: World) -> None:
    world.begin(version("3.4.0"))


def forced_upgrade(world: World) -> None:
    world.begin(version("3.4.0"), strategy=Strategy.FORCED)


def restore(world: World) -> None:
    world.begin(lambda spec: spec, kind=ChangeKind.RESTORE, seed=world.snapshot())


def nothing_new(world: World) -> None:
    world.begin(lambda spec: replace(spec, weekly_maintenance_window_start="MON:10:00"))


CHANGES = [update, upgrade, forced_upgrade, restore, nothing_new]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_comes_about(change: Callable[[World], None]) -> None:
    world = World()
    world.create()
    change(world)
    wanted = world.found().change.spec
    found = world.settle()
    assert (found.status, found.spec, found.revision) == (Status.AVAILABLE, wanted, 2)
    assert (found.last_update.status, found.last_update.failure) == ("SUCCESS", None)
    check_sound(world)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("after", [False, True])
def test_a_change_ends_well_wherever_the_control_plane_dies(change: Callable[[World], None], *, after: bool) -> None:
    at = 0
    while True:
        world = World()
        world.create()
        change(world)
        wanted = world.found().change.spec
        world.fuse = Fuse(at=at, after=after)
        found = world.settle()
        assert (found.status, found.spec) == (Status.AVAILABLE, wanted), world.fuse.effects
        check_sound(world)
        if at >= len(world.fuse.effects):
            break
        at += 1
    assert at > 5


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_fails_at_a_step_is_undone(change: Callable[[World], None]) -> None:
    rehearsal = World()
    rehearsal.create()
    change(rehearsal)
    begun = len(rehearsal.backend.taken)
    rehearsal.settle(lambda found: found.status in {Status.AVAILABLE, Status.UPDATE_FAILED})
    tried = set(rehearsal.titles(begun)) - {"CellOrder TASKS", "CellOrder NOTHING", "Remove"}
    for step in tried:
        world = World()
        before = world.create()
        change(world)
        error = BrokenError("It is broken.", code="BROKEN", tail=("last line",))
        world.backend.failures[step] = error
        world.settle(lambda found: found.status is Status.ROLLING_BACK)
        world.backend.failures.clear()
        found = world.settle()
        assert found.status is Status.UPDATE_FAILED, step
        assert (found.spec, found.revision, found.deployed) == (before.spec, before.revision, before.deployed)
        assert found.last_update.status == "FAILED"
        assert (found.last_update.failure.code, found.last_update.failure.tail) == ("BROKEN", ("last line",))
        assert world.environments.revisions(NAME)[1].outcome is Outcome.FAILED
        check_sound(world)


@pytest.mark.parametrize("change", [update, upgrade, restore])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("broken", ["Build", "Rehearse", "Migrate", "units"])
def test_a_failed_change_is_undone_wherever_the_control_plane_dies(
    change: Callable[[World], None], broken: str, *, after: bool
) -> None:
    if change is update and broken in {"Rehearse", "Migrate"}:
        return  # it has no such step
    at = 0
    while True:
        world = World()
        before = world.create()
        change(world)
        if broken == "units":
            world.backend.unit_state, world.backend.restarts = "backing_off", RESTART_LIMIT
        else:
            world.backend.failures[broken] = BrokenError("It is broken.", code="BROKEN")
        world.fuse = Fuse(at=at, after=after)
        world.settle(lambda found: found.status in {Status.ROLLING_BACK, Status.UPDATE_FAILED})
        world.backend.unit_state, world.backend.restarts = "ready", 0
        world.backend.failures.clear()
        found = world.settle()
        assert found.status is Status.UPDATE_FAILED, world.fuse.effects
        assert (found.spec, found.deployed) == (before.spec, before.deployed)
        check_sound(world)
        if at >= len(world.fuse.effects):
            break
        at += 1
    assert at > 5


def test_an_update_starts_the_new_units_before_the_old_ones_stop() -> None:
    world = World()
    world.create()
    begun = len(world.backend.taken)
    update(world)
    world.settle()
    assert world.ordered(begun) == [
        ("Build", None),
        ("CellOrder SHARED", 1),
        ("CellOrder ALL", 2),
        ("Point", 2),
        ("CellOrder TASKS", 1),
        ("CellOrder NOTHING", 1),
        ("Remove", 1),
    ]


def test_an_upgrade_touches_nothing_before_its_rehearsal_and_keeps_the_old_database() -> None:
    world = World()
    world.create()
    begun = len(world.backend.taken)
    upgrade(world)
    world.settle()
    taken = world.titles(begun)
    assert taken[: taken.index("Rehearse") + 1] == ["Install", "Build", "Archive", "Rehearse"]
    assert (
        taken.index("ServicesOrder NOTHING")
        < taken.index("Migrate")
        < taken.index("Swap")
        < taken.index("CellOrder ALL")
    )
    assert world.place.databases == {"live": "3.4.0", "snap-2": "3.3.1"}
    [snapshot] = world.snapshots.of(NAME)
    assert (snapshot.number, snapshot.deployed.version) == (2, "3.3.1")
    statuses = [event["kind"] for event in world.environments.events(NAME) if event["kind"].startswith("SNAPSHOT")]
    assert statuses == ["SNAPSHOT_BEGUN", "SNAPSHOT_TAKEN"]


def cloned(world: World, seed: Seed) -> None:
    """Another environment, whose making from the snapshot has been accepted."""
    spec, now = world.found().spec, world.now
    world.environments.create("clone", spec, {}, sealed_secrets=b"", quota=9, now=now, seed=seed)


@pytest.mark.parametrize("ends_by", [Event.CREATED, Event.FAILED, Event.DELETE_REQUESTED])
def test_a_deletion_waits_for_clones_of_its_snapshots(ends_by: Event) -> None:
    world = World()
    world.create()
    upgrade(world)
    world.settle()
    cloned(world, Seed(identifier=world.found().identifier, number=2))
    world.delete()
    found = world.settle(lambda found: found is not None and "clone" in found.progress.detail)
    controller = world.controller()
    for _ in range(20):
        world.look(controller)
    assert found.status is Status.DELETING
    assert not any(cell.seen().runs for cell in world.place.cells.values())
    assert world.place.databases.keys() == {"live", "snap-2"}
    assert [each.number for each in world.snapshots.of(NAME)] == [2]
    world.environments.request("clone", ends_by, world.now)
    world.settle(lambda found: found is None)
    assert world.environments.names() == ["clone"]


def test_a_snapshot_of_an_undone_change_stays_while_a_clone_begins_from_it() -> None:
    world = World()
    world.create()
    upgrade(world)
    world.settle(lambda found: found is not None and bool(world.snapshots.of(NAME)))
    cloned(world, Seed(identifier=world.found().identifier, number=2))
    world.environments.set_progress(NAME, world.found().progress, failure=Failure(code="X", message="It failed."))
    found = world.settle()
    assert found.last_update.status == "FAILED"
    assert [each.number for each in world.snapshots.of(NAME)] == [2]


def test_nothing_is_started_for_what_units_do_not_see() -> None:
    world = World()
    world.create()
    begun = len(world.backend.taken)
    nothing_new(world)
    found = world.settle()
    assert world.titles(begun) == ["Build"]
    assert (found.revision, found.deployed.cell) == (2, 1)
    world.begin(option("9"))
    assert world.settle().deployed.cell == 3
    check_sound(world)


def test_running_tasks_are_waited_for_and_the_environment_is_available_meanwhile() -> None:
    world = World()
    world.create()
    world.backend.busy = True
    update(world)
    assert world.settle().status is Status.AVAILABLE
    for _ in range(20):
        world.look(world.controller())
    assert world.place.cells[1].units == {"worker-1": "stopping"}
    assert "1 worker" in world.found().progress.detail
    world.backend.busy = False
    world.place.cells[1].units.clear()
    world.settle()
    check_sound(world)


def test_an_upgrade_waits_for_running_tasks_before_it_touches_the_database() -> None:
    world = World()
    world.create()
    world.backend.busy = True
    upgrade(world)
    for _ in range(40):
        world.look(world.controller())
    assert "Migrate" not in world.titles()
    assert world.found().progress.phase == "drain"
    world.backend.busy = False
    world.place.cells[1].units.clear()
    assert world.settle().status is Status.AVAILABLE
    check_sound(world)


def test_a_draining_cell_that_dies_is_brought_back_to_its_tasks() -> None:
    world = World()
    world.create()
    world.backend.busy = True
    update(world)
    world.settle()
    world.settle(lambda _: world.place.cells[1].seen().draining)
    world.place.cells[1].alive, world.place.cells[1].leftovers = False, True
    world.look(world.controller())
    assert world.ordered()[-1] == ("CellOrder TASKS", 1)


def test_what_runs_is_started_again_while_its_successor_is_being_built() -> None:
    world = World()
    world.create()
    update(world)
    world.place.cells[1].alive = False
    found = world.settle()
    assert found.status is Status.AVAILABLE
    begun = [revision for order, revision in world.ordered() if order == "CellOrder ALL"]
    assert begun == [1, 1, 2]


def test_more_workers_are_another_order_for_the_cell_that_runs() -> None:
    world = World()
    world.create()
    begun = len(world.backend.taken)
    world.begin(lambda spec: replace(spec, min_workers=spec.min_workers + 1))
    found = world.settle()
    assert (found.revision, found.deployed.cell) == (2, 1)
    assert world.ordered(begun) == [("Build", None), ("CellOrder ALL", 1)]
    assert {"worker-1", "worker-2"} <= set(world.place.cells[1].units)
    check_sound(world)
    world.begin(lambda spec: replace(spec, min_workers=spec.min_workers - 1))
    found = world.settle()
    assert (found.revision, found.deployed.cell) == (3, 1)
    assert "worker-2" in world.place.cells[1].units  # until it holds no task: test_scaling


def test_units_that_were_stopped_on_purpose_are_not_missed() -> None:
    world = World()
    world.create()
    controller = world.controller()
    world.look(controller)
    calm = len(world.backend.taken)
    world.place.cells[1].units.pop("worker-1")
    for _ in range(5):
        world.look(controller)
    assert len(world.backend.taken) == calm  # the cell has its order, and keeps to it


def test_what_a_broken_off_change_has_left_is_put_right() -> None:
    world = World()
    world.create()
    cell = world.place.cells[1]
    cell.order, world.place.served = replace(cell.order, keep=Keep.SHARED), 7
    cell.units.pop(ONCE)
    controller = world.controller()
    for _ in range(5):
        world.look(controller)
    assert set(cell.units) == set(UNITS)
    assert world.place.served == 1
    assert world.found().status is Status.AVAILABLE


def test_a_queue_belongs_to_its_database() -> None:
    world = World()
    world.create()
    assert world.place.queue == 1
    upgrade(world)
    world.settle()
    assert world.place.queue == 2
    world.begin(version("3.5.0"))
    world.backend.failures["CellOrder ALL"] = BrokenError("No.", code="BROKEN")
    world.settle(lambda found: found.status is Status.ROLLING_BACK)
    assert world.place.queue == 3
    world.backend.failures.clear()
    world.settle()
    assert world.place.queue == 2
    check_sound(world)


def test_a_second_update_is_refused_while_one_is_under_way() -> None:
    world = World()
    world.create()
    update(world)
    with pytest.raises(Exception, match="UPDATING status cannot be updated"):
        update(world)


@pytest.mark.parametrize("change", [update, upgrade])
def test_an_environment_can_be_deleted_at_any_moment_of_a_change(change: Callable[[World], None]) -> None:
    for looks in range(40):
        world = World()
        world.create()
        change(world)
        controller = world.controller()
        for _ in range(looks):
            world.look(controller)
        world.delete()
        assert world.settle(lambda found: found is None) is None
        place = world.place
        assert (place.databases, place.services, place.cells, place.exists) == ({}, None, {}, False)


def test_what_does_not_come_up_again_is_called_unavailable_and_tried_on() -> None:
    world = World()
    world.create()
    update(world)
    world.backend.unit_state, world.backend.restarts = "backing_off", RESTART_LIMIT
    world.settle(lambda found: found.status is Status.ROLLING_BACK)
    world.settle(lambda found: found.progress.phase == "start")
    world.place.cells[1].units = dict.fromkeys(UNITS, "backing_off")
    world.now += RESTORE_LIMIT
    found = world.settle(lambda found: found.status is Status.UNAVAILABLE)
    assert (found.change, found.last_update.status) == (None, "FAILED")
    world.place.cells[1].units = dict.fromkeys(UNITS, "ready")
    assert world.settle().status is Status.AVAILABLE
    check_sound(world)


def test_a_failed_update_can_be_followed_by_a_good_one() -> None:
    world = World()
    world.create()
    update(world)
    world.backend.failures["Build"] = BrokenError("No.", code="REQUIREMENTS_CONFLICT")
    assert world.settle().status is Status.UPDATE_FAILED
    world.backend.failures.clear()
    world.begin(option("8"))
    found = world.settle()
    assert (found.status, found.revision, found.last_update.status) == (Status.AVAILABLE, 3, "SUCCESS")
    assert [each.outcome for each in world.environments.revisions(NAME)] == ["APPLIED", "FAILED", "APPLIED"]


def test_a_broken_release_changes_nothing_of_what_runs() -> None:
    world = World()
    world.create()
    begun = len(world.backend.taken)
    update(world)
    world.backend.failures["Build"] = BrokenError("No.", code="REQUIREMENTS_CONFLICT")
    world.settle()
    assert set(world.titles(begun)) == {"Build"}


def test_maintenance_moves_to_the_patch_and_is_undone_to_available() -> None:
    world = World()
    world.create(WeeklyMaintenanceWindowStart="THU:00:00")
    world.backend.patch = Patch(version="3.3.2", lock="lock")
    world.settle(lambda found: found.status is Status.MAINTENANCE)
    world.backend.patch = None
    found = world.settle()
    assert (found.status, found.spec.airflow_version) == (Status.AVAILABLE, "3.3.2")
    assert found.last_update.source == "maintenance"
    check_sound(world)

    world = World()
    world.create(WeeklyMaintenanceWindowStart="THU:00:00")
    world.backend.patch = Patch(version="3.3.2", lock="lock")
    world.backend.failures["Build"] = BrokenError("No.", code="BROKEN")
    world.settle(lambda found: found.status is Status.MAINTENANCE)
    found = world.settle()
    assert (found.status, found.spec.airflow_version) == (Status.AVAILABLE, "3.3.1")
    assert (found.last_update.status, found.last_update.source) == ("FAILED", "maintenance")
    check_sound(world)
    for _ in range(10):
        world.look(world.controller())
    assert world.found().status is Status.AVAILABLE  # not again in the same window
    world.backend.failures.clear()
    update(world)
    world.settle()
    for _ in range(10):
        world.look(world.controller())
    assert world.found().status is Status.AVAILABLE  # nor after an update
