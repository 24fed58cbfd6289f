"""Hibernation: an environment falls asleep and wakes, wherever the control plane dies, and no work is left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerodrome.backends.memory import WATCHER, MemoryDatabases
from aerodrome.controller import hibernation as decisions
from aerodrome.controller import loop
from aerodrome.errors import RetryError
from aerodrome.model.environment import Environment
from aerodrome.model.hibernation import ASLEEP_TAG, IDLE_TAG, Rest
from aerodrome.model.lifecycle import Status
from aerodrome.model.observed import Ahead
from aerodrome.model.orders import CellOrder, Keep
from aerodrome.model.release import Patch
from unit.controller.test_changes import CHANGES, check_sound
from unit.controller.test_maintenance import SUNDAY
from unit.controller.world import NAME, NOW, Fuse, World, option

WORK = (Ahead(tasks=1), Ahead(runs=2), Ahead(triggers=1), Ahead(events=1), Ahead(unknown="Nobody knows."))

MOMENTS = st.floats(NOW.timestamp() - 86_400, NOW.timestamp() + 86_400) | st.sampled_from([1000.0, 1001.0])


def is_at(rest: Rest) -> Callable[[Environment | None], bool]:
    return lambda found: found is not None and found.hibernation.rest is rest


def kinds(world: World) -> list[str]:
    return [each["kind"] for each in world.environments.events(NAME)]


def created(**tags: str) -> World:
    world = World()
    world.create()
    world.environments.set_tags(NAME, tags)
    return world


def asleep(**tags: str) -> World:
    world = created(**tags)
    world.hibernate()
    world.settle(is_at(Rest.HIBERNATED))
    return world


def check_asleep(world: World) -> None:
    found, place = world.found(), world.place
    assert (found.status, found.hibernation.rest) == (Status.AVAILABLE, Rest.HIBERNATED)
    assert not any(cell.seen().runs for cell in place.cells.values())
    assert place.services is not None
    assert set(place.services.units) == {WATCHER}
    assert place.databases == {"live": found.deployed.version}
    assert place.queue == found.deployed.database


def check_awake(world: World) -> None:
    check_sound(world)
    assert world.found().hibernation.rest is Rest.AWAKE
    assert world.place.services.seen().all_ready


def rest(world: World, seconds: float) -> None:
    """Look again and again for so long; the longer, the more seldom."""
    controller, ends = world.controller(), world.now + timedelta(seconds=seconds)
    while world.now < ends:
        world.look(controller)
        world.now += timedelta(seconds=seconds / 500)


def test_it_falls_asleep_and_wakes_and_says_so():
    world = created()
    world.hibernate()
    world.settle(is_at(Rest.HIBERNATED))
    check_asleep(world)
    rest(world, 60)
    check_asleep(world)
    assert "Hibernated: no run is due." in world.found().progress.detail
    world.wake()
    world.settle(is_at(Rest.AWAKE))
    check_awake(world)
    told = ["HIBERNATION_REQUESTED", "HIBERNATION_BEGUN", "HIBERNATED", "WAKING", "AWAKE"]
    assert [each for each in kinds(world) if each in told] == told


@pytest.mark.parametrize("after", [False, True])
def test_it_falls_asleep_and_wakes_wherever_the_control_plane_dies(*, after: bool):
    at = 0
    while True:
        world = created()
        world.fuse = Fuse(at=at, after=after)
        world.hibernate()
        world.settle(is_at(Rest.HIBERNATED))
        check_asleep(world)
        world.wake()
        world.settle(is_at(Rest.AWAKE))
        check_awake(world)
        if at >= len(world.fuse.effects):
            break
        at += 1
    assert at > 10


@pytest.mark.parametrize("work", WORK)
def test_what_runs_refuses_hibernation_or_is_waited_for(work):
    world = created()
    world.place.ahead = work
    world.hibernate()
    found = world.settle(is_at(Rest.AWAKE))
    assert "HIBERNATION_REFUSED" in kinds(world)
    assert found.hibernation.refusal
    check_awake(world)

    world.hibernate(waits=True)
    rest(world, 300)
    assert world.found().hibernation.rest is Rest.WAITING
    check_sound(world)
    world.place.ahead = Ahead()
    world.settle(is_at(Rest.HIBERNATED))
    check_asleep(world)


def test_a_worker_that_still_runs_a_task_is_never_stopped():
    world = created()
    world.backend.busy = True  # its worker took a task just before it was told to drain
    world.hibernate()
    controller = world.controller()
    for _ in range(200):
        world.look(controller)
    assert world.found().hibernation.rest is Rest.STOPPING
    [cell] = world.place.cells.values()
    assert (cell.alive, cell.order.keep, cell.order.patience >= 12 * 3600) == (True, Keep.TASKS, True)
    for each in world.place.cells.values():
        each.units.clear()  # the task has ended
    world.settle(is_at(Rest.HIBERNATED))
    check_asleep(world)


@pytest.mark.parametrize("work", WORK)
def test_what_came_while_units_stopped_wakes_it_again(work):
    world = created()
    world.hibernate()
    world.settle(is_at(Rest.STOPPING))
    world.place.ahead = work
    world.settle(is_at(Rest.WAKING))
    world.settle(is_at(Rest.AWAKE))
    check_awake(world)


def test_it_wakes_a_little_before_the_next_run_is_due():
    world = created()
    due = world.place.ahead = Ahead(due_at=world.now + timedelta(hours=2))
    world.hibernate()
    world.settle(is_at(Rest.HIBERNATED))
    rest(world, 7100)
    check_asleep(world)
    assert "the next run is due at" in world.found().progress.detail
    world.settle(is_at(Rest.WAKING))
    early = due.due_at - world.now
    assert timedelta() < early <= decisions.LEAD
    world.settle(is_at(Rest.AWAKE))
    assert world.now < due.due_at


def test_a_run_that_was_due_while_nobody_looked_wakes_it():
    world = created()
    world.place.ahead = Ahead(due_at=world.now + timedelta(hours=2))
    world.hibernate()
    world.settle(is_at(Rest.HIBERNATED))
    world.now += timedelta(days=3)  # the machine was off
    world.settle(is_at(Rest.WAKING))


def test_it_does_not_fall_asleep_for_two_minutes_and_a_run_that_no_scheduler_starts_hinders_nobody():
    world = created()
    world.place.ahead = Ahead(due_at=world.now + timedelta(minutes=1))
    world.hibernate()
    found = world.settle(is_at(Rest.AWAKE))
    assert "due at" in found.hibernation.refusal
    world.now += timedelta(hours=1)
    world.hibernate()
    world.settle(is_at(Rest.HIBERNATED))
    rest(world, 600)
    check_asleep(world)


def test_a_changed_dag_object_wakes_it():
    world = created()
    world.place.dags_at = 1000.0
    world.hibernate()
    world.settle(is_at(Rest.HIBERNATED))
    rest(world, 60)
    check_asleep(world)
    world.place.dags_at = 1001.0
    world.settle(is_at(Rest.AWAKE))
    check_awake(world)


@given(before=st.none() | MOMENTS, after=MOMENTS)
@settings(max_examples=30)
def test_a_dag_object_that_changed_wakes_it_whatever_the_clock_has_done(before, after):
    world = created()
    world.place.dags_at = before
    world.now += timedelta(days=2)
    world.hibernate()
    world.settle(is_at(Rest.HIBERNATED))
    world.place.dags_at = after
    rest(world, 60)
    assert (world.found().hibernation.rest is Rest.HIBERNATED) == (after == before)


@pytest.mark.parametrize("news", ["creation", "object", "maintenance"])
def test_it_does_not_fall_asleep_before_its_dag_files_are_read(news):
    world = created()
    if news == "object":
        world.place.dags_at = world.now.timestamp() + 1
        world.now += timedelta(seconds=2)
    elif news == "maintenance":
        world.hibernate()
        world.settle(is_at(Rest.HIBERNATED))
        world.backend.patch = Patch(version="3.3.1", lock="new")
        world.now = SUNDAY
        world.settle(lambda found: found.status is Status.MAINTENANCE)
        world.backend.patch = None
    world.place.read_at = world.now - timedelta(seconds=1)
    if news != "maintenance":
        world.hibernate()
        assert "not been read yet" in world.settle(is_at(Rest.AWAKE)).hibernation.refusal
        world.hibernate(waits=True)
    rest(world, 120)
    assert world.found().hibernation.rest is Rest.WAITING
    assert "not been read yet" in world.found().progress.detail
    world.place.read_at = world.now
    world.settle(is_at(Rest.HIBERNATED))
    check_asleep(world)


@pytest.mark.parametrize(("read", "limit"), [(None, decisions.EMPTY_AFTER), (NOW, decisions.READ_LIMIT)])
def test_without_dags_and_with_files_that_are_never_read_it_sleeps_after_a_while(read, limit):
    world = created()
    world.place.read_at, begun = read, world.now
    world.hibernate(waits=True)
    rest(world, limit.total_seconds() - 10)
    assert world.found().hibernation.rest is Rest.WAITING
    world.settle(is_at(Rest.HIBERNATED))
    assert world.now - begun < limit + timedelta(minutes=1)


@pytest.mark.parametrize("waits", [False, True])
def test_hibernation_that_is_asked_for_while_it_wakes_follows_and_it_is_available_throughout(waits):
    world = asleep()
    world.wake()
    world.look(world.controller())
    world.hibernate(waits=waits)
    assert world.found().hibernation.rest is Rest.WAKING
    world.settle(is_at(Rest.WAITING))
    check_sound(world)
    world.settle(is_at(Rest.HIBERNATED))
    check_asleep(world)
    assert "AWAKE" in kinds(world)
    assert Status.UNAVAILABLE not in kinds(world)


def test_an_update_while_it_stops_brings_every_unit_back_at_once():
    world = created()
    world.backend.busy = True
    world.hibernate()
    controller = world.controller()
    while world.place.cells[1].order.keep is not Keep.TASKS:
        world.look(controller)
    since = len(world.backend.taken)
    world.begin(option("7"))
    world.look(controller)
    assert world.titles(since) == ["CellOrder ALL"]
    world.backend.busy = False
    world.settle()
    check_awake(world)


def test_a_cell_that_dies_before_its_units_stop_leaves_no_task_killed():
    world = created()
    world.backend.busy = True
    world.hibernate()
    world.settle(is_at(Rest.STOPPING))
    [cell] = world.place.cells.values()
    cell.alive, cell.leftovers = False, True
    controller, since = world.controller(), len(world.backend.taken)
    for _ in range(50):
        world.look(controller)
    kept = {each.keep for each in world.backend.taken[since:] if isinstance(each, CellOrder)}
    assert kept == {Keep.TASKS}


def test_who_wakes_it_does_not_wait_for_a_worker_that_ends_with_its_task():
    world = created()
    world.hibernate()
    world.settle(is_at(Rest.HIBERNATED))
    world.wake()
    controller = world.controller()
    while not world.place.cells[1].alive:
        world.look(controller)
    world.place.cells[1].units = dict.fromkeys(world.place.cells[1].units, "ready") | {"worker-1": "stopping"}
    world.settle(is_at(Rest.AWAKE))
    assert world.place.cells[1].units["worker-1"] == "stopping"
    assert world.found().status is Status.AVAILABLE


def test_a_trouble_is_told_while_it_waits_and_only_once():
    world = created()
    world.place.ahead = Ahead(tasks=1)
    world.hibernate(waits=True)
    world.backend.damage = "A table is gone."
    rest(world, 60)
    assert world.found().progress.detail == "DATABASE_DAMAGED: A table is gone."
    assert kinds(world).count("FAILURE") == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("before", [Rest.WAITING, Rest.STOPPING, Rest.HIBERNATED, Rest.WAKING])
def test_a_change_comes_about_from_wherever_it_is(change, before):
    world = created()
    if before is Rest.WAITING:
        world.place.ahead = Ahead(tasks=1)
    world.hibernate(waits=True)
    if before is Rest.WAKING:
        world.settle(is_at(Rest.HIBERNATED))
        world.wake()
    world.settle(is_at(before))
    change(world)
    wanted = world.found().change.spec
    found = world.settle()
    assert (found.status, found.spec) == (Status.AVAILABLE, wanted)
    check_awake(world)


@pytest.mark.parametrize("before", [Rest.WAITING, Rest.STOPPING, Rest.HIBERNATED, Rest.WAKING])
def test_nothing_is_left_after_a_deletion_from_wherever_it_is(before):
    world = created()
    if before is Rest.WAITING:
        world.place.ahead = Ahead(tasks=1)
    world.hibernate(waits=True)
    if before is Rest.WAKING:
        world.settle(is_at(Rest.HIBERNATED))
        world.wake()
    world.settle(is_at(before))
    world.delete()
    assert world.settle() is None
    assert not world.place.exists
    assert not world.place.databases


def test_hibernation_that_is_asked_for_during_an_update_follows_it():
    world = created()
    world.begin(option("7"))
    world.hibernate(waits=True)
    assert world.found().hibernation.rest is Rest.WAITING
    world.settle(is_at(Rest.HIBERNATED))
    assert world.found().revision == 2
    check_asleep(world)


def test_it_waits_for_the_tasks_of_a_former_revision():
    world = created()
    world.backend.busy = True
    world.begin(option("7"))
    world.settle()
    world.hibernate()
    found = world.settle(is_at(Rest.AWAKE))
    assert "former revision" in found.hibernation.refusal


def test_maintenance_happens_in_its_window_and_sleep_goes_on():
    world = asleep()
    world.backend.patch = Patch(version="3.3.1", lock="new")
    rest(world, 3600)
    check_asleep(world)
    world.now = SUNDAY
    world.settle(lambda found: found.status is Status.MAINTENANCE)
    world.backend.patch = None
    world.settle(is_at(Rest.HIBERNATED))
    found = world.found()
    assert (found.revision, found.last_update.source) == (2, "maintenance")
    check_asleep(world)


def test_an_environment_that_does_not_wake_is_unavailable_and_tried_again():
    world = asleep()
    world.backend.unit_state = "starting"
    world.wake()
    rest(world, 170)
    assert world.found().hibernation.rest is Rest.WAKING
    rest(world, 20)
    found = world.settle(lambda found: found.status is Status.UNAVAILABLE)
    assert found.hibernation.rest is Rest.AWAKE
    for cell in world.place.cells.values():
        cell.units = dict.fromkeys(cell.units, "ready")
    world.settle()
    check_awake(world)


def test_while_nobody_knows_what_is_due_it_stays_as_it_is():
    world = created()
    world.backend.is_slow = True
    world.hibernate()
    rest(world, 60)
    assert world.found().hibernation.rest is Rest.WAITING
    world.backend.is_slow = False
    world.settle(is_at(Rest.HIBERNATED))
    world.backend.is_slow = True
    rest(world, 60)
    check_asleep(world)
    world.backend.is_slow = False
    world.place.ahead = Ahead(tasks=1)
    world.settle(is_at(Rest.WAKING))


def test_what_is_not_to_wait_is_refused_when_nobody_knows_for_minutes():
    world = created()
    world.backend.is_slow = True
    world.hibernate()
    rest(world, decisions.ANSWER_LIMIT.total_seconds() + 10)
    found = world.found().hibernation
    assert (found.rest, "does not say" in found.refusal) == (Rest.AWAKE, True)


def test_a_database_that_does_not_answer_is_seldom_asked():
    world = created()
    world.hibernate(waits=True)
    with mock.patch.object(MemoryDatabases, "ahead", side_effect=RetryError("too slow")) as asked:
        rest(world, 60)
    assert 2 <= asked.call_count <= 60 / loop.ASK_AGAIN + 1
    world.settle(is_at(Rest.HIBERNATED))


def test_its_watcher_is_started_again():
    world = asleep()
    world.place.services.end()  # as after `aerodrome down`
    rest(world, 30)
    check_asleep(world)


def test_it_wakes_after_everything_of_it_was_stopped():
    world = asleep()
    world.place.services.end()
    world.wake()
    world.settle(is_at(Rest.AWAKE))
    check_awake(world)


def test_it_hibernates_by_itself_when_it_has_been_idle_and_not_before():
    world = created(**{IDLE_TAG: "30m"})
    rest(world, 29 * 60)
    assert world.found().hibernation.rest is Rest.AWAKE
    rest(world, 2 * 60)
    check_asleep(world)
    assert not world.found().hibernation.by_command


@pytest.mark.parametrize("use", ["work", "dags", "people"])
def test_whatever_uses_it_keeps_it_awake(use):
    world = created(**{IDLE_TAG: "30m"})
    for _ in range(10):
        rest(world, 10 * 60)
        assert world.found().hibernation.rest is Rest.AWAKE
        if use == "people":
            found = world.found()
            used = replace(found.hibernation, used_at=world.now)
            world.environments.rows[NAME] = replace(found, hibernation=used)
        elif use == "dags":
            world.place.dags_at = world.now.timestamp()
        else:
            world.place.ahead = Ahead(tasks=1)
            rest(world, 20)
            world.place.ahead = Ahead()
    rest(world, 31 * 60)
    check_asleep(world)


def test_without_a_tag_it_stays_awake():
    world = created()
    rest(world, 48 * 3600)
    assert world.found().hibernation.rest is Rest.AWAKE


def test_it_sleeps_at_night_and_wakes_in_the_morning():
    world = created(**{ASLEEP_TAG: "20:00-07:00"})  # it is midnight
    rest(world, 6 * 60)
    check_asleep(world)
    rest(world, 6 * 3600)
    check_asleep(world)
    rest(world, 3600)
    check_awake(world)
    rest(world, 12 * 3600)
    check_awake(world)
    rest(world, 1.5 * 3600)
    check_asleep(world)


def test_whom_a_command_sent_to_sleep_no_morning_wakes():
    world = asleep(**{ASLEEP_TAG: "20:00-07:00"})
    rest(world, 12 * 3600)
    check_asleep(world)
