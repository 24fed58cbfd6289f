"""What is asked of the Linux kernel: /proc, prctl, and killing all that a unit left behind.

The supervisor and the forked processes call it; it decides nothing. Only /proc tells a process from a later one with
the same number, so a cell refuses to start on a system without /proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
PR_SET_PDEATHSIG = 1  # linux/prctl.h, as those below
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
LONGEST_NAME = 15  # bytes, TASK_COMM_LEN less its end
PASSES = 20  # over /proc; each catches what was forked during the pass before
TICKS = os.sysconf("SC_CLK_TCK")  # a second, in /proc
DEAD = "ZXx"  # states of proc(5) in which a process runs no more

_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Process(NamedTuple):
    """One line of /proc/<pid>/stat."""

    pid: int
    state: str
    parent: int
    session: int
    start: int
    """Clock ticks from boot to the start of the process; with the number it names a process for good."""
    used: int
    """Clock ticks that it has run on a processor, without its children."""


def supported() -> bool:
    """Whether this system has what a cell needs."""
    return (PROC / "self/stat").exists()


def boot_id() -> str:
    """Names this boot of the machine: process numbers mean nothing in another."""
    return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def process(pid: int) -> Process | None:
    """The process with this number, which may be a zombie; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before may hold blanks and brackets
    used = int(fields[11]) + int(fields[12])  # in user mode and in the kernel
    return Process(pid, fields[0], int(fields[1]), int(fields[3]), int(fields[19]), used)


def alive(pid: int, start: int) -> bool:
    """Whether the very process that was started at `start` still runs."""
    found = process(pid)
    return found is not None and found.start == start and found.state not in DEAD


def processes() -> list[Process]:
    """Every living process that this process may see."""
    pids = [int(entry) for entry in os.listdir(str(PROC)) if entry.isdigit()]
    found = (process(pid) for pid in pids)
    return [one for one in found if one is not None and one.state not in DEAD]


def kill_session(session: int) -> int:
    """SIGKILLs every process of the session; returns how many there were.

    The caller makes sure that the number still belongs to the session: its leader is alive, or dead and not yet reaped,
    or nobody else has taken the number (the kernel gives away no number that a session still has). Killing the leader's
    process group would not be enough: Airflow 2 puts each task into a process group of its own.
    """
    with contextlib.suppress(OSError):
        os.killpg(session, signal.SIGKILL)
    killed: set[int] = set()
    for _ in range(PASSES):
        fresh = {one.pid for one in processes() if one.session == session} - killed
        if not fresh:
            break
        _kill_all(fresh)
        killed |= fresh
    return len(killed)


def kill_descendants(ancestor: int, spared: int) -> int:
    """SIGKILLs all descendants of `ancestor` but the process `spared`; returns how many there were."""
    killed: set[int] = set()
    for _ in range(PASSES):
        fresh = _descendants(ancestor) - killed - {spared}
        if not fresh:
            break
        _kill_all(fresh)
        killed |= fresh
    return len(killed)


def _descendants(ancestor: int) -> set[int]:
    everyone = processes()
    found = {ancestor}
    while True:
        more = {one.pid for one in everyone if one.parent in found} - found
        if not more:
            return found - {ancestor}
        found |= more


def _kill_all(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def threads() -> int:
    """How many threads this process has, those of C libraries too."""
    return len(os.listdir(str(PROC / "self/task")))


def set_name(name: str) -> None:
    """The name that ps and top show for this process."""
    _prctl(PR_SET_NAME, ctypes.c_char_p(os.fsencode(name)[:LONGEST_NAME]), 0, 0, 0)


def become_subreaper() -> None:
    """Makes orphans among our descendants our children, so that the kernel tells us of their deaths."""
    _set(PR_SET_CHILD_SUBREAPER)


def forbid_new_privileges() -> None:
    """No program that this process executes gains rights by set-user-id or file capabilities."""
    _set(PR_SET_NO_NEW_PRIVS)


def be_visible() -> None:
    """Lets processes of the same user trace this one and its children, as they may unless a process changes its user.

    Where others are hidden (`mounts.hide_processes`), a process otherwise does not even find its own child.
    """
    _set(PR_SET_DUMPABLE)


def be_untraceable() -> None:
    """Nobody but root traces this process, or reads in /proc what of it is not for all; it leaves no core."""
    _set(PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent ends; a change of the user id cancels that."""
    _set(PR_SET_PDEATHSIG, signal.SIGKILL)


def _set(option: int, value: int = 1) -> None:
    if _prctl(option, int(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


def close_all_but(kept: set[int]) -> None:
    """Closes every inherited file descriptor but 0, 1, 2 and `kept`."""
    for entry in os.listdir(str(PROC / "self/fd")):
        number = int(entry)
        if number > 2 and number not in kept:  # noqa: PLR2004 - stdin, stdout, stderr
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
                os.close(number)
