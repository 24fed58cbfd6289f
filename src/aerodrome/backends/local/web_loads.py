"""What the web servers of a cell have used of the processors, as /proc says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from aerodrome.airflow import units as airflow_units
from aerodrome.backends.local import cell_client
from aerodrome.backends.local.paths import CellPaths
from aerodrome.cell import kernel
from aerodrome.errors import RetryError

TICKS = os.sysconf("SC_CLK_TCK")
"""Of the kernel, in a second."""


def processor(parts: Iterable[CellPaths]) -> Mapping[str, float] | None:
    """The name of each web server that serves → the seconds of a processor that its processes have used.

    None = no part of the cell answers.
    """
    found = [each for each in map(_of_part, parts) if each is not None]
    return {name: used for each in found for name, used in each.items()} if found else None


def _of_part(cell: CellPaths) -> Mapping[str, float] | None:
    try:
        answer = cell_client.ask(cell.socket, {"op": "status"})
    except RetryError:
        return None
    if answer is None:
        return None
    serving = {unit.name for unit in cell_client.units(answer) if unit.is_ready}
    pids = {name: pid for name, pid in cell_client.pids(answer).items() if name in serving}
    found = {pid: 0 for name, pid in pids.items() if airflow_units.is_web_server(name)}
    for process in kernel.processes():  # each unit leads a session, whatever it forks
        if process.session in found:
            found[process.session] += process.used
    return {name: found[pid] / TICKS for name, pid in pids.items() if pid in found}
