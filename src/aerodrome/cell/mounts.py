"""Paths that users' code expects to find, shown in a mount namespace of our own: nobody else on the machine sees them.

Two callers use it: the cell before it forks anything, and `release/inside/supervise.py`, which loads it by its path
before it becomes somebody's program. It needs root, and a kernel that lets us mount; `release/airflow_home` runs it as
a script to see whether that works.

mount(2) follows links, and users' code may have made links below what was shown first. So a path below an earlier one
is walked name by name without following any link, and the mount goes onto the descriptor of what was found.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys

CLONE_NEWNS = 0x20000  # linux/sched.h
MS_BIND = 0x1000  # linux/mount.h, as those below
MS_REC = 0x4000
MS_SLAVE = 0x80000
MOUNT_SETATTR = 442  # the system call's number on every architecture, since Linux 5.12
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSYMFOLLOW = 0x200000  # since Linux 5.14

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - it is replaced
SHARED = ("/tmp", "/var/tmp")  # noqa: S108 - as above
SMALL = b"size=256m,mode=1777"


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
    """Shows each (file or folder, path) at that path too; returns the paths where that is impossible."""
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


def forbid_links(path: str) -> bool:
    """Lets nobody follow a link in what is shown at the path; False = the kernel cannot.

    Who writes there then leads no other user to files of that user's own.
    """
    return _set(path, MOUNT_ATTR_NOSYMFOLLOW, 0)


def shut(writable: list[str], temporary: str) -> bool:
    """Makes all but these folders read-only, and replaces the folders that all programs share; False = it cannot.

    Folders of ours inside the shared ones are still found there, by their names; what belongs to others is not. Raises
    OSError if one of `writable` would be lost.
    """
    places = [place for place in SHARED if os.path.isdir(place) and not os.path.islink(place)]
    replaced = [_Replaced(place, os.path.join(temporary, own_place(place))) for place in places]
    done = all([each.mount() for each in replaced])  # noqa: C419 - every one is
    for path in writable:
        os.stat(path)
    library = _library()
    if os.path.isdir(SHARED_MEMORY) and library.mount(b"tmpfs", SHARED_MEMORY.encode(), b"tmpfs", None, SMALL) == 0:
        places.append(SHARED_MEMORY)
    for path in writable:
        done = _mount(path, path) and done
    done = done and _set_read_only("/", recursive=True)
    for path in (*writable, *places):
        done = _set_read_only(path, recursive=False, undo=True) and done
    return done


def own_place(place: str) -> str:
    """The name of the folder that takes the place of a shared one."""
    return ".shared" + place.replace("/", "-")


class _Replaced:
    """A shared folder, one that takes its place, and what root has in the former: it is found in the latter."""

    def __init__(self, place: str, own: str) -> None:
        self._place = place
        self._own = own
        self._kept: list[tuple[str, int]] = []
        os.mkdir(own)
        os.chmod(own, 0o1777)  # noqa: S103 - it is /tmp for somebody
        for name in os.listdir(place):
            with contextlib.suppress(OSError):  # somebody may remove it meanwhile
                folder = os.open(os.path.join(place, name), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
                found = os.fstat(folder)
                if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                    os.mkdir(os.path.join(own, name))
                    self._kept.append((name, folder))
                else:
                    os.close(folder)

    def mount(self) -> bool:
        """Put one in the other's place."""
        done = _mount(self._own, self._place)
        for name, folder in self._kept:
            if done:  # one that somebody removed meanwhile cannot be shown, and need not
                _mount(f"/proc/self/fd/{folder}", os.path.join(self._place, name))
            os.close(folder)
        return done


class _Attributes(ctypes.Structure):
    """struct mount_attr of linux/mount.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace")]


def _set_read_only(path: str, *, recursive: bool, undo: bool = False) -> bool:
    flags = AT_RECURSIVE if recursive else 0
    return _set(path, 0, MOUNT_ATTR_RDONLY, flags) if undo else _set(path, MOUNT_ATTR_RDONLY, 0, flags)


def _set(path: str, added: int, taken: int, flags: int = 0) -> bool:
    wanted = _Attributes(added, taken, 0, 0)
    size = ctypes.sizeof(wanted)
    done = _library().syscall(MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, ctypes.byref(wanted), size)
    return bool(done == 0)


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
    return bool(
        _library().mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(MS_BIND | MS_REC), None) == 0
    )


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    # 0: paths can be shown, and without links; 1: they can be shown; 2: they cannot.
    shown = leave() and not show([[sys.argv[1], sys.argv[1]]])
    sys.exit((0 if forbid_links(sys.argv[1]) else 1) if shown else 2)
