"""Stop every cell and warm process of this installation, without ledger or control plane.

They are found by the files in the run folder; `aerodrome down` works whatever else is alive or dead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from aerodrome.backends.local import cells, leftovers, warm
from aerodrome.backends.local.places import Owner
from aerodrome.errors import RetryError
from aerodrome.settings import EnvironmentPaths, Paths

LIMIT = 120.0
"""Seconds for all cells together; a worker may use its grace of 90 for tasks that are about to end."""

POLL = 0.1


def stop_all(paths: Paths, *, report: Callable[[str], None]) -> None:
    """Stop all cells side by side, end what remains, then the warm processes."""
    places = [EnvironmentPaths(Path("/nowhere"), state.parent) for state in paths.run.glob("*/cell.json")]
    deadline = time.monotonic() + LIMIT
    waiting = [place for place in places if _ask_to_stop(place)]
    while waiting and time.monotonic() < deadline:
        report(f"Stopping {len(waiting)} environment{'s' if len(waiting) > 1 else ''} …")
        time.sleep(POLL)
        waiting = [place for place in waiting if _ask_to_stop(place)]
    for place in places:
        leftovers.end(place, Owner(None, None))
    warm.stop_all(paths)


def _ask_to_stop(place: EnvironmentPaths) -> bool:
    """Whether the cell is still there; asking again does no harm."""
    try:
        return cells.ask(place.cell_socket, {"op": "shutdown"}) is not None
    except RetryError:
        return True
