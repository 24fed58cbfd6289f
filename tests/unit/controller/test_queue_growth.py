"""A queue has its environment looked at each time that it has grown, where workers may come."""

from __future__ import annotations

import pytest

from aerodrome.controller import queue_growth
from aerodrome.controller.queue_growth import QueueGrowth
from aerodrome.model.observed import NO_CELL, TasksSeen
from aerodrome.model.tenant import Tenant
from unit.controller.world import NAME, World


class Queues:
    """As much of a runtime as is asked, with the lengths of its queues."""

    def __init__(self) -> None:
        self.lengths: dict[str, int | None] = {}
        self.asked = 0

    def waiting(self, tenant: Tenant) -> int | None:
        self.asked += 1
        return self.lengths.get(tenant.name)


@pytest.fixture
def world():
    made = World()
    made.create(MaxWorkers=3, MinWorkers=1)
    made.settle()
    return made


def test_it_tells_of_a_queue_each_time_that_it_has_grown(world):
    queues, told = Queues(), []
    growth = QueueGrowth(queues, told.append)
    growth.follow(NAME, world.found().tenant)
    heard = []
    for length in (0, 4, 4, 9, 3, 3, 5, None, 1):
        queues.lengths[NAME] = length
        growth.look()
        heard.append(len(told))
    assert heard == [0, 1, 1, 2, 2, 2, 3, 3, 4]
    assert {*told} == {NAME}


def test_it_asks_no_queue_that_it_does_not_follow(world):
    queues = Queues()
    growth = QueueGrowth(queues, pytest.fail)
    growth.look()
    growth.follow(NAME, world.found().tenant)
    growth.follow(NAME, None)
    growth.follow(NAME, None)
    queues.lengths[NAME] = 7
    growth.look()
    assert queues.asked == 0


def test_a_queue_is_followed_while_workers_may_come(world):
    def may_help():
        return queue_growth.may_help(world.found(), world.place.cells[1].seen())

    assert may_help()
    controller = world.controller()
    world.place.waiting = 40
    world.place.tasks = TasksSeen(queued=40, overdue=0, running={})
    for _ in range(3):
        world.look(controller)
    assert world.place.cells[1].order.workers == (1, 2, 3)
    assert not may_help()


def test_a_queue_is_not_followed_where_no_cell_serves(world):
    world.place.cells[1].alive = False
    assert not queue_growth.may_help(world.found(), world.place.cells[1].seen())
    assert not queue_growth.may_help(world.found(), NO_CELL)
