"""Orders for cells, carried out by a real cell whose units stand in for Airflow's."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aerodrome.backends.local import cell_client, cell_orders, recorded_orders, warm
from aerodrome.backends.local.cell_orders import CellOrders
from aerodrome.backends.local.cell_states import CellStates
from aerodrome.backends.local.paths import CellPaths
from aerodrome.errors import RetryError
from aerodrome.model.observed import Cell, CellState
from aerodrome.model.orders import AT_ONCE, CellOrder, Keep
from aerodrome.model.release import Deployed
from aerodrome.model.tenant import Tenant
from integration.cell import harness

NAMES = {"scheduler", "dag-processor", "web", "execution", "worker-1"}
TENANT = Tenant(
    name="one", identifier="00000001", arn="arn:aws:airflow:us-east-1:000000000000:environment/one", number=1
)
ALL = CellOrder(
    revision=3,
    deployed=Deployed(identifier="r", version="3.3.1", lock="l", cell=3),
    options={},
    web_access="PUBLIC_ONLY",
    tasks_per_worker=5,
    most_workers=10,
    workers=(1,),
)
SHARED = replace(ALL, keep=Keep.SHARED)
TASKS = replace(ALL, keep=Keep.TASKS, patience=600.0)

BUSY = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(int(os.environ.pop("AERODROME_NOTIFY_FD")), b"READY=1\\n")
while not os.path.exists("done"):
    time.sleep(0.05)
"""
"""A worker with a task that does not end yet."""


@dataclass
class Files:
    """The files of a cell, which are there already."""

    units: list[dict[str, Any]]
    may_be_apart: bool = False

    def change(self) -> None:
        """Leave them as they are."""


