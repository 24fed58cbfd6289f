"""Files that only their owner reads, written whole or not at all.

A file is written beside its place under a name that nobody can know beforehand, and takes its place in one step:
whoever reads meanwhile sees the old or the new one, and a link that a stranger put there is replaced, not followed.
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
    """Write or replace the file; None as its owner = ourselves.

    `durable` waits for the disk, so that the file survives a loss of power: for what cannot be made again.
    """
    beside = _beside(path, content, owner=owner, mode=mode, durable=durable)
    try:
        beside.replace(path)
    except OSError:
        beside.unlink()
        raise


def create(path: Path, content: str | bytes) -> None:
    """Write a new file of ours durably, and never replace one.

    Raises:
        FileExistsError: there is one.
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
