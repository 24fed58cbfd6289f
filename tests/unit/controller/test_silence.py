"""Cells that do not answer: the controller waits for a time, then replaces them and goes on."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from aerodrome.controller.plans import Wait
from aerodrome.model.lifecycle import Status
from aerodrome.model.observed import Cell, CellState, DiskImage, LimitMet
from aerodrome.model.orders import Death, ServicesOrder, title
from unit.controller.test_plan import NOW, an_environment, everything
from unit.controller.world import NAME, World, option, plan, version

ORDER = ServicesOrder(bucket_arn="", dag_s3_path="", execution_role_arn="", airflow_version="3.3.1", queue=1)
MUTE = Cell(state=CellState.SILENT, order=ORDER)
TOO_LONG = "gave no answer for 91 s"
SETTLED = {Status.AVAILABLE, Status.UPDATE_FAILED}


def seen(whose: int | None, cell: Cell):
    observed = everything("ready")
    change = {"services": cell} if whose is None else {"cells": {whose: cell}}
    return replace(observed, runtime=replace(observed.runtime, **change))


@pytest.mark.parametrize("whose", [None, 1])
@pytest.mark.parametrize("status", [Status.AVAILABLE, Status.UPDATE_FAILED, Status.UNAVAILABLE])
def test_a_silent_cell_is_waited_for_and_then_replaced(whose, status):
    environment = an_environment(status)
    waits = plan(environment, seen(whose, MUTE), NOW)
    assert isinstance(waits, Wait)
    assert "does not answer" in waits.detail
    late = plan(environment, seen(whose, replace(MUTE, state=CellState.LOST, trouble=TOO_LONG)), NOW)
    assert (late.orders, late.note.revision, late.note.kind) == ((ORDER,), whose, "CELL_HUNG")
    assert TOO_LONG in late.note.sentence


def test_a_deletion_waits_for_nobody():
    deleting = an_environment(Status.DELETING)
    found = plan(deleting, seen(1, MUTE), NOW)
    assert [title(order) for order in found.orders] == ["CellOrder NOTHING"]


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
    box.silent, box.trouble = True, "was stopped by a signal for 11 s"
    return True


@pytest.mark.parametrize("update", [option("7"), version("3.4.0")], ids=["update", "upgrade"])
@pytest.mark.parametrize("whose", [None, 0, 1])
def test_a_change_goes_on_whichever_cell_falls_silent_whenever(update, whose):
    fell = 0
    for look in range(40):
        world = World()
        world.create()
        world.begin(update)
        fell += falls_silent(world, look, whose)
        found = world.settle()
        assert (found.status, found.last_update.status) == (Status.AVAILABLE, "SUCCESS"), look
        assert found.spec == update(found.spec)
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


@pytest.mark.parametrize(
    ("limit", "allowed", "kind", "sentence"),
    [
        ("memory", 2**31, "OUT_OF_MEMORY", "worker-1 ran out of memory (2.0 GiB by mw1.small): the kernel ended "),
        ("memory", None, "OUT_OF_MEMORY", "worker-1 ran out of memory (its environment's limit): the kernel ended "),
        ("processes", 576, "OUT_OF_PROCESSES", "worker-1 may have no more processes and threads (576 by mw1.small): "),
    ],
)
def test_a_limit_that_was_met_is_told_once_and_again_when_it_is_met_again(limit, allowed, kind, sentence):
    world = World()
    world.create()
    for at in (100.0, 100.002, 200.0):
        world.place.cells[1].limit_met = LimitMet(limit=limit, allowed=allowed, at=at)
        for _ in range(3):
            world.look(world.controller())
    told = [event for event in world.environments.events(NAME) if event["kind"] == kind]
    assert [event["detail"]["at"] for event in told] == [100.0, 200.0]
    assert told[0]["sentence"].startswith(sentence)
    assert told[0]["sentence"].endswith("Choose a larger EnvironmentClass, or let DAG code take less.")


def test_a_full_disk_of_an_environments_own_is_told_with_what_to_do():
    world = World()
    world.create()
    for at in (None, 100.0, 100.002, 200.0):
        world.place.cells[1].images = (
            DiskImage(name="temporary files", size=20 * 2**30, free=0, full_at=at),
            DiskImage(name="logs", size=4 * 2**30, free=2**30),
        )
        for _ in range(3):
            world.look(world.controller())
    told = [event for event in world.environments.events(NAME) if event["kind"] == "DISK_FULL"]
    assert [(event["detail"]["unit"], event["detail"]["at"]) for event in told] == [
        ("temporary files", 100.0),
        ("temporary files", 200.0),
    ]
    assert told[0]["sentence"].startswith("The environment's disk for temporary files is full (20.0 GiB): ")
    assert "AERODROME_TEMPORARY_BYTES" in told[0]["sentence"]


def test_a_full_disk_fails_no_change():
    world = World()
    world.create()
    world.backend.failures["CellOrder ALL"] = OSError(errno.ENOSPC, "No space left on device")
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
    """If they went to a scheduler that died with their worker, the next one would find them only after five minutes."""
    world = World()
    world.create()
    box = world.place.cells[1]
    box.died_at, box.units["scheduler"] = 100.0, "backing_off"
    controller = world.controller()
    for _ in range(5):
        world.look(controller)
    assert "ReportDeaths" not in map(title, world.backend.taken)
    box.units["scheduler"] = "ready"
    for _ in range(5):
        world.look(controller)
    [told] = [order for order in world.backend.taken if title(order) == "ReportDeaths"]
    assert told.deaths == (Death(revision=1, worker="worker-1", at=100.0),)
