"""Cells that give no answer: how long each has been silent, and when that is too long. The judgement is pure."""

from __future__ import annotations

import time
from pathlib import Path

from aerodrome.backends.local.paths import CellPaths
from aerodrome.model.observed import CellState

STOPPED_PATIENCE = 10.0
"""Seconds that a signal may keep a cell's process stopped before the cell is replaced."""

CELL_PATIENCE = 90.0
"""Seconds that a cell may give no answer; it answers nothing while its nursery imports, for a minute at most."""

ANSWER_PATIENCE = 5.0
"""Seconds within which a cell answers on the busiest machine, unless it starts its nursery."""

SHORT_PATIENCE = 1.0

LONGEST_LOOK = 10.0
"""The most seconds that count between two looks: while the machine or the control plane slept, nobody asked."""


def judged(seconds: float, *, stopped: bool) -> tuple[CellState, str]:
    """A cell's state and trouble after so many seconds of silence; `stopped` = a signal has stopped its process."""
    if seconds <= (STOPPED_PATIENCE if stopped else CELL_PATIENCE):
        return CellState.SILENT, ""
    cause = "was stopped by a signal" if stopped else "gave no answer"
    return CellState.LOST, f"{cause} for {seconds:.0f} s"


class Silences:
    """How long cells have given no answer. A new control plane begins to count from zero."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[float, float]] = {}
        """A cell's folder → seconds of silence, and when it was last looked at."""

    def patience(self, cell: CellPaths) -> float:
        """Seconds to wait for the cell's answer; a known silent one gets fewer, because others wait meanwhile."""
        return SHORT_PATIENCE if cell.run in self._seen else ANSWER_PATIENCE

    def note(self, cell: CellPaths, now: float | None = None) -> float:
        """Note that the cell gave no answer again; returns the seconds of its silence, as far as we have looked."""
        now = time.monotonic() if now is None else now
        silent, looked_at = self._seen.get(cell.run, (ANSWER_PATIENCE, now))
        silent += min(now - looked_at, LONGEST_LOOK)
        self._seen[cell.run] = silent, now
        return silent

    def seconds(self, cell: CellPaths) -> float:
        """The seconds of the cell's silence, as far as we have looked; 0 = it answered when it was asked last."""
        return self._seen.get(cell.run, (0.0, 0.0))[0]

    def forget(self, cell: CellPaths) -> None:
        """Note that the cell has answered, or is gone."""
        self._seen.pop(cell.run, None)
