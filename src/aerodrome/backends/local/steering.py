"""What cells are told and what they tell: which of their units run, seen as a `model.observed.Cell`.

`backend` calls it. A cell keeps whatever units it was last told to keep; what it was started with lies beside it, so
that units which were stopped on purpose can come back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aerodrome.backends.local import cells, leftovers
from aerodrome.errors import RetryError
from aerodrome.model.observed import NO_CELL, NOT_ANSWERING, WORKER, Cell, Unit
from aerodrome.settings import CellPaths

GRACEFUL_GRACE = 12 * 3600.0
"""Seconds that replaced workers have for their tasks: MWAA's twelve hours."""

FORCED_GRACE = 5.0
"""Seconds between the order to stop and SIGKILL, where tasks are not waited for; arbitrary."""

PATIENCE = 5.0
"""Seconds in which a cell answers on the busiest machine; one that starts its nursery may take a minute."""

SHORT_PATIENCE = 1.0

LONGEST_LOOK = 10.0
"""Seconds that count at most between two looks: a machine that slept, or a control plane, heard no answer either."""

GLANCE = 2.0
"""Seconds that a person waits for a cell's answer."""


@dataclass(frozen=True, slots=True)
class Started:
    """What a cell was started with."""

    units: list[dict[str, Any]]
    once: frozenset[str]
    needed_by_tasks: frozenset[str]
    version: str
    lock: str
    private: str | None = None
    """The release whose own virtual environment it runs in; None = the version's."""

    takes_over: bool = False
    """`Context.takes_over` of its units."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset(str(unit["name"]) for unit in self.units)


def started(cell: CellPaths) -> Started | None:
    """What it was started with; None = it never was."""
    try:
        document = json.loads(cell.units.read_text())
    except (OSError, ValueError):
        return None
    return Started(
        document["units"],
        frozenset(document.get("once", ())),
        frozenset(document.get("needed_by_tasks", ())),
        document.get("version", ""),
        document.get("lock", ""),
        document.get("private"),
        document.get("takes_over", False),
    )


class Silences:
    """For how long cells have given no answer. Forgotten with this process, which then begins to count anew."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[float, float]] = {}
        """A cell's folder → seconds of silence, and when it was last looked at."""

    def patience(self, cell: CellPaths) -> float:
        """Seconds to wait for its answer: others wait meanwhile, so one that is known to be silent gets less."""
        return SHORT_PATIENCE if cell.run in self._seen else PATIENCE

    def note(self, cell: CellPaths, now: float) -> float:
        """It has given no answer again; returns for how many seconds it has been silent, as far as we looked."""
        silent, looked_at = self._seen.get(cell.run, (PATIENCE, now))
        silent += min(now - looked_at, LONGEST_LOOK)
        self._seen[cell.run] = silent, now
        return silent

    def forget(self, cell: CellPaths) -> None:
        """It has answered, or it is gone."""
        self._seen.pop(cell.run, None)


def look(cell: CellPaths, silences: Silences, *, is_leaving: bool = False) -> Cell:
    """The cell as it is now; of one that is to go, that it is there is enough."""
    try:
        answer = cells.ask(cell.socket, {"op": "status"}, seconds=silences.patience(cell))
    except RetryError:
        if is_leaving:
            return Cell(alive=True)
        return _silent(cell, silences.note(cell, time.monotonic()))
    silences.forget(cell)
    known = started(cell)
    wanted = known.names if known is not None else frozenset()
    draining = cell.draining.exists()
    if answer is None:
        return Cell(alive=False, leftovers=leftovers.exist(cell), wanted=wanted, draining=draining)
    return _draining_or_not(Cell(alive=True, units=cells.units(answer), wanted=wanted, draining=draining))


def _silent(cell: CellPaths, seconds: float) -> Cell:
    """A cell that gives no answer, with the units that it is known to keep."""
    known, pids = started(cell), leftovers.recorded_units(cell)
    wanted = known.names if known is not None else frozenset()
    return Cell(
        alive=True,
        units=tuple(
            Unit(name=name, state=NOT_ANSWERING, pid=pids.get(name), restarts=0) for name in sorted(wanted | {*pids})
        ),
        wanted=wanted,
        draining=cell.draining.exists(),
        silent_for=seconds,
        stopped=leftovers.is_stopped(cell),
    )


def _draining_or_not(cell: Cell) -> Cell:
    """The mark is set before the order is given; who gives it may die between the two."""
    return replace(cell, draining=cell.draining and all(worker.is_stopping for worker in cell.workers))


def glance(cell: CellPaths) -> Cell:
    """The cell as it is now, for a person, who waits for an answer less long."""
    try:
        answer = cells.ask(cell.socket, {"op": "status"}, seconds=GLANCE)
    except RetryError:
        return _silent(cell, GLANCE)
    if answer is None:
        return NO_CELL
    return _draining_or_not(Cell(alive=True, units=cells.units(answer), draining=cell.draining.exists()))


def quiet(cell: CellPaths) -> None:
    """Stop the units that must not run for two revisions at once."""
    known = _known(cell)
    _keep(cell, known, known.names - known.once)


def resume(cell: CellPaths) -> None:
    """Start every unit again that was stopped on purpose."""
    known = _known(cell)
    _apply(cell, known.units)
    cell.draining.unlink(missing_ok=True)


def drain(cell: CellPaths, *, grace: float, kept: frozenset[str] = frozenset()) -> None:
    """Stop everything but what running tasks need, and what is `kept`; workers have `grace` seconds to end."""
    known = _known(cell)
    patient = [_with_grace(unit, grace) if unit["name"].startswith(WORKER) else unit for unit in known.units]
    cell.draining.touch(mode=0o600)
    answer = cells.ask(cell.socket, {"op": "status"})
    present = {unit.name for unit in cells.units(answer)} if answer is not None else set()
    # First the patience, for a worker's runs from the moment at which it is told to stop.
    _apply(cell, [unit for unit in patient if unit["name"] in present])
    _keep(cell, known, (known.needed_by_tasks | kept) & present)


def stop(cell: CellPaths) -> None:
    """Stop every unit in order, and the cell; nothing happens when there is none."""
    cells.ask(cell.socket, {"op": "shutdown"})


def _known(cell: CellPaths) -> Started:
    found = started(cell)
    if found is None:
        raise RetryError(f"nothing tells what the cell at {cell.run} was started with")
    return found


def _keep(cell: CellPaths, known: Started, names: Collection[str]) -> None:
    _apply(cell, [unit for unit in known.units if unit["name"] in names])


def _apply(cell: CellPaths, units: list[dict[str, Any]]) -> None:
    if cells.ask(cell.socket, {"op": "apply", "units": units}) is None:
        raise RetryError(f"the cell at {cell.run} is gone")


def _with_grace(unit: dict[str, Any], grace: float) -> dict[str, Any]:
    return {**unit, "stop": {**unit["stop"], "grace": grace}}
