"""Folders that only their owner may change, and a lock that ends with its holder.

Every service makes its folders through this module; it decides no paths.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aerodrome import errors, file_locks

PRIVATE = 0o700
"""Mode of a folder that nobody else enters."""

TRAVERSABLE = 0o711
"""Mode of a folder that others may pass through but not list: as root, services run under users of their own."""


def house_mode() -> int:
    """The mode of a shared folder: private, unless we are root and others must pass through."""
    return TRAVERSABLE if os.geteuid() == 0 else PRIVATE


def make(path: Path, mode: int | None = None) -> Path:
    """Make the folder with its parents, each of `mode` (None: `house_mode()`), and return it.

    Raises:
        BrokenError: another user owns it, so what lies below could be forged (a run folder may be below /tmp); or all
            users share it, and a change of its mode would lock them out.
    """
    wanted = house_mode() if mode is None else mode
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=wanted, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise errors.BrokenError(
            f"cannot use {path}: it is not a folder of the user with id {os.geteuid()}; remove it or set AERODROME_DATA"
        )
    if found.st_mode & stat.S_ISVTX:
        raise errors.BrokenError(f"cannot use {path}: all users share it; set AERODROME_DATA to a folder of its own")
    path.chmod(wanted)
    return path


@contextmanager
def locked(path: Path, *, timeout: float = 60.0) -> Iterator[None]:
    """Hold the file's lock, which the kernel releases when its holder dies; wait at most `timeout` seconds.

    Raises:
        RetryError: another process held it all that time.
    """
    deadline = time.monotonic() + timeout

    def waiting() -> None:
        if time.monotonic() > deadline:
            raise errors.RetryError(f"another process has held {path} for {timeout:.0f} s")

    with file_locks.held(path, waiting):
        yield
