"""What an environment's code does to its database: what can be set anew is, the rest is told, and changes end."""

from __future__ import annotations

import pytest

from aerodrome.model.lifecycle import Status
from aerodrome.model.orders import title
from unit.controller.world import NAME, World, option

ALTERED = ("the role's password", "the database's connection limit")


@pytest.fixture
def world() -> World:
    made = World()
    made.create()
    return made


def events(world: World, kind: str) -> list[str]:
    return [event["sentence"] for event in world.environments.events(NAME) if event["kind"] == kind]


def is_mended(world: World):
    return lambda _: not world.place.altered


def test_what_was_altered_is_set_anew_and_told(world):
    world.place.altered = ALTERED
    world.settle(until=is_mended(world))
    [note] = [each for each in events(world, "NOTE") if "the role's password" in each]
    assert "the database's connection limit" in note
    assert world.found().status is Status.AVAILABLE


def test_an_update_meanwhile_comes_to_its_end(world):
    world.begin(option("7"))
    world.place.altered = ALTERED
    assert world.settle().last_update.status == "SUCCESS"
    assert world.place.altered == ()


def test_an_environment_that_comes_back_has_its_database_mended_first(world):
    world.place.cells[world.found().deployed.cell].alive = False
    world.place.altered = ALTERED
    world.backend.taken.clear()
    world.settle(until=lambda found: found.status is Status.AVAILABLE and not world.place.altered)
    steps = [title(order) for order in world.backend.taken]
    assert steps.index("MendDatabase") < steps.index("CellOrder ALL")


def test_damage_is_told_once_as_long_as_it_is_the_same(world):
    controller = world.controller()
    for damage in ("Tables are gone: dag.", "Tables are gone: dag.", "Tables are gone: dag, job."):
        world.backend.damage = damage
        world.look(controller)
    assert events(world, "FAILURE") == ["Tables are gone: dag.", "Tables are gone: dag, job."]
    found = world.found()
    assert found.progress.detail == "DATABASE_DAMAGED: Tables are gone: dag, job."
    assert found.status is Status.AVAILABLE
    world.backend.damage = ""
    world.look(controller)
    assert world.found().progress.detail == "Every unit is ready."


def test_damage_keeps_no_former_revision_and_no_update_from_its_end(world):
    world.backend.damage = "Tables are gone: dag."
    world.begin(option("7"))
    assert world.settle().last_update.status == "SUCCESS"
    assert set(world.place.cells) == {world.found().deployed.cell}
