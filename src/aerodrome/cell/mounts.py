"""Paths that users' code expects to find, shown in a mount namespace of our own: nobody else on the machine sees them.

Two callers use it: the cell before it starts a unit, and `release/inside/supervise.py`, which loads it by its path
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
import re
import stat
import sys

CLONE_NEWNS = 0x20000  # linux/sched.h
MS_NOSUID = 2  # linux/mount.h, as those below
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MOUNT_SETATTR = 442  # the system call's number on every architecture, since Linux 5.12
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSYMFOLLOW = 0x200000  # since Linux 5.14

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - it is replaced
SHARED = ("/tmp", "/var/tmp")  # noqa: S108 - as above
SMALL = 256 * 2**20
"""Bytes of the shared memory that takes the machine's place."""

HIDING = (5, 8)
"""Since this Linux each proc file system has options of its own; before, we would change the machine's."""

TRIES = 10
"""Names that somebody may take in a shared folder while we put one there."""


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
        if not bind(source, f"/proc/self/fd/{target}"):
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

    Raises OSError if one of `writable` would be lost.
    """
    places, done = _replace(temporary, SMALL)
    for path in writable:
        os.stat(path)
    for path in writable:
        done = bind(path, path) and done
    done = done and _set_read_only("/", recursive=True)
    for path in (*writable, *places):
        done = _set_read_only(path, recursive=False, undo=True) and done
    return done


def replace_shared(temporary: str, *, size: int = SMALL) -> bool:
    """Puts folders in `temporary` in the place of those that all programs of the machine share; False = it cannot.

    They are there again in the next namespace, but for the shared memory, which has so many bytes.
    """
    return _replace(temporary, size)[1]


def would_lose(path: str) -> bool:
    """Whether `replace_shared` takes the path away: it is in a shared folder, and there in none of root's."""
    real = os.path.realpath(path)
    for place in SHARED:
        if real == place:
            return True
        if real.startswith(place + "/"):
            first = real[len(place) + 1 :].partition("/")[0]
            try:
                return not _is_folder_of_ours(os.lstat(os.path.join(place, first)))
            except OSError:
                return True
    return False


def hide_processes() -> bool:
    """Shows each process in /proc only those that it may trace; False = the kernel cannot. Root sees all.

    A process that changes its user may be traced by nobody, until it says otherwise (`kernel.be_visible`).
    """
    if _version(os.uname().release) < HIDING:
        return False
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV | MS_NOEXEC)
    return bool(_library().mount(b"proc", b"/proc", b"proc", flags, b"hidepid=2") == 0)


def _version(release: str) -> tuple[int, ...]:
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return tuple(map(int, numbers.groups())) if numbers else (0,)


def _replace(temporary: str, size: int) -> tuple[list[str], bool]:
    """Replaces the shared folders; which there are, and whether it could.

    Folders of root's inside them are still found there, by their names; what belongs to others is not.
    """
    places = [place for place in SHARED if os.path.isdir(place) and not os.path.islink(place)]
    replaced = [_Replaced(place, os.path.join(temporary, own_place(place))) for place in places]
    done = all([each.mount() for each in replaced])  # noqa: C419 - every one is
    options = f"size={size},mode=1777".encode()
    if os.path.isdir(SHARED_MEMORY):
        mounted = _library().mount(b"tmpfs", SHARED_MEMORY.encode(), b"tmpfs", None, options) == 0
        places += [SHARED_MEMORY] * mounted
    return places, done


def own_place(place: str) -> str:
    """The name of the folder that takes the place of a shared one."""
    return ".shared" + place.replace("/", "-")


class _Replaced:
    """A shared folder, one that takes its place, and what root has in the former: it is found in the latter."""

    def __init__(self, place: str, own: str) -> None:
        self._place = place
        self._own = own
        self._kept: list[tuple[str, int]] = []
        with contextlib.suppress(FileExistsError):
            os.mkdir(own)
        os.chmod(own, 0o1777)  # noqa: S103 - it is /tmp for somebody
        for name in os.listdir(place):
            with contextlib.suppress(OSError):  # somebody may remove it meanwhile
                folder = os.open(os.path.join(place, name), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
                if _is_folder_of_ours(os.fstat(folder)):
                    self._kept.append((name, folder))
                else:
                    os.close(folder)

    def mount(self) -> bool:
        """Put one in the other's place."""
        done = bind(self._own, self._place)
        here = os.open(self._place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for name, folder in self._kept:
            if done and _make_folder(here, name):
                target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
                if _is_folder_of_ours(os.fstat(target)):
                    # One that somebody removed meanwhile cannot be shown, and need not.
                    bind(f"/proc/self/fd/{folder}", f"/proc/self/fd/{target}")
                os.close(target)
            os.close(folder)
        os.close(here)
        return done


def _make_folder(parent: int, name: str) -> bool:
    """Makes a folder of ours. Whoever else writes to its parent may have put something there; that is moved away."""
    for _ in range(TRIES):
        with contextlib.suppress(FileNotFoundError):
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                if _is_folder_of_ours(os.stat(name, dir_fd=parent, follow_symlinks=False)):
                    return True
                os.rename(name, ".moved-" + os.urandom(8).hex(), src_dir_fd=parent, dst_dir_fd=parent)
            else:
                return True
    return False


def _is_folder_of_ours(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


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


def bind(source: str, target: str) -> bool:
    """Shows what is at one path at the other too, with all that is mounted below it; False = the kernel does not."""
    return bool(
        _library().mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(MS_BIND | MS_REC), None) == 0
    )


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    # 0: paths can be shown, and without links; 1: they can be shown; 2: they cannot.
    shown = leave() and not show([[sys.argv[1], sys.argv[1]]])
    sys.exit((0 if forbid_links(sys.argv[1]) else 1) if shown else 2)
