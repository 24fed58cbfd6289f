"""Workers follow the load: as properties of the decision, and with a controller that is killed at any effect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.memory import MemoryReleases
from aerodrome.controller import demand, keeping, scaling
from aerodrome.controller.scaling import Crew, Pace, Step
from aerodrome.model import defaults
from aerodrome.model.demand import Demand, Drain
from aerodrome.model.observed import Cell, CellState, QueueSeen, RuntimeSeen, TasksSeen, Unit, Work
from aerodrome.model.orders import Build, CellOrder, Death, QueueAgain, ReportDeaths
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec
from unit.controller.world import NAME, NOW, PACE, REQUEST, Killed, World, option

SLOTS = 5
WINDOW = 6.0
LOADS = st.lists(st.integers(0, 400), min_size=1, max_size=25)
QUICK = Pace(scale_in_after=WINDOW, drain_limit=PACE.drain_limit)


def spec(fewest: int = 1, most: int = 10) -> Spec:
    return replace(defaults.complete(NAME, REQUEST, latest_version="3.3.1"), min_workers=fewest, max_workers=most)


bounds = st.tuples(st.integers(1, 25), st.integers(1, 25)).map(sorted).map(lambda pair: spec(*pair))


@dataclass
class Load:
    """Workers under a load, second by second; none of them holds a task unless `holding` says so."""

    wanted: Spec
    crew: Crew = field(init=False)
    seen: Demand | None = None
    now: float = 0.0
    holding: dict[int, int] = field(default_factory=dict)
    steps: list[tuple[float, int, int, str]] = field(default_factory=list)
    """When, how many took tasks before and after, and the sentence."""

    def __post_init__(self) -> None:
        self.crew = scaling.standing(self.wanted, Cell(state=CellState.ABSENT))

    @property
    def cell(self) -> Cell:
        order = CellOrder(
            revision=1,
            deployed=Deployed(identifier="r", version="3.3.1", lock="l"),
            options={},
            web_access="",
            tasks_per_worker=SLOTS,
            most_workers=self.wanted.max_workers,
            workers=self.crew.workers,
            draining=self.crew.draining,
        )
        units = tuple(
            Unit(
                name=f"worker-{number}",
                state="ready",
                restarts=0,
                holds=self.holding.get(number, 0) if number in self.crew.draining else None,
            )
            for number in self.crew.workers
        )
        return Cell(state=CellState.RUNNING, order=order, units=units)

    def look(self, tasks: int | None, seconds: float = 1.0) -> Step | None:
        """One look, so many seconds after the last; None = the database does not answer."""
        self.now += seconds
        found = None if tasks is None else TasksSeen(queued=tasks, overdue=0, running=MappingProxyType({}))
        queue = QueueSeen(waiting=0, held={(1, f"worker-{number}"): count for number, count in self.holding.items()})
        self.seen = demand.seen(
            self.seen, 1, self.cell, queue, found, window=WINDOW, now=NOW + timedelta(seconds=self.now)
        )
        step = scaling.step(self.wanted, SLOTS, self.crew, self.seen, QUICK)
        if step is not None:
            self.steps.append((self.now, len(self.crew.active), len(step.crew.active), step.sentence))
            self.crew = step.crew
        return step

    def run(self, loads: Sequence[int | None]) -> None:
        for tasks in loads:
            self.look(tasks)

    @property
    def changes(self) -> list[tuple[float, int, int, str]]:
        """The steps that changed how many take tasks."""
        return [step for step in self.steps if step[1] != step[2]]


def needed(wanted: Spec, tasks: int) -> int:
    return min(max(math.ceil(tasks / SLOTS), wanted.min_workers), wanted.max_workers)


@given(bounds, LOADS)
def test_workers_are_within_their_bounds_and_enough_and_each_change_has_its_sentence(wanted, loads):
    load = Load(wanted)
    for tasks in loads:
        load.look(tasks)
        assert wanted.min_workers <= len(load.crew.active) <= wanted.max_workers
        assert len(load.crew.workers) <= wanted.max_workers
        assert len(load.crew.active) >= needed(wanted, tasks)
        assert set(load.crew.draining) <= set(load.crew.workers)
    for _, _, after, sentence in load.changes:
        assert f"→ {after} worker" in sentence
        assert f"{SLOTS} a worker" in sentence
    assert all(sentence.count("\n") == 0 and sentence for *_, sentence in load.steps)


@given(bounds, LOADS, st.integers(0, 50))
def test_more_load_never_has_fewer_workers(wanted, loads, more):
    low, high = Load(wanted), Load(wanted)
    for tasks in loads:
        low.look(tasks)
        high.look(tasks + more)
        assert len(low.crew.active) <= len(high.crew.active)


@given(st.integers(0, 60), st.integers(0, 40), st.randoms(use_true_random=False))
def test_a_load_that_goes_up_and_down_moves_nothing(low, noise, source):
    load = Load(spec())
    load.run([low + noise])
    load.run([low + source.randint(0, noise) if second % 5 else low + noise for second in range(1, 40)])
    assert [step[2] for step in load.changes] in ([], [needed(load.wanted, low + noise)])


@given(LOADS)
def test_fewer_come_only_when_fewer_were_enough_for_the_whole_time_before(loads):
    load = Load(spec(1, 25))
    history: list[int] = []
    for tasks in [*loads, *[0] * 12]:
        history.append(tasks)
        before = len(load.crew.active)
        load.look(tasks)
        if len(load.crew.active) < before:
            lately = history[-int(WINDOW) :]
            assert len(history) >= WINDOW
            assert len(load.crew.active) >= needed(load.wanted, max(lately))
    assert load.crew.active == load.crew.workers
    assert len(load.crew.workers) == 1


def test_the_sentence_of_the_rule():
    load = Load(spec())
    load.seen = Demand(at=NOW, revision=1, is_known=True, queued=12, running=5)
    step = scaling.step(load.wanted, SLOTS, load.crew, load.seen, QUICK)
    assert step is not None
    assert step.sentence == "12 queued + 5 running, 5 a worker → 4 workers"
    assert step.crew == Crew(workers=(1, 2, 3, 4))
    many = scaling.step(load.wanted, SLOTS, load.crew, replace(load.seen, queued=500), QUICK)
    assert many is not None
    assert many.sentence == "500 queued + 5 running, 5 a worker → 10 workers (MaxWorkers)"


@given(bounds, LOADS, st.dictionaries(st.integers(1, 25), st.integers(1, SLOTS)))
def test_a_worker_that_holds_a_task_never_ends(wanted, loads, holding):
    load = Load(wanted, holding=holding)
    for tasks in [*loads, *[0] * 12]:
        before = load.crew.workers
        load.look(tasks)
        assert not {number for number in before if number not in load.crew.workers} & holding.keys()


def test_the_emptiest_goes_first_and_only_when_it_was_seen_empty_twice():
    load = Load(spec(), holding={1: 1, 2: 3, 3: 2, 4: 0})
    load.run([20])
    load.run([10] * 7)
    assert load.crew.draining == (1, 4)
    ended = [load.look(10) for _ in range(3)]
    assert [step.crew.workers if step else None for step in ended].count((1, 2, 3)) == 1
    assert ended[0] is None
    assert load.crew == Crew(workers=(1, 2, 3), draining=(1,))
    load.holding[1] = 0
    load.run([10] * 3)
    assert load.crew == Crew(workers=(2, 3))
    load.look(11)
    assert load.crew == Crew(workers=(1, 2, 3))  # its number is free again


def test_demand_that_returns_resumes_the_busiest_before_new_ones_come():
    load = Load(spec(), holding=dict.fromkeys(range(1, 6), 1) | {2: 4})
    load.run([25])
    load.run([0] * 7)
    assert load.crew == Crew(workers=(1, 2, 3, 4, 5), draining=(1, 3, 4, 5))
    load.holding[4] = 3
    load.look(10)
    assert load.crew == Crew(workers=(1, 2, 3, 4, 5), draining=(1, 3, 5))
    load.look(30)
    assert load.crew == Crew(workers=(1, 2, 3, 4, 5, 6))


def test_a_drain_has_a_limit_after_which_its_tasks_are_ended_and_told():
    load = Load(spec(), holding={1: 1, 2: 1})
    load.run([10])
    load.run([0] * 7)
    assert load.crew.draining == (2,)
    assert load.seen is not None
    almost = replace(load.seen, drains={2: Drain(lasts=PACE.drain_limit - 1)})
    assert scaling.step(load.wanted, SLOTS, load.crew, almost, QUICK) is None
    late = scaling.step(
        load.wanted, SLOTS, load.crew, replace(almost, drains={2: Drain(lasts=PACE.drain_limit + 1)}), QUICK
    )
    assert late is not None
    assert late.is_forced
    assert late.crew == Crew(workers=(1,))
    assert "12 h" in late.sentence
    assert "retries" in late.sentence


@given(LOADS)
def test_a_frozen_database_changes_nothing(loads):
    load = Load(spec())
    load.run(loads)
    before = load.crew.active
    load.run([None] * 20)
    assert load.crew.active == before


@given(st.floats(-1e9, 1e9))
def test_a_clock_that_is_set_neither_ends_nor_keeps_workers(jump):
    load = Load(spec(), holding={1: 1, 2: 1, 3: 1})
    load.run([15])
    load.look(0, jump)
    assert len(load.crew.active) == 3
    load.run([0] * 7)
    assert len(load.crew.active) == 1
    load.look(0, jump)
    assert load.crew.workers == (1, 2, 3)  # no drain has come to its limit by that


@given(st.integers(1, 25), LOADS)
def test_min_equal_to_max_never_changes(count, loads):
    load = Load(spec(count, count))
    load.run(loads)
    assert load.steps == []


def test_min_raised_during_a_drain_resumes_it():
    load = Load(spec(1, 10), holding=dict.fromkeys(range(1, 5), 1))
    load.run([20])
    load.run([0] * 7)
    assert load.crew.draining == (2, 3, 4)
    load.wanted = spec(3, 10)
    assert scaling.standing(load.wanted, load.cell) == Crew(workers=(1, 2, 3, 4), draining=(4,))
    load.look(None)
    assert load.crew == Crew(workers=(1, 2, 3, 4), draining=(4,))


def test_when_nobody_knows_the_order_every_worker_goes_on():
    load = Load(spec())
    load.run([20])
    assert scaling.standing(load.wanted, replace(load.cell, order=None)).workers == (1, 2, 3, 4)
    told = replace(load.cell, order=None, units=(), wanted=frozenset({"web", "worker-2", "worker-7"}))
    assert scaling.standing(load.wanted, told).workers == (2, 7)


# With a controller


def tasks(queued: int, overdue: int = 0, **running: int) -> TasksSeen:
    return TasksSeen(
        queued=queued,
        overdue=overdue,
        running={(1, worker.replace("_", "-")): count for worker, count in running.items()},
    )


@pytest.fixture
def world() -> World:
    made = World()
    made.create(MaxWorkers=6, MinWorkers=1)
    return made


def crew_of(world: World) -> tuple[tuple[int, ...], tuple[int, ...]]:
    order = world.place.cells[world.found().serving].order
    assert isinstance(order, CellOrder)
    return order.workers, order.draining


def looks(world: World, count: int, controller=None):
    controller = controller or world.controller()
    for _ in range(count):
        world.look(controller)
    return controller


def told(world: World, kind: str = "SCALING") -> list[str]:
    return [event["sentence"] for event in world.environments.events(NAME) if event["kind"] == kind]


def test_workers_come_and_go_and_every_change_is_an_event(world):
    world.place.tasks = tasks(12, worker_1=5)
    controller = looks(world, 2)
    assert crew_of(world) == ((1, 2, 3, 4), ())
    assert {"worker-2", "worker-3", "worker-4"} <= set(world.place.cells[1].units)
    world.place.tasks, world.place.held = tasks(0, worker_3=1), {(1, "worker-3"): 1}
    looks(world, 40, controller)
    assert crew_of(world) == ((3,), ())
    world.place.tasks, world.place.held = tasks(0), {}
    looks(world, 5, controller)
    first, second, *ended = told(world)
    assert first == "12 queued + 5 running, 5 a worker → 4 workers"
    assert second == "0 queued + 1 running, 5 a worker → 1 worker"
    assert ended == ["worker-1, worker-2, worker-4 hold no task any more and end."]
    assert world.found().status == "AVAILABLE"


def test_tasks_of_a_former_revision_need_no_new_workers(world):
    world.place.tasks = TasksSeen(queued=0, overdue=0, running={(7, "worker-1"): 99})
    looks(world, 3)
    assert crew_of(world) == ((1,), ())


@pytest.mark.parametrize("after", [False, True])
def test_a_controller_that_is_killed_in_any_phase_of_a_drain_brings_it_to_its_end(after):
    at = 0
    while True:
        world = World()
        world.create(MaxWorkers=6)
        begun = len(world.fuse.effects)
        world.fuse.at, world.fuse.after = begun + at, after
        world.place.tasks = tasks(17)
        controller, ticks = world.controller(), 0
        while crew_of(world) != ((1,), ()) or ticks < 10:
            ticks += 1
            assert ticks < 300, world.fuse.effects[-5:]
            if ticks == 5:
                world.place.tasks = tasks(0)
            before = set(world.place.cells[1].units) & {"worker-2", "worker-3", "worker-4"}
            try:
                world.look(controller)
            except Killed:
                controller = world.controller()
            gone = before - set(world.place.cells[1].units)
            assert not gone or world.place.tasks.queued == 0
        at += 1
        if len(world.fuse.effects) <= begun + at - 1:
            break
    assert at > 3


def test_an_update_and_a_deletion_during_a_drain(world):
    world.place.tasks = tasks(17)
    controller = looks(world, 2)
    world.place.tasks, world.place.held = tasks(0, worker_2=1, worker_3=1), {(1, "worker-2"): 1, (1, "worker-3"): 1}
    looks(world, 40, controller)
    assert crew_of(world) == ((2, 3), (3,))
    world.begin(option("64"))
    world.settle()
    assert world.found().serving == 2
    assert crew_of(world) == ((1,), ())
    world.place.tasks = TasksSeen(queued=12, overdue=0, running={})
    looks(world, 3)
    world.place.tasks = TasksSeen(queued=0, overdue=0, running={})
    world.place.held = {(2, "worker-1"): 1, (2, "worker-2"): 1}
    looks(world, 40)
    world.delete()
    world.settle(lambda found: found is None)
    assert world.place.cells == {}


def test_min_workers_raised_during_a_drain_resumes_it_in_the_same_cell(world):
    world.place.tasks = tasks(17)
    controller = looks(world, 2)
    world.place.tasks, world.place.held = tasks(0), {(1, f"worker-{number}"): 1 for number in range(1, 5)}
    looks(world, 40, controller)
    assert crew_of(world) == ((1, 2, 3, 4), (2, 3, 4))
    world.begin(lambda wanted: replace(wanted, min_workers=3))
    world.settle()
    assert crew_of(world) == ((1, 2, 3, 4), (4,))
    world.begin(lambda wanted: replace(wanted, min_workers=1))
    world.settle()
    looks(world, 80)
    assert (world.found().serving, crew_of(world)) == (1, ((1, 2, 3, 4), (2, 3, 4)))


def test_a_queue_or_a_database_that_does_not_answer_changes_nothing(world):
    world.place.tasks = tasks(17)
    controller = looks(world, 2)
    world.place.tasks, world.place.waiting = None, None
    looks(world, 100, controller)
    assert crew_of(world) == ((1, 2, 3, 4), ())


def test_tasks_on_a_worker_that_is_not_there_are_lost_and_told_once(world):
    world.place.tasks = tasks(0, worker_1=1, worker_5=2)
    looks(world, 4)
    [report] = [each for each in world.backend.taken if isinstance(each, ReportDeaths) and each.deaths]
    assert [(death.revision, death.worker, death.at) for death in report.deaths] == [
        (1, "worker-5", pytest.approx(world.now.timestamp(), abs=10))
    ]


def test_tasks_that_are_queued_without_a_message_are_queued_again(world):
    world.place.tasks = tasks(3, 2, worker_1=1)
    world.place.held = {(1, "worker-1"): 4}  # they are, in its hands
    controller = looks(world, 20)
    assert told(world, "TASKS_ASTRAY") == []
    world.place.held = {(1, "worker-1"): 1}
    world.place.waiting = 1
    looks(world, 20, controller)
    assert told(world, "TASKS_ASTRAY") == []
    world.place.waiting = 0
    looks(world, 20, controller)
    assert [each for each in world.backend.taken if isinstance(each, QueueAgain)] == [
        QueueAgain(version="3.3.1", queued_for=30.0)
    ]
    assert told(world, "TASKS_ASTRAY") == [
        "2 tasks have been queued for more than 30 s, and the queue has no message of them: Airflow queues them again."
    ]


def test_no_task_is_forgotten_while_a_release_is_being_built(world):
    world.begin(option("7"))
    controller = world.controller()
    while MemoryReleases not in world.place.work:
        world.look(controller)
    built = world.place.work[MemoryReleases]
    world.place.work[MemoryReleases] = (2, Work(order=Build, done=False))
    looks(world, 2, controller)
    begun = world.found().progress.phase_started_at
    world.place.tasks = tasks(3, 2, worker_1=1, worker_5=2)
    looks(world, 100, controller)
    [order] = [each for each in world.backend.taken if isinstance(each, QueueAgain)]
    assert order == QueueAgain(version="3.3.1", queued_for=30.0)
    [report] = [each for each in world.backend.taken if isinstance(each, ReportDeaths) and each.deaths]
    assert [(death.revision, death.worker) for death in report.deaths] == [(1, "worker-5")]
    assert (world.found().progress.phase, world.found().progress.phase_started_at) == ("release", begun)
    world.place.work[MemoryReleases] = built
    world.settle()  # although Airflow does not give those tasks up
    assert world.found().serving == 2


def test_an_old_count_beside_a_new_queue_shows_no_task_astray(world):
    world.place.tasks = replace(tasks(3, 2), counted_at=7.0)
    controller = looks(world, 40)
    assert told(world, "TASKS_ASTRAY") == []
    for moment in range(8, 20):
        world.place.tasks = replace(tasks(3, 2), counted_at=float(moment))
        looks(world, 1, controller)
    assert len(told(world, "TASKS_ASTRAY")) == 1


def test_a_message_that_a_worker_may_be_about_to_begin_with_is_not_taken_for_another_s():
    running = TasksSeen(queued=1, overdue=1, running={(1, "worker-1"): 1, (1, "worker-7"): 4})
    held = QueueSeen(waiting=0, held={(1, "worker-1"): 2})
    assert not demand.is_astray(held, running)  # what ran on a worker that is gone says nothing about the others
    assert demand.is_astray(QueueSeen(waiting=0, held={(1, "worker-1"): 1}), running)


def test_a_worker_that_is_gone_and_whose_messages_are_there_is_not_empty():
    load = Load(spec(), holding={1: 1, 2: 1})
    load.run([10])
    load.run([0] * 7)
    assert load.crew.draining == (2,)
    gone = replace(load.cell, units=load.cell.units[:1])
    for number in range(5):
        queue = QueueSeen(waiting=0, held={(1, "worker-2"): 1} if number < 4 else {})
        at = NOW + timedelta(seconds=load.now + number)
        load.seen = demand.seen(load.seen, 1, gone, queue, tasks(0), window=WINDOW, now=at)
        assert (load.seen.drains[2].empty_for is None) == (number < 4)


def test_a_cell_whose_workers_cannot_be_told_keeps_them_and_gets_more(world):
    world.place.cells[1].tells_holds = False
    world.place.tasks = tasks(12)
    controller = looks(world, 2)
    assert crew_of(world) == ((1, 2, 3), ())
    world.place.tasks = tasks(0)
    looks(world, 60, controller)
    assert crew_of(world) == ((1, 2, 3), ())
    world.place.cells[1].tells_holds = True
    looks(world, 60, controller)
    assert crew_of(world) == ((1,), ())


def test_workers_that_the_database_makes_up_are_not_believed():
    made_up = {(revision, "worker-1"): 1 for revision in range(1000, 2000)}
    seen = TasksSeen(queued=0, overdue=0, running={**made_up, (3, "worker-1"): 1})
    found = keeping.deaths(RuntimeSeen(), seen, told={}, revision=4, now=NOW)
    assert [(death.revision, death.worker) for death in found] == [(3, "worker-1")]
    many = replace(seen, running={(4, f"worker-{number}"): 1 for number in range(1000)})
    assert len(keeping.deaths(RuntimeSeen(), many, told={}, revision=4, now=NOW)) == keeping.MOST_DEATHS


def test_tasks_that_a_worker_has_from_before_its_first_start_are_told_once_each_start():
    def found(told, *, running=1, **unit):
        worker = Unit(name="worker-1", state="ready", restarts=0, **unit)
        seen = RuntimeSeen(cells={1: Cell(state=CellState.RUNNING, units=(worker,))})
        return keeping.deaths(seen, tasks(0, worker_1=1) if running else tasks(0), told=told, revision=1, now=NOW)

    key = (1, "worker-1")
    assert found({}, started_at=50.0) == (Death(revision=1, worker="worker-1", at=50.0, is_seen=False),)
    assert found({key: 40.0}, started_at=50.0) == (Death(revision=1, worker="worker-1", at=50.0, is_seen=False),)
    assert found({key: 50.0}, started_at=50.0) == ()
    assert found({}, started_at=NOW.timestamp() + 1) == ()  # the clock was set back: tasks of now seem older than it
    assert found({}, started_at=50.0, running=0) == ()
    assert found({}) == ()  # a cell of an earlier Aerodrome
    assert found({}, started_at=50.0, exited_at=45.0) == (Death(revision=1, worker="worker-1", at=45.0),)
    assert found({key: 45.0}, started_at=50.0, exited_at=45.0) == ()


def test_what_was_told_is_remembered_as_long_as_somebody_asks():
    unit = Unit(name="worker-1", state="backing_off", restarts=1, exited_at=5.0)
    runtime = RuntimeSeen(cells={1: Cell(state=CellState.RUNNING, units=(unit,))})
    now = NOW.timestamp()
    told = {(1, "worker-1"): 5.0, (1, "worker-9"): 5.0, (1, "worker-8"): now}
    assert keeping.still_told(told, runtime, NOW) == {(1, "worker-1"): 5.0, (1, "worker-8"): now}


def test_micro_has_one_worker_whatever_comes():
    world = World()
    world.create(EnvironmentClass="mw1.micro", MaxWorkers=1, MinWorkers=1)
    world.place.tasks = tasks(500)
    looks(world, 5)
    assert crew_of(world) == ((1,), ())
