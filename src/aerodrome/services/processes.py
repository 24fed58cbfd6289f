"""Which process a process id means: the number alone may soon belong to another process.

The daemon and PostgreSQL's adoption ask here. It only reads, and signals nothing.
"""

from __future__ import annotations

import functools
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
START_FIELD = 19
"""Index of `starttime` among the fields of /proc/<pid>/stat that follow the command's name (proc(5): field 22)."""


def mark(pid: int) -> str | None:
    """A text that no other process with this id has ever had; None when there is no such process, or only a zombie.

    On Linux: boot id and start time in kernel ticks, which no correction of the wall clock changes.
    """
    boot = _boot()
    if boot is None:
        return _portable_mark(pid)
    fields = _fields(pid)
    return None if fields is None or fields[0] in {"Z", "X"} else f"{boot}:{fields[START_FIELD]}"


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped it."""
    if _boot() is not None:
        fields = _fields(pid)
        return fields is not None and fields[0] == "T"
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


@functools.cache
def _boot() -> str | None:
    """The boot id, which is one as long as we live; None = the system has none.

    Any other error passes, and is raised: kept as an answer, it would make all marks of before another process's.
    """
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def _fields(pid: int) -> list[str] | None:
    """What /proc/<pid>/stat has behind the command's name; None = there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()


def _portable_mark(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


def working_in(folder: Path, program: str) -> list[psutil.Process]:
    """Every living process of the program of this name whose working directory is `folder`."""
    return [process for process in psutil.process_iter() if works_in(process, folder, program)]


def works_in(process: psutil.Process, folder: Path, program: str) -> bool:
    """Whether it lives, is of the program of this name, and `folder` is its working directory."""
    try:
        return (
            process.name() == program
            and process.cwd() == str(folder)
            and process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
