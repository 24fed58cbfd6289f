"""Looks at cells: makes `model.observed.Cell` from a cell's own answer or, if it gives none, from its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aerodrome.backends.contract import ShownCell
from aerodrome.backends.local import cell_client, leftovers, recorded_orders, silence
from aerodrome.backends.local.paths import CellPaths
from aerodrome.backends.local.silence import Silences
from aerodrome.errors import RetryError
from aerodrome.model.observed import NOT_ANSWERING, Cell, CellState, Unit

GLANCE = 2.0
"""Seconds that a person waits for a cell's answer."""


class CellStates:
    """Looks at cells, and remembers how long some of them have given no answer."""

    def __init__(self) -> None:
        self._silences = Silences()

    def look(self, cell: CellPaths, *, is_leaving: bool = False) -> Cell:
        """The cell as it is now; for a leaving environment, it is enough to know that the cell exists."""
        try:
            answer = cell_client.ask(cell.socket, {"op": "status"}, seconds=self._silences.patience(cell))
        except RetryError:
            seconds = 0.0 if is_leaving else self._silences.note(cell)
            return _silent(cell, seconds)
        self._silences.forget(cell)
        return _seen(cell, answer)

    def is_alive(self, cell: CellPaths) -> bool:
        """Whether the cell takes requests. A cell that was silent for too long is ended first, without its units.

        Raises:
            RetryError: the cell gives no answer, which may pass.
        """
        if self._is_hung(cell):
            leftovers.end_cell(cell)
            self._silences.forget(cell)
        return cell_client.ask(cell.socket, {"op": "status"}) is not None

    def is_leaving(self, cell: CellPaths) -> bool:
        """Tell the cell to stop every unit in order and then to end.

        False when the cell is dead or hung and has left units: nobody stops those in order.

        Raises:
            RetryError: the cell gives no answer, which may pass.
        """
        if self._is_hung(cell):
            return False
        return cell_client.ask(cell.socket, {"op": "shutdown"}) is not None or not leftovers.exist(cell)

    def _is_hung(self, cell: CellPaths) -> bool:
        """Whether the cell has given no answer for too long, as far as we have looked."""
        state, _ = silence.judged(self._silences.seconds(cell), stopped=leftovers.is_stopped(cell))
        return state is CellState.LOST


def shown(cell: CellPaths) -> ShownCell:
    """The cell as it is now, for a person; a cell without an answer is shown by what it last wrote down."""
    try:
        answer = cell_client.ask(cell.socket, {"op": "status"}, seconds=GLANCE)
    except RetryError:
        return ShownCell(cell=_silent(cell, GLANCE), processes=leftovers.recorded_units(cell))
    return ShownCell(cell=_seen(cell, answer), processes=cell_client.pids(answer) if answer else {})


def units(cell: CellPaths) -> list[dict[str, Any]]:
    """The specifications of all units that the cell has when everything is kept; empty when no file says them."""
    try:
        found: list[dict[str, Any]] = json.loads(cell.units.read_text(encoding="utf-8"))["units"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found


def is_apart(cell: CellPaths) -> bool:
    """Whether the cell was started for units with two users; then it has a folder in which no link is followed."""
    try:
        return bool(json.loads(cell.config.read_text(encoding="utf-8"))["linkless"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _seen(cell: CellPaths, answer: Mapping[str, Any] | None) -> Cell:
    order, wanted = recorded_orders.read(cell), _wanted(cell)
    if answer is not None:
        return Cell(
            state=CellState.RUNNING,
            order=order,
            units=cell_client.units(answer),
            wanted=wanted,
            images=cell_client.images(answer),
        )
    if leftovers.exist(cell):
        return Cell(state=CellState.LOST, order=order, wanted=wanted)
    state = CellState.ENDED if cell.config.exists() else CellState.ABSENT
    return Cell(state=state, order=order, wanted=wanted)


def _silent(cell: CellPaths, seconds: float) -> Cell:
    """A cell that gives no answer, with the units that it should have and those that it wrote down."""
    wanted = _wanted(cell)
    state, trouble = silence.judged(seconds, stopped=leftovers.is_stopped(cell))
    return Cell(
        state=state,
        order=recorded_orders.read(cell),
        units=tuple(
            Unit(name=name, state=NOT_ANSWERING, restarts=0)
            for name in sorted(wanted | {*leftovers.recorded_units(cell)})
        ),
        wanted=wanted,
        trouble=trouble,
    )


def _wanted(cell: CellPaths) -> frozenset[str]:
    return frozenset(str(unit["name"]) for unit in units(cell))
