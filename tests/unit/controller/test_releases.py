"""A release whose folder is gone is built again beside what runs; what keeps it from that is told."""

from __future__ import annotations

import pytest

from aerodrome.backends.memory import FakeCell
from aerodrome.model.environment import Failure
from aerodrome.model.lifecycle import Status
from unit.controller.world import NAME, World, option

GONE = Failure(code="S3_OBJECT_UNREADABLE", message="Unable to read version v1 of file requirements.txt")


@pytest.fixture
def world() -> World:
    made = World()
    made.create()
    made.place.lost = made.found().deployed.identifier
    made.backend.taken.clear()
    return made


def events(world: World, kind: str) -> list[str]:
    return [event["sentence"] for event in world.environments.events(NAME) if event["kind"] == kind]


def test_what_runs_goes_on_while_it_is_built_again(world):
    world.settle(until=lambda _: world.place.lost is None)
    assert world.titles() == ["Rebuild"]
    assert world.found().status is Status.AVAILABLE
    assert [each for each in events(world, "NOTE") if "built again" in each]


def test_what_does_not_run_waits_for_it(world):
    world.place.cells[world.found().deployed.cell].alive = False
    world.settle(until=lambda found: found.status is Status.UNAVAILABLE)
    assert world.settle(until=lambda found: found.status is Status.AVAILABLE)
    taken = world.titles()
    assert taken.index("Rebuild") < taken.index("CellOrder ALL")


def test_what_keeps_it_from_being_built_is_told_once_and_tried_again(world):
    world.backend.unreadable = GONE
    controller = world.controller()
    for _ in range(5):
        world.look(controller)
    assert events(world, "FAILURE") == [GONE.message]
    found = world.found()
    assert (found.status, found.progress.detail) == (Status.AVAILABLE, f"{GONE.code}: {GONE.message}")
    assert world.titles() == ["Rebuild"]

    world.backend.unreadable = None
    world.place.work.clear()  # as the backend forgets it after a while
    world.settle(until=lambda _: world.place.lost is None)
    world.look(controller)
    assert world.found().progress.detail == "Every unit is ready."


def test_an_update_needs_it_no_more(world):
    world.backend.unreadable = GONE
    world.begin(option("7"))
    found = world.settle()
    assert (found.last_update.status, set(world.place.cells)) == ("SUCCESS", {found.deployed.cell})


def test_trouble_keeps_no_former_revision_from_its_end(world):
    world.backend.unreadable = GONE
    world.place.cells[99] = FakeCell()
    world.settle(until=lambda _: 99 not in world.place.cells)
    assert world.place.lost is not None
