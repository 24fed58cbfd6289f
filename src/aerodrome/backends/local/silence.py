"""Cells that give no answer: for how long each has been silent, and when that is too long. The judgement is pure."""

from __future__ import annotations

import time
from pathlib import Path

from aerodrome.backends.local.paths import CellPaths
from aerodrome.model.observed import CellState

STOPPED_PATIENCE = 10.0
"""Seconds for which the process of a cell may be stopped by a signal until it is replaced."""

CELL_PATIENCE = 90.0
"""Seconds for which a cell may give no answer; it hears nothing while a nursery imports, a minute at the most."""

ANSWER_PATIENCE = 5.0
"""Seconds in which a cell answers on the busiest machine; one that starts its nursery may take a minute."""

SHORT_PATIENCE = 1.0

LONGEST_LOOK = 10.0
"""Seconds that count at most between two looks: a machine that slept, or a control plane, heard no answer either."""


def judged(seconds: float, *, stopped: bool) -> tuple[CellState, str]:
    """What a cell is that has been silent for so long, and its trouble; `stopped` = its process is, by a signal."""
    if seconds <= (STOPPED_PATIENCE if stopped else CELL_PATIENCE):
        return CellState.SILENT, ""
    cause = "was stopped by a signal" if stopped else "gave no answer"
    return CellState.LOST, f"{cause} for {seconds:.0f} s"


class Silences:
    """For how long cells have given no answer. Forgotten with this process, which then begins to count anew."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[float, float]] = {}
        """A cell's folder → seconds of silence, and when it was last looked at."""

    def patience(self, cell: CellPaths) -> float:
        """Seconds to wait for its answer: others wait meanwhile, so one that is known to be silent gets less."""
        return SHORT_PATIENCE if cell.run in self._seen else ANSWER_PATIENCE

    def note(self, cell: CellPaths, now: float | None = None) -> float:
        """It has given no answer again; returns for how many seconds it has been silent, as far as we looked."""
        now = time.monotonic() if now is None else now
        silent, looked_at = self._seen.get(cell.run, (ANSWER_PATIENCE, now))
        silent += min(now - looked_at, LONGEST_LOOK)
        self._seen[cell.run] = silent, now
        return silent

    def seconds(self, cell: CellPaths) -> float:
        """For how long it has been silent, as far as we looked; 0 = it answered last."""
        return self._seen.get(cell.run, (0.0, 0.0))[0]

    def forget(self, cell: CellPaths) -> None:
        """It has answered, or it is gone."""
        self._seen.pop(cell.run, None)
