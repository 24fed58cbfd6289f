"""Finds and opens log files below a folder in which hostile code may write.

No link is followed, on no step of a path; what is not a regular file with one name is passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST = 200_000
"""Files and folders below one folder that are looked at."""

DEEPEST = 12


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file."""

    path: str
    """Below the folder."""
    inode: int
    size: int
    changed: float
    """When it was last written to, in seconds since 1970."""


@dataclass(slots=True)
class Search:
    """One walk through a folder."""

    root: str
    suffix: str = ".log"
    most: int = field(default_factory=lambda: MOST)
    is_whole: bool = False
    """After the walk: whether it has seen everything, so that what it has not seen is not there."""

    def find(self) -> Iterator[LogFile]:
        """All files with the suffix; none where there is no such folder."""
        self.is_whole = True
        count = 0
        try:
            for folder, names, files, handle in os.fwalk(self.root, follow_symlinks=False, onerror=self._missed):
                below = os.path.relpath(folder, self.root)
                prefix = "" if below == "." else f"{below}/"
                if prefix.count("/") >= DEEPEST:
                    names.clear()
                count += len(names)
                for name in files:
                    count += 1
                    if count > self.most:
                        break
                    if not name.endswith(self.suffix):
                        continue
                    try:
                        seen = os.stat(name, dir_fd=handle, follow_symlinks=False)
                    except OSError as error:
                        self._missed(error)
                        continue
                    if stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1:
                        yield LogFile(prefix + name, seen.st_ino, seen.st_size, seen.st_mtime)
                if count > self.most:
                    self.is_whole = False
                    return
        except OSError:
            self.is_whole = False

    def _missed(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.is_whole = False


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
