"""What an environment's code does to its database: what can be put back is, the rest is told, and changes end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aerodrome.airflow.connections import FOR_EACH_TASK, FOR_EACH_WORKER
from aerodrome.controller import ordering
from aerodrome.model.lifecycle import Status
from aerodrome.model.orders import CellOrder, MendDatabase, title
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


def test_an_environment_has_the_connections_that_its_processes_may_want_before_any_of_them_runs(world):
    assert world.place.connections == ordering.connections(world.found()) > 0
    first = next(number for number, order in enumerate(world.backend.taken) if isinstance(order, CellOrder))
    assert world.backend.taken[first - 1] == MendDatabase(connections=world.place.connections)


def test_one_of_an_earlier_aerodrome_gets_a_limit_without_a_word(world):
    world.place.connections = -1
    world.look(world.controller())
    assert world.place.connections == ordering.connections(world.found())
    assert events(world, "NOTE") == []
    assert world.found().status is Status.AVAILABLE


def test_a_limit_that_cannot_be_set_is_not_set_again_and_again(world):
    world.place.connections = None
    world.backend.taken.clear()
    world.look(world.controller())
    assert world.backend.taken == []


def test_more_workers_of_airflow_2_may_have_more_connections_and_those_that_leave_keep_theirs():
    world = World()
    world.create("2.11.2")
    before = world.place.connections
    more = before + 2 * 3 * (FOR_EACH_WORKER + 5 * FOR_EACH_TASK)
    world.begin(lambda spec: replace(spec, min_workers=4))
    world.settle()
    assert world.place.connections == more
    world.begin(lambda spec: replace(spec, min_workers=1))
    world.settle(until=lambda _: world.backend.taken[-1] == MendDatabase(connections=before))
    assert MendDatabase(connections=more) in world.backend.taken
    assert "worker-4" not in world.place.cells[1].units  # only when they have ended


def test_a_database_that_has_grown_too_large_is_told_once_and_until_it_has_not(world):
    controller = world.controller()
    world.backend.outgrown = 10 * 2**30
    world.look(controller)
    world.look(controller)
    [told] = events(world, "FAILURE")
    assert "more than 10.0 GiB" in told
    assert world.found().progress.detail.startswith("DATABASE_TOO_LARGE: ")
    world.backend.outgrown = None
    world.look(controller)
    assert world.found().progress.detail == "Every unit is ready."


def test_who_holds_all_its_connections_is_told_by_name_and_once(world):
    controller = world.controller()
    world.backend.exhausted = 120
    world.look(controller)
    world.look(controller)
    [told] = events(world, "FAILURE")
    assert "all 120 connections" in told
    assert world.found().progress.detail.startswith("DATABASE_CONNECTIONS_EXHAUSTED: ")
    assert world.found().status is Status.AVAILABLE
