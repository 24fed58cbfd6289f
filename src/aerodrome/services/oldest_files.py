"""Removes the oldest files of a folder in which hostile code may write: no link is followed, on no step of a path."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BLOCK = 512
"""What `st_blocks` counts in."""

MOST = 200_000
"""Files that are looked at in one walk."""


@dataclass(frozen=True, slots=True)
class File:
    """One file below the folder."""

    path: str
    bytes: int
    """On the disk."""
    changed: float
    """Seconds since 1970, as the kernel says, and nobody else can."""


def thin_out(root: Path, most: int) -> int:
    """Remove the oldest files until the folder has at most so many bytes; returns how many were removed."""
    return remove(root, chosen(files(root), most))


def remove(root: Path, gone: Iterable[File]) -> int:
    """Remove these files, and the folders that are empty then; returns how many were removed."""
    return sum(_removed(root, each.path) for each in gone)


def chosen(found: Iterable[File], most: int) -> list[File]:
    """Which files go, the oldest first, so that the rest have at most so many bytes. Pure."""
    known = sorted(found, key=lambda each: (each.changed, each.path))
    left, gone = sum(each.bytes for each in known), []
    for each in known:
        if left <= most:
            break
        left -= each.bytes
        gone.append(each)
    return gone


def files(root: Path) -> Iterable[File]:
    """The regular files below the folder."""
    count = 0
    with contextlib.suppress(OSError, RecursionError):  # folders without end are nobody's logs
        for folder, _, names, handle in os.fwalk(root, follow_symlinks=False):
            for name in names:
                count += 1
                if count > MOST:
                    return
                with contextlib.suppress(OSError):
                    seen = os.stat(name, dir_fd=handle, follow_symlinks=False)
                    if stat.S_ISREG(seen.st_mode):
                        yield File(str(Path(folder, name).relative_to(root)), seen.st_blocks * BLOCK, seen.st_ctime)


def _removed(root: Path, path: str) -> bool:
    """Remove the file, and the folders above it that are empty then."""
    *above, name = path.split("/")
    handles: list[int] = []
    try:
        handles.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for folder in above:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            handles.append(os.open(folder, flags, dir_fd=handles[-1]))
        os.unlink(name, dir_fd=handles[-1])
        with contextlib.suppress(OSError):  # the first that is not empty
            for folder, parent in zip(reversed(above), reversed(handles[:-1]), strict=True):
                os.rmdir(folder, dir_fd=parent)
    except OSError:
        return False
    finally:
        for handle in handles:
            os.close(handle)
    return True
