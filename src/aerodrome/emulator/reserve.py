"""What objects leave free of the disk: PostgreSQL may be on the same one, and fails if it cannot write its log."""

from __future__ import annotations

import errno
import os
import tempfile

BYTES = 64 * 2**20
"""Deletions and MiniStack's state write a little, too."""

FILES = 64
"""Files that can still be made then; a put makes up to four, and folders."""


def has_room(length: int) -> bool:
    """Whether so many bytes may be written."""
    seen = os.statvfs(tempfile.gettempdir())
    has_files = not seen.f_files or seen.f_favail >= FILES
    return has_files and seen.f_bavail * seen.f_frsize >= BYTES + length


def check(length: int) -> None:
    """Raise the OSError of a full disk, unless so many bytes may be written."""
    if not has_room(length):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
