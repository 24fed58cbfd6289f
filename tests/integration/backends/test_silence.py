"""What the local runtime sees of a real cell that does not answer, and how it ends that one alone."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from aerodrome.backends.local import cell_states, shutdown, silence
from aerodrome.backends.local.cell_states import CellStates
from aerodrome.backends.local.paths import CellPaths
from aerodrome.errors import RetryError
from aerodrome.model.observed import NOT_ANSWERING, CellState
from integration.cell import harness

NAMES = {"scheduler", "worker-1"}


@pytest.fixture
def cell() -> Iterator[harness.Cell]:
    """A cell whose units are written down where the runtime looks for them, as all its files are."""
    with harness.cells("3.12") as made:
        units = [made.unit(name) for name in sorted(NAMES)]
        CellPaths(made.folder).units.write_text(json.dumps({"units": units}))
        made.start(*units)
        for name in NAMES:
            made.ready(name)
        yield made


def test_a_cell_that_is_stopped_is_shown_with_its_units_and_ended_alone(cell: harness.Cell) -> None:
    paths, states = CellPaths(cell.folder), CellStates()
    before = {name: unit["pid"] for name, unit in cell.units().items()}
    assert states.look(paths).state is CellState.RUNNING
    pid = int(paths.pid_file.read_text())
    os.kill(pid, signal.SIGSTOP)

    shown, seen = cell_states.shown(paths), states.look(paths)

    assert shown.processes == before
    for each in (shown.cell, seen):
        assert (each.state, each.trouble, each.wanted) == (CellState.SILENT, "", NAMES)
        assert {unit.name for unit in each.units} == NAMES
        assert {unit.state for unit in each.units} == {NOT_ANSWERING}
    began = time.monotonic()
    states.look(paths)
    assert time.monotonic() - began < silence.ANSWER_PATIENCE  # others wait meanwhile
    with pytest.raises(RetryError):  # it is not its time yet
        states.is_alive(paths)

    leaving = states.look(paths, is_leaving=True)
    assert (leaving.state, leaving.trouble) == (CellState.SILENT, "")  # nobody waits for that one
    lost = harness.until(lambda: (found := states.look(paths)).trouble and found, "the end of the patience")
    assert (lost.state, lost.trouble[:25]) == (CellState.LOST, "was stopped by a signal f")

    assert not states.is_alive(paths)
    assert not states.is_alive(paths)
    gone = states.look(paths)
    assert (gone.state, gone.units, gone.trouble) == (CellState.LOST, (), "")
    assert not any(harness.dead(unit) for unit in before.values())
    answer = harness.until(lambda: cell.warm.spawn(cell.config), "an answer")
    cell.seen.add(answer["pid"])
    adopted = states.look(paths)
    assert cell_states.shown(paths).processes == before
    assert adopted.all_ready


def test_down_does_not_wait_for_a_cell_that_is_stopped(cell: harness.Cell) -> None:
    paths = CellPaths(cell.folder)
    before = [unit["pid"] for unit in cell.units().values()]
    os.kill(int(paths.pid_file.read_text()), signal.SIGSTOP)
    began = time.monotonic()
    shutdown._stop([paths], began + shutdown.LIMIT, lambda _: None)
    assert time.monotonic() - began < shutdown.LIMIT / 2
    assert all(harness.dead(pid) for pid in before)
