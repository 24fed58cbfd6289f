from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cell import units

STATES = {units.WAITING, units.STARTING, units.READY, units.BACKING_OFF, units.STOPPING, units.STOPPED}
EVENTS = [units.START, units.SERVES, units.EXITED, units.STOP, units.RESTART, units.OVERDUE, units.HUNG]


def after(unit: units.UnitState, *events: str, now: float = 0.0) -> units.UnitState:
    for event in events:
        unit, _ = units.decide(unit, event, now)
    return unit


def test_every_state_is_a_row_and_every_row_leads_to_a_state() -> None:
    assert {state for state, _ in units.TABLE} == STATES
    assert {state for state, _ in units.TABLE.values()} == STATES
    assert {event for _, event in units.TABLE} == set(EVENTS)


def test_every_state_can_be_stopped_and_restarted() -> None:
    for state in STATES:
        assert (state, units.STOP) in units.TABLE
        assert (state, units.RESTART) in units.TABLE


def test_a_move_that_is_not_in_the_table_is_illegal() -> None:
    with pytest.raises(units.IllegalMoveError, match="unit scheduler: serves while waiting"):
        units.decide(units.UnitState("scheduler"), units.SERVES, 0.0)


def test_a_killed_unit_starts_again_after_the_first_delay() -> None:
    unit = after(units.UnitState("scheduler"), units.START, units.SERVES)

    unit, action = units.decide(unit, units.EXITED, 5.0)

    assert (unit.state, action) == (units.BACKING_OFF, units.NOTHING)
    assert unit.next_start_at == 5.0 + units.FIRST_DELAY
    assert units.plan({"scheduler": unit}, set(), 5.1) == []
    assert units.plan({"scheduler": unit}, set(), 5.2) == [("scheduler", units.START)]


@pytest.mark.parametrize("state", sorted(units.LIVE))
def test_whatever_hangs_is_killed_and_its_death_decides_what_follows(state) -> None:
    unit = units.UnitState("worker", state=state, begun=True, wanted=state != units.STOPPING, stop_deadline=1e6)

    hung, action = units.decide(unit, units.HUNG, 5.0)

    assert (hung, action) == (unit, units.KILL)
    dead, _ = units.decide(hung, units.EXITED, 6.0)
    assert dead.state == (units.STOPPED if state == units.STOPPING else units.BACKING_OFF)


def test_a_minute_of_health_forgets_failures() -> None:
    unit = after(units.UnitState("scheduler"), units.START, units.EXITED, units.START, units.EXITED, units.START)
    unit = after(unit, units.SERVES, now=100.0)

    early = after(unit, units.EXITED, now=100.0 + units.HEALTHY_AFTER - 0.1)
    late = after(unit, units.EXITED, now=100.0 + units.HEALTHY_AFTER)

    assert (early.failures, late.failures) == (3, 1)


def test_a_minute_of_starting_is_no_health() -> None:
    unit = after(units.UnitState("scheduler"), units.START, units.EXITED, units.START)

    assert after(unit, units.EXITED, now=1000.0).failures == 2


def test_a_restarted_unit_waits_no_longer_for_others() -> None:
    unit = after(units.UnitState("worker", after=("redis",)), units.START, units.SERVES, units.RESTART, units.EXITED)
    redis = after(units.UnitState("redis"), units.START, units.EXITED)

    assert unit.state == units.WAITING
    assert ("worker", units.START) in units.plan({"worker": unit, "redis": redis}, set(), 0.0)


def test_a_restart_asked_for_while_backing_off_is_due_at_once_and_forgets_failures() -> None:
    unit = after(units.UnitState("worker"), units.START, units.EXITED, units.START, units.EXITED, units.RESTART)

    assert (unit.state, unit.failures, unit.next_start_at) == (units.WAITING, 0, None)


def test_a_second_stop_does_not_prolong_the_grace() -> None:
    unit = after(units.UnitState("worker", grace=30.0), units.START, units.STOP)

    assert after(unit, units.STOP, now=20.0).stop_deadline == 30.0


def test_an_overdue_unit_is_killed_and_killed_again() -> None:
    unit = after(units.UnitState("worker", grace=30.0), units.START, units.STOP)

    assert units.plan({"worker": unit}, {"worker"}, 30.0) == [("worker", units.OVERDUE)]
    unit, action = units.decide(unit, units.OVERDUE, 30.0)
    assert action == units.KILL
    assert units.plan({"worker": unit}, {"worker"}, 31.0) == []
    assert units.plan({"worker": unit}, {"worker"}, 30.0 + units.KILL_AGAIN) == [("worker", units.OVERDUE)]


def test_a_unit_starts_first_when_all_it_needs_are_ready() -> None:
    table = {"redis": units.UnitState("redis"), "worker": units.UnitState("worker", after=("redis",))}

    assert units.plan(table, set(), 0.0) == [("redis", units.START)]
    table["redis"] = after(table["redis"], units.START)
    assert units.plan(table, set(), 0.0) == []
    table["redis"] = after(table["redis"], units.SERVES)
    assert units.plan(table, set(), 0.0) == [("worker", units.START)]


def test_what_others_need_stops_last() -> None:
    running = units.UnitState("redis", state=units.READY, begun=True)
    worker = units.UnitState("worker", after=("redis",), state=units.READY, begun=True)
    to_stop = {"redis", "worker"}

    assert units.plan({"redis": running, "worker": worker}, to_stop, 0.0) == [("worker", units.STOP)]
    worker = after(worker, units.STOP)
    assert units.plan({"redis": running, "worker": worker}, to_stop, 0.0) == []
    worker = after(worker, units.EXITED)
    assert units.plan({"redis": running, "worker": worker}, to_stop, 0.0) == [("redis", units.STOP)]


