"""Finds and opens log files below a folder in which hostile code may write.

No link is followed, on no step of a path; what is not a regular file with one name is passed over.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

MOST = 200_000
"""Files of one folder that are looked at."""

DEEPEST = 12


@dataclass(frozen=True, slots=True)
class Found:
    """One file."""

    path: str
    """Below the folder."""
    inode: int
    size: int
    changed: float
    """When it was last written to, in seconds since 1970."""


def find(root: str, *, suffix: str = ".log") -> Iterator[Found]:
    """All files with that suffix; none where there is no such folder."""
    count = 0
    with contextlib.suppress(OSError):
        for folder, names, files, handle in os.fwalk(root, follow_symlinks=False):
            below = os.path.relpath(folder, root)
            prefix = "" if below == "." else f"{below}/"
            if prefix.count("/") >= DEEPEST:
                names.clear()
            for name in files:
                if not name.endswith(suffix):
                    continue
                with contextlib.suppress(OSError):
                    seen = os.stat(name, dir_fd=handle, follow_symlinks=False)
                    if stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1:
                        count += 1
                        yield Found(prefix + name, seen.st_ino, seen.st_size, seen.st_mtime)
                if count >= MOST:
                    return


def opened(root: str, path: str) -> int:
    """A descriptor of a regular file with one name, for reading.

    Raises:
        OSError: there is none.
    """
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *folders, name = path.split("/")
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = inner
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
    finally:
        os.close(handle)
    seen = os.fstat(file)
    if not stat.S_ISREG(seen.st_mode) or seen.st_nlink != 1:
        os.close(file)
        raise PermissionError(f"{path} is no regular file with one name")
    return file
