"""A cell in two zones: who runs where, the loss of a zone, and its return; also if the controller is killed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.controller import scaling
from aerodrome.controller.scaling import Crew
from aerodrome.errors import RetryError
from aerodrome.model import defaults, observed, zones
from aerodrome.model.observed import Cell, CellState, TasksSeen, Unit
from aerodrome.model.orders import CellOrder, Keep, ReportDeaths
from unit.controller.world import NAME, REQUEST, SETTLED, Killed, World, option, version

GIVEN = {"Schedulers": 2, "MinWebservers": 2, "MinWorkers": 2, "MaxWorkers": 6}
CARRIED_ON = (
    "The cell in the zone of subnet-a is gone; the one in that of subnet-b goes on, "
    "with worker-4 and what there is one of too."
)
SUBNETS = ("subnet-a", "subnet-b")


@pytest.fixture
def world() -> World:
    made = World()
    made.create(**GIVEN)
    return made


def order_of(world: World) -> CellOrder:
    order = world.place.cells[world.found().serving].order
    assert isinstance(order, CellOrder)
    return order


def looks(world: World, count: int, controller=None):
    controller = controller or world.controller()
    for _ in range(count):
        world.look(controller)
    return controller


def told(world: World, *kinds: str) -> list[str]:
    return [event["sentence"] for event in world.environments.events(NAME) if event["kind"] in kinds]


def in_zone(order: CellOrder, place: int) -> set[str]:
    names = {
        *(f"scheduler-{number}" for number in range(2, order.schedulers + 1)),
        *(f"web-{number}" for number in range(2, order.web_servers + 1)),
        *(f"worker-{number}" for number in order.workers),
        *("scheduler", "web", "dag-processor", "execution", "triggerer"),
    }
    return {name for name in names if zones.has(order, place, *zones.parted(name))}


@pytest.mark.parametrize(
    ("asked", "spread"),
    [
        ({}, ()),
        ({"Schedulers": 2}, ()),
        ({"MinWebservers": 2}, ()),
        ({"MaxWebservers": 5}, ()),
        ({"Schedulers": 2, "MinWebservers": 2}, SUBNETS),
        ({"EnvironmentClass": "mw1.micro", "Schedulers": 1, "MinWebservers": 1}, ()),
    ],
)
def test_only_who_asks_for_two_of_each_has_two_zones(asked, spread):
    assert defaults.complete(NAME, {**REQUEST, **asked}, latest_version="3.3.1").zones == spread


def test_each_zone_has_its_half_and_one_leads(world):
    order = order_of(world)
    assert (order.zones, order.lead, order.without, order.workers) == (SUBNETS, 0, (), (1, 2))
    assert in_zone(order, 0) == {"scheduler", "web", "worker-1", "dag-processor", "execution", "triggerer"}
    assert in_zone(order, 1) == {"scheduler-2", "web-2", "worker-2", "execution", "triggerer"}


def test_the_other_zone_carries_on_and_balance_returns_with_the_lost_one(world):
    looks(world, 3)
    began = len(world.backend.taken)
    world.place.cells[1].lose(0)
    world.backend.unit_state = "starting"
    controller = looks(world, 1)
    moved = order_of(world)
    assert (moved.without, moved.lead, moved.workers) == ((0,), 1, (2, 4))
    ready = dict.fromkeys(("scheduler-2", "web-2", "worker-2"), "ready")
    assert world.place.cells[1].units == ready | dict.fromkeys(("dag-processor", "worker-4"), "starting")
    looks(world, 1, controller)
    assert (order_of(world).without, order_of(world).lead) == ((), 1)
    world.place.tasks = TasksSeen(queued=12, overdue=0, running={})
    looks(world, 3, controller)
    assert order_of(world).workers == (2, 4, 6)  # more come where they can come at once, and none leaves
    world.place.tasks = TasksSeen(queued=0, overdue=0, running={})
    world.place.cells[1].units = dict.fromkeys(world.place.cells[1].units, "ready")
    world.backend.unit_state = "ready"
    looks(world, 60, controller)
    balanced = order_of(world)
    assert (balanced.workers, balanced.draining, balanced.lead) == ((1, 2), (), 1)
    assert "dag-processor" in in_zone(balanced, 1)
    assert world.found().status == "AVAILABLE"
    assert {type(each).__name__ for each in world.backend.taken[began:]} == {"CellOrder", "MendDatabase"}
    assert told(world, "ZONE_LOST", "ZONE_RETURNED", "SCALING")[:4] == [
        CARRIED_ON,
        "The cell in the zone of subnet-a is started again.",
        "12 queued + 0 running, 5 a worker → 3 workers",
        "3 workers in one zone, 0 in the other → worker-1 comes, worker-6 takes no more tasks",
    ]


def test_a_zone_that_is_lost_again_and_again_is_started_more_slowly(world):
    controller = looks(world, 3)
    for _ in range(400):
        if not order_of(world).without:
            world.place.cells[1].lose(0)
        looks(world, 1, controller)
    starts = [event["at"] for event in world.environments.events(NAME) if event["kind"] == "ZONE_RETURNED"]
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    assert pauses[0] < 20
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 40
    assert world.found().status == "AVAILABLE"


def test_a_worker_with_tasks_is_not_told_to_end_for_the_balance(world):
    world.place.cells[1].lose(0)
    controller = looks(world, 2)
    world.place.tasks = TasksSeen(queued=0, overdue=0, running={(1, "worker-4"): 1, (1, "worker-2"): 2})
    world.place.held = {(1, "worker-4"): 1, (1, "worker-2"): 2}
    looks(world, 60, controller)
    assert (order_of(world).workers, order_of(world).draining) == ((1, 2, 4), (4,))
    world.place.tasks, world.place.held = TasksSeen(queued=0, overdue=0, running={}), {}
    looks(world, 6, controller)
    assert order_of(world).workers == (1, 2)


def test_tasks_of_the_lost_zone_are_told_to_the_scheduler_that_lives(world):
    world.place.tasks = TasksSeen(queued=0, overdue=0, running={(1, "worker-1"): 2})
    world.place.cells[1].lose(0)
    looks(world, 3)
    [death] = [death for each in world.backend.taken if isinstance(each, ReportDeaths) for death in each.deaths]
    assert (death.revision, death.worker) == (1, "worker-1")


def test_a_zone_that_cannot_be_started_keeps_nothing_from_going_on(world):
    world.place.cells[1].lose(1)
    controller = looks(world, 1)
    assert (order_of(world).without, order_of(world).lead, order_of(world).workers) == ((1,), 0, (1, 3))
    world.backend.failures["CellOrder ALL"] = RetryError("there is no place")
    looks(world, 5, controller)
    assert order_of(world).without == (1,)
    assert told(world, "ZONE_RETURNED") == []
    world.backend.failures.clear()
    looks(world, 12, controller)
    assert (order_of(world).without, order_of(world).workers) == ((), (1, 2))
    assert len(told(world, "ZONE_LOST")) == len(told(world, "ZONE_RETURNED")) == 1


def test_a_cell_that_died_alone_is_brought_back_to_its_units(world):
    before = dict(world.place.cells[1].units)
    world.place.cells[1].unattended = frozenset({1})
    controller = looks(world, 1)
    assert world.place.cells[1].unattended == frozenset()
    looks(world, 5, controller)
    assert (world.place.cells[1].units, told(world, "ZONE_LOST", "SCALING")) == (before, [])


def test_when_both_are_gone_the_environment_is_brought_back_as_every_other(world):
    world.place.cells[1].lose(0)
    looks(world, 1)
    world.place.cells[1].lose(1)
    looks(world, 1)
    assert world.found().status == "UNAVAILABLE"
    world.settle()
    assert (world.found().status, order_of(world).without) == ("AVAILABLE", ())
    assert set(world.place.cells[1].units) >= {"scheduler", "scheduler-2", "web", "web-2"}


@pytest.mark.parametrize("wanted", [option("64"), version("3.2.1"), lambda spec: replace(spec, given_schedulers=3)])
@pytest.mark.parametrize("place", [0, 1])
def test_a_zone_is_lost_while_an_update_is_under_way(world, wanted, place):
    world.begin(wanted)
    controller = looks(world, 2)
    world.place.cells[1].lose(place)
    looks(world, 1, controller)
    assert told(world, "ZONE_LOST") != []
    world.settle()
    assert (world.found().status, order_of(world).zones, order_of(world).without) == ("AVAILABLE", SUBNETS, ())


def test_zones_come_with_a_new_cell_alone(world):
    world.begin(lambda spec: replace(spec, given_webservers=None))
    world.settle()
    assert (order_of(world).revision, order_of(world).zones) == (2, ())
    world.begin(lambda spec: replace(spec, given_webservers=2))
    world.settle()
    assert (order_of(world).revision, order_of(world).zones) == (3, SUBNETS)


def test_an_environment_that_sleeps_wakes_in_both_zones(world):
    world.place.cells[1].lose(0)
    looks(world, 1)
    world.hibernate(waits=True)
    world.settle(lambda found: found is not None and found.hibernation.rest == "HIBERNATED")
    world.wake()
    world.settle(lambda found: found is not None and found.hibernation.rest == "AWAKE")
    looks(world, 10)
    assert (order_of(world).without, order_of(world).workers) == ((), (1, 2))


def test_a_controller_that_is_killed_at_any_moment_ends_where_it_would_have():
    at = 0
    while True:
        world = World()
        world.create(**GIVEN)
        begun = len(world.fuse.effects)
        world.fuse.at = begun + at
        world.place.cells[1].lose(0)
        controller = world.controller()
        for _ in range(30):
            try:
                world.look(controller)
            except Killed:
                controller = world.controller()
        assert (order_of(world).without, order_of(world).workers, order_of(world).draining) == ((), (1, 2), ())
        assert world.found().status in SETTLED
        at += 1
        if len(world.fuse.effects) <= begun + at - 1:
            break
    assert at > 3


# As properties


crews = st.builds(
    lambda numbers, drained, without: Crew(
        workers=tuple(sorted(each for each in numbers if not without or zones.of_number(each, 2) not in without)),
        draining=tuple(sorted(each for each in numbers & drained if zones.of_number(each, 2) not in without)),
        zones=2,
        without=without,
    ),
    st.sets(st.integers(1, 12), max_size=8),
    st.sets(st.integers(1, 12), max_size=4),
    st.sampled_from([(), (0,), (1,)]),
)


@given(crews, st.integers(1, 12), st.dictionaries(st.integers(1, 12), st.integers(1, 9)))
def test_as_many_as_are_needed_take_tasks_and_none_in_a_lost_zone(crew, count, busy):
    found = scaling.sized(crew, count, busy)
    assert len(found.active) == count
    assert set(found.draining) <= set(found.workers)
    assert not {zones.of_number(number, 2) for number in found.workers} & set(crew.without)
    assert set(crew.workers) <= set(found.workers)  # whoever is not needed drains


@given(st.integers(1, 12), st.sampled_from([(), (0,), (1,)]))
def test_zones_are_even(count, without):
    found = scaling.sized(Crew(workers=(), zones=2, without=without), count, {})
    sizes = [len(each) for each in found.in_zones(found.active).values()]
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == 2 - len(without)


STATES = st.lists(st.sampled_from(CellState), min_size=2, max_size=2)


@given(STATES)
def test_what_runs_anywhere_is_looked_after(states):
    parts = [
        Cell(state=state, units=(Unit(name=f"web-{at}", state="ready", restarts=0),)) for at, state in enumerate(states)
    ]
    whole = observed.across(parts)
    assert whole.runs == any(part.runs for part in parts)
    assert whole.alive == (CellState.SILENT in states or CellState.RUNNING in states)
    assert len(whole.units) == 2
    if whole.alive:
        assert whole.gone == {at for at, part in enumerate(parts) if not part.runs}
        assert whole.unattended == {at for at, part in enumerate(parts) if part.state is CellState.LOST}


def test_two_parts_with_different_orders_have_none():
    order = CellOrder(
        revision=1,
        deployed=None,
        options={},
        web_access="",
        tasks_per_worker=5,
        most_workers=5,
        workers=(1,),  # type: ignore[arg-type]
    )
    other, ended = replace(order, lead=1), replace(order, keep=Keep.NOTHING)
    running = Cell(state=CellState.RUNNING, order=order)
    assert observed.across([running, replace(running, order=other)]).order is None
    assert observed.across([running, Cell(state=CellState.ENDED, order=ended)]).order == order
    assert observed.across([Cell(state=CellState.ENDED, order=ended)] * 2).order == ended
