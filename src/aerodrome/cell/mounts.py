"""Paths that users' code expects to find, shown in a mount namespace of our own: nobody else on the machine sees them.

The cell uses it before it forks anything, and `release/inside/supervise.py`, which loads it by its path, before it
becomes somebody's program. It needs root, and a kernel that lets us; `release/airflow_home` runs it as a script to see.

mount(2) follows links, and below what was shown first users' code may make some. So a path below an earlier one is
walked name by name without following any, and mounted on by the descriptor of what was found.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys

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
    """Lets each (file or folder, path) be found at the path too, where one lies; the paths at which it cannot be."""
    refused: list[str] = []
    above: list[str] = []
    for source, path in views:
        try:
            target = _open(path, next((each for each in reversed(above) if path.startswith(each + "/")), None))
        except OSError:
            refused.append(path)
            continue
        if not _mount(source, f"/proc/self/fd/{target}"):
            refused.append(path)
        os.close(target)
        above.append(path)
    return refused


def _open(path: str, above: str | None) -> int:
    """A descriptor of what lies at the path; below `above` no link is followed."""
    if above is None:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    found = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in path[len(above) + 1 :].split("/"):
        parent = found
        try:
            found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        finally:
            os.close(parent)
    if stat.S_ISLNK(os.fstat(found).st_mode):  # as O_PATH opens it
        os.close(found)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return found


def _mount(source: str, target: str) -> bool:
    return bool(_library().mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(MS_BIND), None) == 0)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    sys.exit(not leave() or bool(show([[sys.argv[1], sys.argv[1]]])))
