"""Disk images: files with a file system of their own, for the folders that users' code fills.

The kernel refuses what does not fit, in bytes and in files, also of files without a name. A cell mounts them in its
own mount namespace, which its units have too. So nobody else sees what is in them; and when the last of the units has
ended, however it ended, the kernel unmounts them and frees the loop device.

Two cells may have one image: they share the loop device. `backends/local/disks` runs this module as a program to see
whether a machine lets us do all that.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import struct
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from . import mounts

if TYPE_CHECKING:
    from typing import Any

LOOP_GET_STATUS64 = 0x4C05  # linux/loop.h, as those below
LOOP_CONFIGURE = 0x4C0A  # since Linux 5.8
LOOP_CTL_GET_FREE = 0x4C82
LO_FLAGS_AUTOCLEAR = 4
LOOP_INFO = struct.Struct("=5Q4I64s64s32s2Q")  # struct loop_info64
LOOP_CONFIG = struct.Struct(f"=2I{LOOP_INFO.size}s64x")  # struct loop_config
MNT_DETACH = 2
DEVICES = "/sys/block"
FILE_SYSTEM = b"ext4"
# Tables of inodes stay holes until they are used, and freed blocks become holes. Where the disk below is full, what
# cannot be written is lost; the rest goes on.
OPTIONS = b"noinit_itable,discard,errors=continue"

TRIES = 50
PAUSE = 0.02  # seconds; another process has taken the free device, or the last mount of ours ends just now


class ImageFolder(NamedTuple):
    """A folder of an image, and where it is shown. Whatever was there is hidden."""

    name: str
    path: str
    uid: int
    gid: int
    mode: int
    copies: bool
    """Whether it begins with what lies at the path: folders, links, small files."""


class Image(NamedTuple):
    """One file, and what units find in it."""

    name: str
    """What a person calls it."""
    file: str
    at: str
    """A folder of ours, where it is mounted for a moment."""
    folders: list[ImageFolder]


class Space(NamedTuple):
    """What an image holds. Bytes, and files."""

    size: int
    free: int
    files: int


def parse(raw: Any) -> list[Image] | None:
    """The images of a cell's configuration; None = that is none."""
    try:
        return [
            Image(
                str(each["name"]), str(each["file"]), str(each["at"]), [ImageFolder(**one) for one in each["folders"]]
            )
            for each in raw
        ]
    except (TypeError, KeyError, ValueError):
        return None


def documents(images: list[Image]) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [dict(each._asdict(), folders=[one._asdict() for one in each.folders]) for each in images]


def show(images: list[Image]) -> list[str]:
    """Shows the images' folders in the mount namespace that this process has; returns what failed, in words."""
    failed = []
    for image in images:
        try:
            _show(image)
        except OSError as error:
            failed.append(f"{image.file} ({error.strerror or error})")
    return failed


def space(image: Image) -> Space:
    """What units find in the image now. Raises OSError."""
    seen = os.statvfs(image.folders[0].path)
    return Space(seen.f_blocks * seen.f_frsize, seen.f_bavail * seen.f_frsize, seen.f_favail)


def device(file: str) -> str | None:
    """The name of the loop device that has the file; None = there is none."""
    wanted = os.stat(file)
    for name in os.listdir(DEVICES):
        if name.startswith("loop") and os.path.exists(os.path.join(DEVICES, name, "loop", "backing_file")):
            handle = _opened(name, wanted)
            if handle is not None:
                os.close(handle)
                return name
    return None


