"""Folders that belong to the user whom an environment's code runs as; to us, if its code runs as ourselves."""

from __future__ import annotations

import os
from pathlib import Path

from aerodrome.services import folders
from aerodrome.unix_users import UnixUser

READABLE = 0o644
"""Mode of a file that we write and units read."""


GROUP_PASSES = 0o710
"""Mode of a folder of the owner's that its group passes through."""

GROUP_WRITES = 0o770
"""Mode of a folder of the owner's that its group writes to, too."""

GROUP_READABLE = 0o640
"""Mode of a file that its group reads, too."""


def make_folder(path: Path, owner: UnixUser | None, mode: int = folders.PRIVATE) -> None:
    """Make a folder of the owner's. It works by descriptor, because a unit might replace the name by a link."""
    path.mkdir(mode=folders.PRIVATE, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, mode)
        _give(descriptor, owner)
    finally:
        os.close(descriptor)


def _give(descriptor: int, owner: UnixUser | None) -> None:
    if owner is not None:
        os.fchown(descriptor, owner.uid, owner.gid)