class Bench:
    """A cell that follows `ALL`, and who gives it orders."""

    def __init__(self, cell: harness.Cell, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cell = cell
        self.paths = CellPaths(cell.folder)
        self.states = CellStates()
        plane = SimpleNamespace(settings=SimpleNamespace(paths=SimpleNamespace(releases=cell.folder)))
        environments = SimpleNamespace(
            control_plane=plane,
            paths=lambda _: SimpleNamespace(cell=lambda _revision, _place: self.paths, parts=lambda _: [self.paths]),
            groups=SimpleNamespace(top=lambda: None),
            limit=lambda *_: None,
        )
        installer = SimpleNamespace(installed=lambda _version, _lock: None)
        self.orders = CellOrders(environments, installer, self.states)
        monkeypatch.setattr(warm, "spawn", lambda _settings, _installed, config, **_: self.spawn(config))
        units = [cell.unit(name) for name in sorted(NAMES - {"worker-1"})]
        units.append(cell.unit("worker-1", BUSY, ready="notify"))
        self.paths.units.write_text(json.dumps({"units": units}))
        cell.start(*units)
        for name in NAMES:
            cell.ready(name)
        recorded_orders.write(self.paths, ALL)

    def spawn(self, config: Path) -> int:
        answer = harness.until(lambda: self.cell.warm.spawn(config), "an answer")
        self.cell.seen.add(answer["pid"])
        return int(answer["pid"])

    def give(self, order: CellOrder) -> None:
        self.orders.carry_out(TENANT, order)

    def see(self) -> Cell:
        return self.states.look(self.paths)

    def kept(self) -> set[str]:
        return {unit.name for unit in self.see().units if not unit.is_stopping}

    def pids(self) -> dict[str, int]:
        return {name: unit["pid"] for name, unit in self.cell.units().items() if unit["pid"]}

    def kill(self) -> None:
        os.kill(int(self.paths.pid_file.read_text()), signal.SIGKILL)
        harness.until(lambda: self.see().state is CellState.LOST, "the loss of the cell")

    def finish(self) -> None:
        """Let the task end."""
        (self.cell.folder / "done").touch()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with harness.cells("3.12") as cell:
        yield Bench(cell, monkeypatch)


def test_what_must_not_run_twice_rests_and_comes_back(bench: Bench) -> None:
    before = bench.pids()
    for _ in range(2):
        bench.give(SHARED)
        harness.until(lambda: bench.kept() == NAMES - {"dag-processor"}, "the rest")
    assert (bench.see().order, bench.see().wanted) == (SHARED, NAMES)
    bench.give(ALL)
    bench.cell.ready("dag-processor")
    after = bench.pids()
    assert bench.see().order == ALL
    assert {name for name in NAMES if after[name] != before[name]} == {"dag-processor"}


def test_a_drain_keeps_what_tasks_need_and_the_web_server_as_long_as_it_is_asked(bench: Bench) -> None:
    worker = bench.pids()["worker-1"]
    bench.give(TASKS)
    bench.give(TASKS)
    assert bench.kept() == {"execution", "web"}
    assert (bench.see().order, bench.see().draining) == (TASKS, True)
    bench.give(replace(TASKS, web_servers=0))
    assert bench.kept() == {"execution"}
    assert bench.pids()["worker-1"] == worker
    bench.finish()
    harness.until(lambda: not bench.see().workers, "the end of the task")


def test_a_drain_does_not_bring_back_what_rests(bench: Bench) -> None:
    bench.give(SHARED)
    harness.until(lambda: "dag-processor" not in bench.pids(), "the rest")
    bench.give(TASKS)
    assert "dag-processor" not in {unit.name for unit in bench.see().units}
    bench.finish()


def test_a_worker_has_the_patience_of_the_order(bench: Bench) -> None:
    bench.give(replace(TASKS, patience=0.5))
    harness.until(lambda: not bench.see().workers, "the end of the patience")


def test_a_cell_that_dies_while_it_drains_is_brought_back_and_its_task_goes_on(bench: Bench) -> None:
    worker = bench.pids()["worker-1"]
    bench.give(TASKS)
    bench.kill()
    assert (bench.see().order, bench.see().units) == (TASKS, ())
    bench.give(TASKS)
    harness.until(lambda: bench.see().state is CellState.RUNNING, "the cell")
    assert bench.pids()["worker-1"] == worker
    assert bench.see().order == TASKS
    assert bench.kept() == {"execution", "web"}
    bench.finish()
    harness.until(lambda: not bench.see().workers, "the end of the task")


def test_a_cell_that_dies_before_it_drains_does_so_afterwards(bench: Bench) -> None:
    worker = bench.pids()["worker-1"]
    bench.kill()
    bench.give(TASKS)
    assert bench.see().order == ALL  # so it is given again
    harness.until(lambda: bench.see().state is CellState.RUNNING, "the cell")
    bench.give(TASKS)
    assert (bench.kept(), bench.see().order) == ({"execution", "web"}, TASKS)
    assert bench.pids()["worker-1"] == worker
    bench.finish()


@pytest.mark.parametrize("order", [SHARED, TASKS])
def test_who_is_killed_while_an_order_is_carried_out_leaves_nobody_knowing_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, order: CellOrder
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(cell_orders, "_apply", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            bench.give(order)
    assert bench.see().order is None
    files = Files(json.loads(bench.paths.units.read_text())["units"])
    monkeypatch.setattr(bench.orders, "_files", lambda *_: files)
    bench.give(order)
    assert bench.see().order == order
    bench.finish()


def test_the_end_waits_for_units_and_at_once_for_nothing(bench: Bench) -> None:
    bench.give(replace(ALL, keep=Keep.NOTHING, patience=20.0))
    assert bench.see().alive  # its worker has a task
    before = bench.pids()
    at_once = replace(ALL, keep=Keep.NOTHING, patience=AT_ONCE)
    bench.give(at_once)
    bench.give(at_once)
    assert (bench.see().state, bench.see().order) == (CellState.ENDED, at_once)
    assert all(harness.dead(pid) for pid in before.values())


def test_units_that_nobody_looks_after_end_by_force(bench: Bench) -> None:
    before = bench.pids()
    bench.kill()
    bench.give(replace(ALL, keep=Keep.NOTHING, patience=20.0))
    assert bench.see().state is CellState.ENDED
    assert all(harness.dead(pid) for pid in before.values())


def test_a_silent_cell_is_told_nothing_before_its_time_and_then_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.give(TASKS)
    before = bench.pids()
    os.kill(int(bench.paths.pid_file.read_text()), signal.SIGSTOP)
    assert bench.see().state is CellState.SILENT
    ask = cell_client.ask
    monkeypatch.setattr(cell_client, "ask", lambda path, request, **_: ask(path, request, seconds=0.3))
    with pytest.raises(RetryError):
        bench.give(replace(TASKS, web_servers=0))
    lost = harness.until(lambda: (found := bench.see()).state is CellState.LOST and found, "the end of the patience")
    assert lost.order == TASKS
    bench.give(TASKS)
    harness.until(lambda: bench.see().state is CellState.RUNNING, "the cell")
    assert bench.pids() == {name: pid for name, pid in before.items() if name in {"execution", "web", "worker-1"}}
    bench.finish()
