"""A unit that ends again and again is told once, and again only when it had been well in between."""

from __future__ import annotations

from datetime import timedelta

import pytest

from unit.controller.world import NAME, World


@pytest.fixture
def world() -> World:
    made = World()
    made.create()
    return made


def told(world: World) -> list[str]:
    return [event["sentence"] for event in world.environments.events(NAME) if event["kind"] == "UNIT_FAILING"]


def test_a_crash_loop_is_told_once_until_the_unit_has_been_well(world):
    cell, controller = world.place.cells[1], world.controller()
    for cell.restarts in range(5):
        world.look(controller)
    assert told(world) == []
    for cell.restarts in range(5, 40):
        world.look(controller)
    units = len(cell.units)
    assert len(told(world)) == units
    assert told(world)[0] == (
        "scheduler has ended 5 times in a row; it is started again more slowly, and the others go on."
    )
    assert world.found().status == "AVAILABLE"
    world.now += timedelta(minutes=6)
    world.look(controller)
    for cell.restarts in range(40, 50):
        world.look(controller)
    assert len(told(world)) == 2 * units


def test_single_ends_with_long_peace_between_are_no_loop(world):
    cell, controller = world.place.cells[1], world.controller()
    for cell.restarts in range(20):
        world.look(controller)
        world.now += timedelta(minutes=6)
        world.look(controller)
    assert told(world) == []
