"""Writes files that only their owner can read, whole or not at all.

A file is written beside its place, under a name that nobody can guess, and then renamed into its place. A reader sees
the old file or the new one, and a link that hostile code put there is replaced, not followed.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from aerodrome.unix_users import UnixUser

MODE = 0o600


def write(
    path: Path, content: str | bytes, *, owner: UnixUser | None = None, mode: int = MODE, durable: bool = False
) -> None:
    """Write or replace the file; owner None = ourselves.

    `durable` waits for the disk, so that the file survives a loss of power: for content that cannot be made again.
    """
    beside = _beside(path, content, owner=owner, mode=mode, durable=durable)
    try:
        beside.replace(path)
    except OSError:
        beside.unlink()
        raise


def create(path: Path, content: str | bytes) -> None:
    """Write a new file of ours durably; never replaces a file.

    Raises:
        FileExistsError: the file exists.
    """
    beside = _beside(path, content, owner=None, mode=MODE, durable=True)
    try:
        os.link(beside, path)
    finally:
        beside.unlink()


def _beside(path: Path, content: str | bytes, *, owner: UnixUser | None, mode: int, durable: bool) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fchmod(descriptor, mode)
            if owner is not None:
                os.fchown(descriptor, owner.uid, owner.gid)
            if durable:
                os.fsync(descriptor)
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)
