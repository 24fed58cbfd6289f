"""Cells that do not answer: everything waits for them, for a time; then they are replaced, and it goes on."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.contract import Step
from aerodrome.controller.keeping import CELL_PATIENCE, STOPPED_PATIENCE
from aerodrome.controller.plan import plan
from aerodrome.model.lifecycle import Status
from aerodrome.model.observed import Cell
from unit.controller.test_plan import NOW, an_environment, everything
from unit.controller.world import NAME, World, option, version

MUTE = Cell(alive=True, silent_for=1.0)
SETTLED = {Status.AVAILABLE, Status.UPDATE_FAILED}


def seen(whose: int | None, cell: Cell):
    observed = everything("ready")
    return replace(observed, services=cell) if whose is None else replace(observed, cells={whose: cell})


@pytest.mark.parametrize("whose", [None, 1])
@pytest.mark.parametrize("status", [Status.AVAILABLE, Status.UPDATE_FAILED, Status.UNAVAILABLE])
def test_a_silent_cell_is_waited_for_and_then_replaced(whose, status):
    environment = an_environment(status)
    waits = plan(environment, seen(whose, MUTE), NOW)
    assert (waits.step, waits.event, "does not answer" in waits.detail) == (None, None, True)
    late = plan(environment, seen(whose, replace(MUTE, silent_for=CELL_PATIENCE + 1)), NOW)
    assert (late.step, late.revision, late.note[0]) == (Step.END_CELL, whose, "CELL_HUNG")


@given(st.floats(0.1, 200), st.booleans())
def test_no_cell_is_replaced_before_its_time(silent_for, stopped):
    mute = replace(MUTE, silent_for=silent_for, stopped=stopped)
    chosen = plan(an_environment(Status.AVAILABLE), seen(1, mute), NOW)
    assert (chosen.step is Step.END_CELL) is (silent_for > (STOPPED_PATIENCE if stopped else CELL_PATIENCE))


def test_a_deletion_waits_for_nobody():
    deleting = an_environment(Status.DELETING)
    assert plan(deleting, seen(1, replace(MUTE, silent_for=1000)), NOW).step is Step.STOP_CELL


def falls_silent(world: World, look: int, whose: int | None) -> bool:
    """Look so often, and let a cell fall silent; false when there is none."""
    controller = world.controller()
    for _ in range(look):
        world.look(controller)
    place = world.place
    boxes = [place.cells[number] for number in sorted(place.cells)]
    box = place.services if whose is None else boxes[whose] if whose < len(boxes) else None
    if box is None or not box.alive:
        return False
    box.silent_for, box.stopped = STOPPED_PATIENCE + 1, True
    return True


@pytest.mark.parametrize("wish", [option("7"), version("3.4.0")], ids=["update", "upgrade"])
@pytest.mark.parametrize("whose", [None, 0, 1])
def test_a_change_goes_on_whichever_cell_falls_silent_whenever(wish, whose):
    fell = 0
    for look in range(40):
        world = World()
        world.create()
        world.begin(wish)
        fell += falls_silent(world, look, whose)
        found = world.settle()
        assert (found.status, found.last_update.status) == (Status.AVAILABLE, "SUCCESS"), look
        assert found.spec == wish(found.spec)
    assert fell


def test_a_settled_environment_comes_back_and_its_events_say_why():
    world = World()
    world.create()
    falls_silent(world, 0, 0)
    world.settle(lambda found: found.status is Status.UNAVAILABLE)
    world.settle(lambda found: found.status is Status.AVAILABLE)
    kinds = [event["kind"] for event in world.environments.events(NAME)]
    assert [kind for kind in kinds if kind in {"CELL_HUNG", "LOST", "RECOVERED"}] == ["CELL_HUNG", "LOST", "RECOVERED"]


def test_a_hung_unit_is_told_once_even_by_the_next_control_plane():
    world = World()
    world.create()
    box = world.place.cells[1]
    for at in (100.0, 100.002, 200.0):
        box.hung = ("was stopped by a signal for 10 s", at)
        for _ in range(3):
            world.look(world.controller())
    told = [event for event in world.environments.events(NAME) if event["kind"] == "UNIT_HUNG"]
    assert [event["detail"]["at"] for event in told] == [100.0, 200.0]
    assert told[0]["sentence"] == "scheduler was stopped by a signal for 10 s; it was ended and is started again."


def test_a_full_disk_fails_no_change():
    world = World()
    world.create()
    world.backend.failures[Step.CELL] = OSError(errno.ENOSPC, "No space left on device")
    world.begin(option("7"))
    controller = world.controller()
    for _ in range(40):
        world.look(controller)
    assert world.found().status is Status.UPDATING
    assert "disk is full" in world.found().progress.detail
    world.backend.failures.clear()
    found = world.settle()
    assert (found.status, found.last_update.status) == (Status.AVAILABLE, "SUCCESS")


def test_lost_tasks_wait_for_a_scheduler_that_lives():
    """Handed to one that died with their worker, they would be found in five minutes only."""
    world = World()
    world.create()
    box = world.place.cells[1]
    world.place.bereaved, box.units["scheduler"] = True, "backing_off"
    controller = world.controller()
    for _ in range(5):
        world.look(controller)
    assert world.place.bereaved
    box.units["scheduler"] = "ready"
    world.look(controller)
    assert not world.place.bereaved
