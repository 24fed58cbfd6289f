"""Finds what a dead cell left running, and ends it without a cell.

The cell's control group tells all of it. Without one, the cell's own state file tells the processes: process id and
kernel start time, so that another process that has the same id later is spared. If we are root, the uids that only this
environment has tell them too.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import psutil

from aerodrome.backends.local import groups
from aerodrome.backends.local.paths import CellPaths
from aerodrome.cell import cgroups
from aerodrome.cell.cgroups import ControlGroup
from aerodrome.errors import RetryError
from aerodrome.services import processes
from aerodrome.unix_users import UnixUser

PATIENCE = 10.0
"""Seconds that killed processes may take to end."""

POLL = 0.01

_KILL_ALL = "import os, signal, sys; os.setuid(int(sys.argv[1])); os.kill(-1, signal.SIGKILL)"


def exist(cell: CellPaths) -> bool:
    """Whether any unit in the state file runs."""
    return any(True for _ in _recorded(cell.state))


def end(
    cells: Iterable[CellPaths],
    *owners: UnixUser | None,
    top: ControlGroup | None = None,
    whole: ControlGroup | None = None,
) -> None:
    """Kill the cells, all that they started, and their units, by the control groups of the installation (`top`).

    `whole` is a group that ends as a whole too. What has no group is ended by what the cells wrote down, and with it
    everything else that runs under the owners' uids.

    Raises:
        RetryError: some process has not ended yet after its SIGKILL.
    """
    every = list(cells)
    found = {cell.run: group for cell in every if (group := groups.of_cell(cell, top)) is not None}
    ending = [*found.values(), *([whole] if whole is not None and cgroups.exists(whole) else [])]
    _end_groups(ending)
    # A cell that could not enter its group is none of it.
    others = [cell for cell in every if cell.run not in found or process_of(cell) is not None or exist(cell)]
    if others or not ending:
        _end_others(others, *owners)


def _end_groups(ending: Collection[ControlGroup]) -> None:
    deadline = time.monotonic() + PATIENCE
    left = {pid for group in ending if cgroups.kill(group) for pid in cgroups.members(group)}
    while left and time.monotonic() < deadline:
        time.sleep(POLL)
        left = {pid for group in ending for pid in cgroups.members(group)}
    if left:
        raise RetryError(f"still ending: {', '.join(map(str, sorted(left)))}")


def _end_others(cells: Iterable[CellPaths], *owners: UnixUser | None) -> None:
    uids = {owner.uid for owner in owners if owner is not None}
    sessions: set[int] = set()
    begun: list[psutil.Process] = []
    for each in cells:
        with contextlib.suppress(psutil.Error):  # it is ending now
            process = process_of(each)
            if process is not None:
                begun += process.children(recursive=True)  # also processes that have left their unit's session
                process.kill()
        sessions |= {unit.pid for unit in _recorded(each.state)}
    theirs = [*begun, *(process for process in psutil.process_iter() if _belongs(process, sessions, uids))]
    for process in theirs:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for uid in uids:
        _kill_all_of(uid)
    _, alive = psutil.wait_procs(theirs, timeout=PATIENCE)
    alive = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    if alive:
        raise RetryError(f"still ending: {', '.join(str(process.pid) for process in alive)}")


def _kill_all_of(uid: int) -> None:
    """Kill every process of the user at once, under a lock of the kernel: a chain of forks is faster than any listing.

    Raises:
        RetryError: the program that kills them did not end in time.
    """
    command = [sys.executable, "-I", "-S", "-c", _KILL_ALL, str(uid)]
    try:
        # The program fails if there is nobody to kill, which is no error for us.
        subprocess.run(command, env={}, cwd="/", capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise RetryError(f"the processes of user {uid} are still ending") from error


def process_of(cell: CellPaths) -> psutil.Process | None:
    """The cell's own process; None when it is dead."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):  # a dead cell is usual; psutil's are no OSErrors
        process = psutil.Process(int(cell.pid_file.read_text()))
        return process if _holds(process, cell.socket) else None
    return None


def is_stopped(cell: CellPaths) -> bool:
    """Whether a signal has stopped the cell's process."""
    with contextlib.suppress(psutil.Error):
        process = process_of(cell)
        return process is not None and process.status() == psutil.STATUS_STOPPED
    return False


def end_cell(cell: CellPaths) -> None:
    """Kill the cell, and none of its units.

    Raises:
        RetryError: the cell has not ended yet after its SIGKILL.
    """
    process = process_of(cell)
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    _, alive = psutil.wait_procs([process], timeout=PATIENCE)
    if any(each.status() != psutil.STATUS_ZOMBIE for each in alive):
        raise RetryError(f"still ending: {process.pid}")


def recorded_units(cell: CellPaths) -> dict[str, int]:
    """The units with a process, as the cell last wrote them down, with their process ids; they may be dead by now."""
    try:
        document = json.loads(cell.state.read_text())
        return {str(unit["spec"]["name"]): int(unit["pid"]) for unit in document["units"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _holds(process: psutil.Process, socket: Path) -> bool:
    return any(connection.laddr == str(socket) for connection in process.net_connections(kind="unix"))


def _recorded(state: Path) -> Iterator[psutil.Process]:
    try:
        document = json.loads(state.read_text())
        units = [(int(unit["pid"]), int(unit["start"])) for unit in document["units"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for pid, start in units:
        if (processes.mark(pid) or "").endswith(f":{start}"):
            with contextlib.suppress(psutil.NoSuchProcess):
                yield psutil.Process(pid)


def _belongs(process: psutil.Process, sessions: set[int], uids: set[int]) -> bool:
    """Whether the process is in a unit's session, or has an owner's uid.

    Each unit leads a session; Airflow 2's tasks leave their unit's group, but not its session.
    """
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        return os.getsid(process.pid) in sessions or process.uids().real in uids
    return False
