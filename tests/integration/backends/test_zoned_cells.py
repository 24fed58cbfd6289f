"""A cell in two zones, of which one is lost and comes back: two real cells, whose units stand in for Airflow's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aerodrome.backends.local import cell_orders, leftovers, service_files, users, warm
from aerodrome.backends.local.cell_files import CellFiles
from aerodrome.backends.local.cell_orders import CellOrders
from aerodrome.backends.local.cell_states import CellStates
from aerodrome.backends.local.environment import LocalEnvironment
from aerodrome.backends.local.paths import CellPaths, EnvironmentPaths
from aerodrome.errors import RetryError
from aerodrome.model import zones
from aerodrome.model.observed import Cell, CellState, across
from aerodrome.model.orders import AT_ONCE, CellOrder, Keep
from aerodrome.release import installation
from aerodrome.release.installation import Installation
from integration.backends.test_cell_orders import ALL, TENANT
from integration.backends.test_cells_of_before import environment, folder  # noqa: F401 - fixtures
from integration.cell import harness

SPREAD = replace(
    ALL, schedulers=2, web_servers=2, workers=(1, 2), zones=("subnet-a", "subnet-b"), patience=AT_ONCE, revision=3
)
LEFT = replace(SPREAD, without=(0,), lead=1, workers=(2, 4))
FIRST = {"scheduler", "web", "worker-1", "execution", "dag-processor"}
SECOND = {"scheduler-2", "web-2", "worker-2", "execution-2"}


@dataclass
class Files:
    """The files of one part; a stand-in for `CellFiles`, which knows Airflow."""

    order: CellOrder
    place: int
    own: harness.Cell
    may_be_apart: bool = False
    installation: Any = None
    environment: Any = None
    context: Any = None
    code: tuple[Path, ...] = ()

    @property
    def cell(self) -> CellPaths:
        return CellPaths(self.own.folder)

    @property
    def units(self) -> list[dict[str, Any]]:
        order, suffix = self.order, f"-{self.place + 1}" if self.place else ""
        names = {"scheduler", "scheduler-2", "web", "web-2", "dag-processor"}
        names |= {f"worker-{number}" for number in order.workers}
        own = {name for name in names if zones.has(order, self.place, *zones.parted(name))}
        return [self.own.unit(name) for name in sorted({*own, f"execution{suffix}"})]

    def write(self, kept: frozenset[str]) -> None:
        self.change()
        self.own.write(*(unit for unit in self.units if unit["name"] in kept))

    def change(self) -> None:
        self.cell.units.write_text(json.dumps({"units": self.units}))


class Bench:
    """Both parts, and who gives them orders."""

    def __init__(self, root: Path, warm_one: harness.Warm, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = EnvironmentPaths(root, root)
        self.cells = []
        for place in (0, 1):
            run = self.paths.cell(SPREAD.revision, place).run
            run.mkdir()
            self.cells.append(harness.Cell(run, warm_one))
        self.states = CellStates()
        self.refuses: set[int] = set()
        plane = SimpleNamespace(settings=SimpleNamespace(paths=SimpleNamespace(releases=root)))
        environments = SimpleNamespace(
            control_plane=plane,
            paths=lambda _: self.paths,
            groups=SimpleNamespace(top=lambda: None),
            limit=lambda *_: None,
        )
        self.orders = CellOrders(environments, SimpleNamespace(installed=lambda *_: None), self.states)  # type: ignore[arg-type]
        monkeypatch.setattr(self.orders, "_files", lambda _, order, place: Files(order, place, self.cells[place]))
        monkeypatch.setattr(warm, "spawn", lambda _settings, _installed, config, **_: self.spawn(config))
        for module, name in ((service_files, "share_broker"), (users, "open_ways"), (installation, "mark_used")):
            monkeypatch.setattr(module, name, lambda _: None)

    def spawn(self, config: Path) -> int:
        cell = next(each for each in self.cells if each.config == config)
        if self.cells.index(cell) in self.refuses:
            raise RetryError("there is no place")
        answer = harness.until(lambda: cell.warm.spawn(config), "an answer")
        cell.seen.add(answer["pid"])
        return int(answer["pid"])

    def give(self, order: CellOrder) -> None:
        self.orders.carry_out(TENANT, order)

    def see(self) -> Cell:
        return across([self.states.look(each) for each in self.paths.parts(SPREAD.revision)])

    def until_ready(self, names: set[str]) -> None:
        harness.until(lambda: self.see().ready == names, f"{sorted(names)}, and no others")

    def pids(self) -> dict[str, int]:
        return {
            name: unit["pid"]
            for place, cell in enumerate(self.cells)
            if self.states.look(self.paths.cell(SPREAD.revision, place)).alive
            for name, unit in cell.units().items()
        }

    def lose(self, place: int) -> None:
        leftovers.end([self.paths.cell(SPREAD.revision, place)], None)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with harness.folder() as root:
        warm_one = harness.Warm(root, harness.interpreters("3.12"))
        made = Bench(root, warm_one, monkeypatch)
        try:
            warm_one.wait()
            yield made
        finally:
            warm_one.kill()
            for cell in made.cells:
                cell.clean()


def test_a_zone_is_lost_and_the_other_has_its_work_until_it_is_back(bench: Bench) -> None:
    bench.give(SPREAD)
    bench.until_ready(FIRST | SECOND)
    assert (bench.see().order, bench.see().all_ready) == (SPREAD, True)
    before = bench.pids()

    bench.lose(0)
    seen = bench.see()
    assert (seen.state, seen.gone, seen.order, seen.ready) == (CellState.RUNNING, {0}, SPREAD, SECOND)
    bench.give(LEFT)
    bench.give(LEFT)
    bench.until_ready(SECOND | {"worker-4", "dag-processor"})
    assert (bench.see().order, bench.see().gone) == (LEFT, {0})

    whole = replace(LEFT, without=())
    bench.refuses = {0}
    with pytest.raises(RetryError):
        bench.give(whole)
    assert bench.see().order == LEFT  # so the other zone does not count on it
    bench.refuses = set()
    bench.give(whole)
    bench.until_ready(FIRST - {"worker-1"} | SECOND | {"worker-4"})
    after = bench.pids()
    assert {name: after[name] for name in SECOND} == {name: before[name] for name in SECOND}
    assert (bench.see().order, bench.see().gone) == (whole, frozenset())


def test_a_part_that_died_alone_gets_its_units_back(bench: Bench) -> None:
    bench.give(SPREAD)
    bench.until_ready(FIRST | SECOND)
    before = bench.pids()
    leftovers.end_cell(bench.paths.cell(SPREAD.revision, 1))
    seen = bench.see()
    assert (seen.state, seen.gone, seen.unattended) == (CellState.RUNNING, frozenset(), {1})
    bench.give(SPREAD)
    bench.until_ready(FIRST | SECOND)
    assert bench.pids() == before


def test_both_parts_drain_and_end(bench: Bench) -> None:
    bench.give(SPREAD)
    bench.until_ready(FIRST | SECOND)
    quiet = replace(SPREAD, keep=Keep.SHARED)
    bench.give(quiet)
    bench.until_ready(FIRST - {"dag-processor"} | SECOND)
    bench.give(replace(SPREAD, keep=Keep.TASKS, zones=(), patience=20.0))  # from somebody who has forgotten the zones
    bench.until_ready({"execution", "execution-2", "web", "web-2"})
    ended = replace(SPREAD, keep=Keep.NOTHING, patience=20.0)
    bench.give(ended)
    harness.until(lambda: not bench.see().runs, "the end of both")
    assert (bench.see().state, bench.see().order) == (CellState.ENDED, ended)


def test_an_order_that_was_half_carried_out_is_nobodys(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.give(SPREAD)
    bench.until_ready(FIRST | SECOND)
    apply, told = cell_orders._apply, []

    def once(*given: Any) -> None:
        if told:
            raise RetryError("it does not answer")
        told.append(given)
        apply(*given)

    more = replace(SPREAD, workers=(1, 2, 3, 4))
    with monkeypatch.context() as patched:
        patched.setattr(cell_orders, "_apply", once)
        with pytest.raises(RetryError):
            bench.give(more)
    assert bench.see().order is None
    bench.give(more)
    bench.until_ready(FIRST | SECOND | {"worker-3", "worker-4"})
    assert bench.see().order == more


@pytest.mark.parametrize("version", ["3.3.1", "2.11.2"])
def test_each_part_has_its_units_and_its_own_files(environment: LocalEnvironment, version: str) -> None:  # noqa: F811
    made = Installation(version, environment.paths.home, "l")
    first, second = (
        CellFiles(
            environment=environment, order=SPREAD, installation=made, built=None, execution_port=7 + place, place=place
        )
        for place in (0, 1)
    )
    names = [{unit["name"] for unit in each.units} for each in (first, second)]
    api = [{"execution"}, {"execution-2"}] if version.startswith("3") else [set(), set()]
    assert names == [
        {"scheduler", "web", "worker-1", "dag-processor", "triggerer", *api[0]},
        {"scheduler-2", "web-2", "worker-2", "triggerer-2", *api[1]},
    ]
    units = [*first.units, *second.units]
    assert len({unit["log"] for unit in units}) == len(units)
    assert {unit["env"]["AIRFLOW_CONFIG"].split("/")[-2] for unit in first.units} == {"3"}
    assert {unit["env"]["AIRFLOW_CONFIG"].split("/")[-2] for unit in second.units} == {"3b"}
    assert (first.cell.run.name, second.cell.run.name) == ("3", "3b")
    alone = replace(second, order=LEFT)
    assert {unit["name"] for unit in alone.units} == names[1] | {"worker-4", "dag-processor"}
