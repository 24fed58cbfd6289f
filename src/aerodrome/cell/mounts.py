"""Paths that DAG code expects to find, shown in a mount namespace of our own: nobody else on the machine sees them.

The cell uses it before it forks anything, and `release/inside/supervise.py`, which loads it by its path, before it
becomes somebody's program. It needs root, and a kernel that lets us; where either is missing the paths are not there.
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x20000  # linux/sched.h
MS_BIND = 0x1000  # linux/mount.h, as those below
MS_REC = 0x4000
MS_SLAVE = 0x80000


def leave() -> bool:
    """Leaves the machine's mount namespace for one of our own; False = we may not, and nothing can be shown."""
    if os.geteuid() != 0:
        return False
    library = _library()
    if library.unshare(CLONE_NEWNS) != 0:
        return False
    # What is mounted outside later is still seen here; what we mount is not seen outside.
    return bool(library.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_SLAVE), None) == 0)


def show(views: list[list[str]]) -> list[str]:
    """Lets each (folder, path) be found at the path too, which is a folder; the paths at which it cannot be."""
    library = _library()
    refused = []
    for folder, path in views:
        flags = ctypes.c_ulong(MS_BIND)
        if library.mount(os.fsencode(folder), os.fsencode(path), None, flags, None) != 0:
            refused.append(path)
    return refused


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
