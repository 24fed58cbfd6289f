"""Web servers follow their connections and processors: as properties of the decision, and with a controller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.controller import ordering, web_scaling
from aerodrome.controller.scaling import Pace
from aerodrome.model import defaults
from aerodrome.model.demand import WebDemand
from aerodrome.model.observed import Cell, CellState, WebLoad
from aerodrome.model.orders import CellOrder
from aerodrome.model.spec import Spec
from unit.controller.world import NAME, NOW, PACE, REQUEST, World, option

WINDOW = 10.0
GROWTH = int(web_scaling.GROW_AFTER)
QUICK = Pace(scale_in_after=WINDOW, drain_limit=PACE.drain_limit)
LOADS = st.lists(st.tuples(st.integers(0, 90), st.floats(0, 6)), min_size=1, max_size=30)


def spec(least: int | None = 2, most: int | None = 5) -> Spec:
    given = {"MinWebservers": least, "MaxWebservers": most}
    counts = {member: count for member, count in given.items() if count is not None}
    return defaults.complete(NAME, {**REQUEST, **counts}, latest_version="3.3.1")


bounds = st.tuples(st.none() | st.integers(2, 5), st.integers(2, 5)).map(
    lambda pair: spec(pair[0], max(pair[0] or 2, pair[1]))
)


@dataclass
class Visit:
    """Web servers under a load, second by second."""

    wanted: Spec
    running: int = 0
    demand: WebDemand | None = None
    now: float = 0.0
    used: float = 0.0
    steps: list[tuple[float, int, int, str]] = field(default_factory=list)
    """When, the number before and after, and the sentence."""

    def __post_init__(self) -> None:
        self.running = web_scaling.standing(self.wanted, Cell(state=CellState.ABSENT))

    def look(self, connections: int, processors: float = 0.0, seconds: float = 1.0) -> None:
        """One look; all together have used so many processors since the last."""
        self.now += seconds
        self.used += processors * seconds
        load = WebLoad(connections=connections, processor={"web": self.used})
        self._see(load)

    def look_in_vain(self) -> None:
        self.now += 1.0
        self._see(None)

    def _see(self, load: WebLoad | None) -> None:
        now = NOW + timedelta(seconds=self.now)
        self.demand = web_scaling.seen(self.demand, 1, load, window=WINDOW, now=now)
        step = web_scaling.step(self.wanted, self.running, self.demand, QUICK)
        if step is not None:
            self.steps.append((self.now, self.running, step.count, step.sentence))
            self.running = step.count

    def run(self, loads: Sequence[tuple[int, float]]) -> None:
        for connections, processors in loads:
            self.look(connections, processors)


def enough(wanted: Spec, connections: int, processors: float) -> int:
    needed = max(math.ceil(connections / 15), math.ceil(round(processors / 0.7, 6)))
    return min(max(needed, wanted.running_webservers), wanted.most_running_webservers)


@given(bounds, LOADS)
def test_their_number_is_within_the_bounds_and_each_change_has_its_sentence(wanted, loads):
    visit = Visit(wanted)
    for connections, processors in loads:
        visit.look(connections, processors)
        assert wanted.running_webservers <= visit.running <= wanted.most_running_webservers
    for _, before, after, sentence in visit.steps:
        assert before != after
        assert f"→ {after} web server" in sentence
        assert "\n" not in sentence


@given(bounds, st.integers(0, 90), st.floats(0, 6))
def test_a_load_that_lasts_gets_as_many_as_it_needs_in_one_step(wanted, connections, processors):
    visit = Visit(wanted)
    visit.run([(connections, processors)] * (GROWTH + 2))
    assert visit.running == enough(wanted, connections, processors)
    assert len(visit.steps) <= 1


@given(bounds, st.integers(0, 60), st.integers(0, 60), st.randoms(use_true_random=False))
def test_a_load_that_goes_up_and_down_moves_nothing_twice(wanted, low, noise, source):
    visit = Visit(wanted)
    loads = [low + (noise if second % 4 == 0 else source.randint(0, noise)) for second in range(60)]
    visit.run([(each, 0.0) for each in loads])
    assert [after < before for _, before, after, _ in visit.steps] == [False] * len(visit.steps)


@given(LOADS)
def test_fewer_run_only_when_fewer_were_enough_for_the_whole_time_before(loads):
    visit, history = Visit(spec(None)), []
    for connections, processors in [*loads, *[(0, 0.0)] * 12]:
        history.append(enough(visit.wanted, connections, processors))
        before = visit.running
        visit.look(connections, processors)
        if visit.running < before:
            assert len(history) > WINDOW
            assert visit.running >= max(history[-int(WINDOW) :])
    assert visit.running == 1


@given(st.integers(0, GROWTH - 2), st.floats(0, 8))
def test_a_busy_page_starts_no_web_server(seconds, processors):
    visit = Visit(spec())
    visit.run([(1, 0.0)] * 12)
    visit.run([(1, processors)] * seconds)
    visit.run([(1, 0.0)] * 3)
    assert visit.steps == []


def test_the_start_of_a_web_server_is_no_load():
    """One that has just come to serve has used a processor for seconds, in which nobody asked it anything."""
    visit = Visit(spec(None))
    visit.look(1)
    for second in range(10):
        visit.now += 1
        processor = {"web": 0.1 * second} | ({"web-2": 9.0 + 0.1 * second} if second > 5 else {})
        visit._see(WebLoad(connections=1, processor=processor))
    assert visit.steps == []


@given(LOADS)
def test_a_cell_that_does_not_answer_changes_nothing(loads):
    visit = Visit(spec())
    visit.run(loads)
    before = visit.running
    for _ in range(30):
        visit.look_in_vain()
    assert visit.running == before


@given(st.floats(-1e9, 1e9))
def test_a_clock_that_is_set_starts_and_ends_none(jump):
    visit = Visit(spec(None))
    visit.run([(20, 0.5)] * 8)
    assert visit.running == 2
    visit.look(20, 0.5, jump)
    visit.run([(20, 0.5)] * 8)
    assert visit.running == 2


@pytest.mark.parametrize(
    ("connections", "processors", "sentence"),
    [
        (37, 0.1, "37 open connections, 15 a web server → 3 web servers"),
        (2, 1.9, "1.9 processors in use, 0.7 a web server → 3 web servers"),
        (500, 0.1, "500 open connections, 15 a web server → 5 web servers (MaxWebservers)"),
    ],
)
def test_the_sentence_of_the_rule(connections, processors, sentence):
    visit = Visit(spec())
    visit.run([(connections, processors)] * (GROWTH + 2))
    visit.run([(16, 0.1)] * 14)
    [grown, shrunk] = [each[3] for each in visit.steps]
    assert grown == sentence
    assert shrunk == "at most 16 open connections lately, 15 a web server → 2 web servers"


@pytest.mark.parametrize(
    "given", [{}, {"MinWebservers": 3, "MaxWebservers": 3}, {"MinWebservers": 3}, {"EnvironmentClass": "mw1.micro"}]
)
def test_where_no_bounds_were_given_their_number_never_changes(given):
    wanted = defaults.complete(NAME, {**REQUEST, **given}, latest_version="3.3.1")
    visit = Visit(wanted)
    assert not web_scaling.follows(wanted)
    visit.run([(99, 5.0)] * 20)
    assert visit.steps == []
    assert visit.running == given.get("MinWebservers", 1)


# With a controller


@pytest.fixture
def world() -> World:
    made = World()
    made.create(MinWebservers=2, MaxWebservers=4)
    return made


def web_servers(world: World) -> int:
    order = world.place.cells[world.found().serving].order
    assert isinstance(order, CellOrder)
    return order.web_servers


def looks(world: World, count: int) -> None:
    controller = world.controller()
    for _ in range(count):
        world.look(controller)


def told(world: World) -> list[str]:
    return [event["sentence"] for event in world.environments.events(NAME) if event["kind"] == "SCALING"]


def visited(world: World, connections: int) -> None:
    world.place.web_load = WebLoad(connections=connections, processor=MappingProxyType({}))


def test_web_servers_come_and_go_in_one_cell_and_every_change_is_an_event(world):
    assert web_servers(world) == 2
    visited(world, 50)
    looks(world, 12)
    assert web_servers(world) == 4
    assert {"web", "web-2", "web-3", "web-4"} <= set(world.place.cells[1].units)
    visited(world, 0)
    looks(world, 45)
    assert web_servers(world) == 2
    assert {"web", "web-2"} == {unit for unit in world.place.cells[1].units if unit.startswith("web")}
    assert told(world) == [
        "50 open connections, 15 a web server → 4 web servers",
        "at most 0 open connections lately, 15 a web server → 2 web servers (MinWebservers)",
    ]
    assert (world.found().status, world.found().serving) == ("AVAILABLE", 1)


def test_other_bounds_need_no_new_cell_and_those_of_an_update_hold_from_the_beginning(world):
    world.begin(lambda wanted: replace(wanted, given_webservers=3))
    world.settle()
    assert (world.found().serving, web_servers(world)) == (1, 3)
    visited(world, 50)
    looks(world, 12)
    assert web_servers(world) == 4
    world.begin(option("64"))
    world.settle()
    assert (world.found().serving, web_servers(world)) == (3, 3)


def test_the_database_lets_as_many_connections_in_as_the_most_need(world):
    few = ordering.connections(world.found())
    most = replace(world.found(), spec=replace(world.found().spec, given_most_webservers=5))
    assert ordering.connections(most) > few
