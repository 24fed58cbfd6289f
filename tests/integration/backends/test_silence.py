"""What the local backend sees of a real cell that does not answer, and how it ends that one alone."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from aerodrome.backends.local import leftovers, shutdown, steering
from aerodrome.model.observed import NOT_ANSWERING
from aerodrome.settings import CellPaths
from integration.cell import harness

NAMES = {"scheduler", "worker-1"}


@pytest.fixture
def cell() -> Iterator[harness.Cell]:
    """A cell whose units are written down where the backend looks for them, as all its files are."""
    with harness.cells("3.12") as made:
        units = [made.unit(name) for name in sorted(NAMES)]
        CellPaths(made.folder).units.write_text(json.dumps({"units": units}))
        made.start(*units)
        for name in NAMES:
            made.ready(name)
        yield made


def test_a_cell_that_is_stopped_is_shown_with_its_units_and_ended_alone(cell: harness.Cell) -> None:
    paths, silences = CellPaths(cell.folder), steering.Silences()
    before = {name: unit["pid"] for name, unit in cell.units().items()}
    assert steering.look(paths, silences).silent_for == 0.0
    pid = int(paths.pid_file.read_text())
    os.kill(pid, signal.SIGSTOP)

    glanced, seen = steering.glance(paths), steering.look(paths, silences)

    for each in (glanced, seen):
        assert (each.alive, each.stopped, each.wanted) == (True, True, NAMES)
        assert {unit.name: unit.pid for unit in each.units} == before
        assert {unit.state for unit in each.units} == {NOT_ANSWERING}
    assert seen.silent_for >= steering.PATIENCE
    began = time.monotonic()
    again = steering.look(paths, silences)
    assert time.monotonic() - began < steering.PATIENCE  # others wait meanwhile
    assert again.silent_for > seen.silent_for
    assert steering.look(paths, silences, is_leaving=True).silent_for == 0.0  # nobody waits for that one

    leftovers.end_cell(paths)
    leftovers.end_cell(paths)
    gone = steering.look(paths, silences)
    assert (gone.alive, gone.leftovers, gone.silent_for) == (False, True, 0.0)
    assert not any(harness.dead(unit) for unit in before.values())
    answer = harness.until(lambda: cell.warm.spawn(cell.config), "an answer")
    cell.seen.add(answer["pid"])
    adopted = steering.look(paths, silences)
    assert {unit.name: unit.pid for unit in adopted.units} == before
    assert adopted.all_ready


def test_down_does_not_wait_for_a_cell_that_is_stopped(cell: harness.Cell) -> None:
    paths = CellPaths(cell.folder)
    before = [unit["pid"] for unit in cell.units().values()]
    os.kill(int(paths.pid_file.read_text()), signal.SIGSTOP)
    began = time.monotonic()
    shutdown._stop([paths], began + shutdown.LIMIT, lambda _: None)
    assert time.monotonic() - began < shutdown.LIMIT / 2
    assert all(harness.dead(pid) for pid in before)


def test_silence_is_counted_only_while_we_look() -> None:
    silences, paths = steering.Silences(), CellPaths(harness.WARM)
    assert silences.note(paths, 1000.0) == steering.PATIENCE
    assert silences.note(paths, 1003.0) == steering.PATIENCE + 3
    assert silences.note(paths, 90_000.0) == steering.PATIENCE + 3 + steering.LONGEST_LOOK  # the machine slept
    silences.forget(paths)
    assert silences.note(paths, 90_001.0) == steering.PATIENCE