def _show(image: Image) -> None:
    handle = _attached(image.file)
    try:
        _mount(f"/proc/self/fd/{handle}", image.at)
    finally:
        os.close(handle)
    top = os.open(image.at, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for folder in image.folders:
            _show_folder(top, folder)
    finally:
        os.close(top)
        _library().umount2(os.fsencode(image.at), MNT_DETACH)  # what is shown stays


def _show_folder(top: int, folder: ImageFolder) -> None:
    """By descriptors: the folder above the path may be of somebody who puts a link there."""
    target = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        inside = _made(top, folder)
        try:
            if folder.copies:
                _copy(target, inside)
            if not mounts.bind(f"/proc/self/fd/{inside}", f"/proc/self/fd/{target}"):
                raise OSError(errno.EPERM, "cannot be shown at " + folder.path)
        finally:
            os.close(inside)
    finally:
        os.close(target)


def _made(top: int, folder: ImageFolder) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder.name, 0o700, dir_fd=top)
    inside = os.open(folder.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    os.fchown(inside, folder.uid, folder.gid)
    os.fchmod(inside, folder.mode)
    return inside


def _copy(source: int, target: int) -> None:
    """Copies what is not there yet."""
    for name in os.listdir(source):
        seen = os.stat(name, dir_fd=source, follow_symlinks=False)
        with contextlib.suppress(FileExistsError):
            if stat.S_ISLNK(seen.st_mode):
                os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
                os.chown(name, seen.st_uid, seen.st_gid, dir_fd=target, follow_symlinks=False)
            elif stat.S_ISDIR(seen.st_mode):
                os.mkdir(name, 0o700, dir_fd=target)
                _copy_folder(name, source, target, seen)
            elif stat.S_ISREG(seen.st_mode):
                _copy_file(name, source, target, seen)


def _copy_folder(name: str, source: int, target: int, seen: os.stat_result) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    old, new = os.open(name, flags, dir_fd=source), os.open(name, flags, dir_fd=target)
    try:
        _copy(old, new)
        os.fchown(new, seen.st_uid, seen.st_gid)
        os.fchmod(new, seen.st_mode & 0o7777)
    finally:
        os.close(old)
        os.close(new)


def _copy_file(name: str, source: int, target: int, seen: os.stat_result) -> None:
    old = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
    with open(old, "rb") as read, open(new, "wb") as written:
        written.write(read.read())
        os.fchown(new, seen.st_uid, seen.st_gid)
        os.fchmod(new, seen.st_mode & 0o777)


def _attached(file: str) -> int:
    """A descriptor of the loop device that has the file, which is given one if it has none."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    # Opened twice: the device would keep the lock with the file.
    lock, backing = os.open(file, flags), os.open(file, flags)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two cells must not give it two devices
        for _ in range(TRIES):
            found = device(file)
            handle = _opened(found, os.fstat(backing)) if found is not None else _configured(backing)
            if handle is not None:
                return handle
            time.sleep(PAUSE)
    finally:
        os.close(backing)
        os.close(lock)
    raise OSError(errno.EBUSY, "no loop device can be had")


def _configured(backing: int) -> int | None:
    """A free loop device that now has the file; None = another process was faster."""
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    finally:
        os.close(control)
    handle = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
    information = LOOP_INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, LO_FLAGS_AUTOCLEAR, b"", b"", b"", 0, 0)
    try:
        fcntl.ioctl(handle, LOOP_CONFIGURE, LOOP_CONFIG.pack(backing, 0, information))
    except OSError as error:
        os.close(handle)
        if error.errno == errno.EBUSY:
            return None
        raise
    return handle


def _opened(name: str, wanted: os.stat_result) -> int | None:
    """A descriptor of the device, if it has that file; it keeps the file as long as the descriptor is open."""
    try:
        handle = os.open("/dev/" + name, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = LOOP_INFO.unpack(fcntl.ioctl(handle, LOOP_GET_STATUS64, bytes(LOOP_INFO.size)))
        if found[:2] == (_encoded(wanted.st_dev), wanted.st_ino):
            return handle
    except OSError:  # it has no file any more
        pass
    os.close(handle)
    return None


def _encoded(number: int) -> int:
    """A device number as the kernel tells it."""
    major, minor = os.major(number), os.minor(number)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def _mount(source: str, target: str) -> None:
    library = _library()
    flags = ctypes.c_ulong(mounts.MS_NOSUID | mounts.MS_NODEV)
    if library.mount(os.fsencode(os.readlink(source)), os.fsencode(target), FILE_SYSTEM, flags, OPTIONS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    # Nothing: the image at the first path can be mounted at the second. Otherwise it says why not.
    trial = Image("trial", sys.argv[1], sys.argv[2], [])
    sys.exit("; ".join(show([trial]) if mounts.leave() else ["no mount namespace"]) or 0)
