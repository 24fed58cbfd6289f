"""Stops every cell and warm process of this installation, without ledger or control plane.

The files in the run folder tell which there are, so `aerodrome down` works whatever else is alive or dead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from aerodrome.backends.local import cell_client, groups, leftovers, warm
from aerodrome.backends.local.paths import CellPaths
from aerodrome.cell.cgroups import ControlGroup
from aerodrome.errors import RetryError
from aerodrome.settings import Paths

LIMIT = 120.0
"""Seconds for all cells together; a worker has 90 of them for tasks that are about to end."""

POLL = 0.1


def stop_all(paths: Paths, *, report: Callable[[str], None]) -> None:
    """Stop all cells of revisions at the same time, then those of services, then the warm processes."""
    deadline = time.monotonic() + LIMIT
    for pattern in ("*/*/cell.json", "*/cell.json"):
        _stop([CellPaths(config.parent) for config in paths.run.glob(pattern)], deadline, report, groups.known(paths))
    warm.stop_all(paths)
    groups.remove_all(paths)


def _stop(
    found: Iterable[CellPaths], deadline: float, report: Callable[[str], None], top: ControlGroup | None = None
) -> None:
    """Ask cells to stop, wait for them, and kill what remains."""
    waiting = [cell for cell in found if _ask_to_stop(cell)]
    while waiting and time.monotonic() < deadline:
        environments = len({_environment(cell) for cell in waiting})
        report(f"Stopping {environments} environment{'s' if environments > 1 else ''} …")
        time.sleep(POLL)
        waiting = [cell for cell in waiting if _ask_to_stop(cell)]
    leftovers.end(found, None, top=top)


def _environment(cell: CellPaths) -> Path:
    """The run folder of the cell's environment."""
    return cell.run.parent if (cell.run.parent / "cell.json").exists() else cell.run


def _ask_to_stop(cell: CellPaths) -> bool:
    """Ask the cell to stop; whether it still exists. To ask again does no harm."""
    try:
        return cell_client.ask(cell.socket, {"op": "shutdown"}) is not None
    except RetryError:
        return not leftovers.is_stopped(cell)  # a process that a signal has stopped never answers