def test_a_unit_that_goes_alone_does_not_wait_for_those_who_stay() -> None:
    table = {
        "redis": units.UnitState("redis", state=units.READY, begun=True),
        "worker": units.UnitState("worker", after=("redis",), state=units.READY, begun=True),
    }

    assert units.plan(table, {"redis"}, 0.0) == [("redis", units.STOP)]


@given(st.lists(st.integers(1, 100), min_size=2, unique=True).map(sorted))
def test_the_delay_grows_with_failures_and_is_bounded(failures: list[int]) -> None:
    delays = [units.delay(count) for count in failures]

    assert delays == sorted(delays)
    assert all(units.FIRST_DELAY <= delay <= units.LONGEST_DELAY for delay in delays)


class World:
    """Plays processes and the passing of time to the decisions, as the supervisor does."""

    def __init__(self, *table: units.UnitState) -> None:
        self.now = 0.0
        self.units = {unit.name: unit for unit in table}
        self.to_stop: set[str] = set()
        self.running: set[str] = set()
        self.launched: list[str] = []

    def move(self, name: str, event: str) -> None:
        self.units[name], action = units.decide(self.units[name], event, self.now)
        if action == units.LAUNCH:
            assert name not in self.running, "two starts without an exit between"
            self.running.add(name)
            self.launched.append(name)
        if action in (units.TERMINATE, units.KILL):
            assert name in self.running

    def settle(self) -> None:
        for _ in range(100):
            moves = units.plan(self.units, self.to_stop, self.now)
            if not moves:
                return
            for name, event in moves:
                self.move(name, event)
        raise AssertionError("the plan never settles")

    def play(self, step: tuple[str, str, float]) -> None:
        what, name, seconds = step
        self.now += seconds
        unit = self.units[name]
        if what == units.EXITED and name in self.running:
            self.running.discard(name)
            self.move(name, units.EXITED)
        if what == units.SERVES and unit.state == units.STARTING:
            self.move(name, units.SERVES)
        if what == units.RESTART and name not in self.to_stop:
            self.move(name, units.RESTART)
        if what == units.STOP:
            self.to_stop.add(name)
        self.settle()

    def check(self) -> None:
        for name, unit in self.units.items():
            assert (name in self.running) == (unit.state in units.LIVE)
            assert (unit.next_start_at is not None) == (unit.state == units.BACKING_OFF)
            assert (unit.stop_deadline is not None) == (unit.state == units.STOPPING)
            assert unit.next_start_at is None or unit.next_start_at - self.now <= units.LONGEST_DELAY


NAMES = ("redis", "scheduler", "worker")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["exited", "serves", "restart", "nothing", "exited", "serves", "stop"]),
        st.sampled_from(NAMES),
        st.floats(0.0, 40.0),
    ),
    max_size=60,
)


def world() -> World:
    made = World(
        units.UnitState("redis"),
        units.UnitState("scheduler", after=("redis",)),
        units.UnitState("worker", after=("redis",)),
    )
    made.settle()
    return made


@given(STEPS)
def test_a_unit_has_a_process_just_when_its_state_says_so(steps: list[tuple[str, str, float]]) -> None:
    made = world()
    for step in steps:
        made.play(step)
        made.check()


@given(STEPS, STEPS)
def test_after_everything_was_stopped_nothing_starts(
    before: list[tuple[str, str, float]], later: list[tuple[str, str, float]]
) -> None:
    made = world()
    for step in before:
        made.play(step)
    made.to_stop = set(NAMES)
    for _ in NAMES:
        made.settle()
        for name in sorted(made.running):
            if made.units[name].state == units.STOPPING:
                made.play((units.EXITED, name, 0.0))
    assert {unit.state for unit in made.units.values()} == {units.STOPPED}
    launched = list(made.launched)

    for what, name, seconds in later:
        made.play(("nothing" if what == "restart" else what, name, seconds))

    assert made.launched == launched


@given(STEPS)
def test_redis_is_told_to_stop_only_when_nobody_that_stops_needs_it(steps: list[tuple[str, str, float]]) -> None:
    made = world()
    for step in steps:
        if step[0] != units.STOP:
            made.play(step)
    made.to_stop = set(NAMES)
    made.settle()

    if made.units["redis"].state == units.STOPPED:
        assert made.units["worker"].state == units.STOPPED


@given(st.lists(st.floats(0.0, 59.0), min_size=1, max_size=30))
def test_backing_off_never_shortens_without_health(lives: list[float]) -> None:
    unit, now, last = units.UnitState("worker"), 0.0, 0.0
    for life in lives:
        unit = after(unit, units.START, units.SERVES, now=now)
        now += life
        unit = after(unit, units.EXITED, now=now)
        waited = (unit.next_start_at or 0.0) - now
        assert waited >= last - 1e-6
        last, now = waited, unit.next_start_at or 0.0


def test_wake_is_the_earliest_time_of_any_unit() -> None:
    backing = replace(units.UnitState("a"), next_start_at=7.0)
    stopping = replace(units.UnitState("b"), stop_deadline=5.0)

    assert units.wake({"a": backing, "b": stopping}) == 5.0
    assert units.wake({"c": units.UnitState("c")}) is None
