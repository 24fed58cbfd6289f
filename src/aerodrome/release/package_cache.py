"""The packages that one environment's builds have fetched, kept for its next build.

`overlay` asks where they are. uv writes to the cache while it runs no package's code, and only then is the cache in
its view: so no package puts others into the place of the next build's. It belongs to the environment's builder, in a
folder of ours that nobody else may enter.
"""

from __future__ import annotations

import os
from pathlib import Path

from aerodrome import trees
from aerodrome.services import folders
from aerodrome.unix_users import UnixUser

LARGEST = 2 * 2**30
"""Bytes; a larger one is begun anew. Arbitrary: all the packages of a large requirements.txt are a quarter of it."""


def opened(folder: Path, builder: UnixUser) -> Path:
    """The builder's own cache in the folder, made unless it is there. What another builder left is removed."""
    folders.make(folder, folders.PRIVATE)
    own = folder / str(builder.uid)
    trees.remove(*(each for each in folder.iterdir() if each != own or _size(each) > LARGEST))
    if not own.exists():
        own.mkdir(mode=folders.PRIVATE)
        os.chown(own, builder.uid, builder.gid)
    return own


def _size(top: Path) -> int:
    """Bytes of all files, a file with several names once for each."""
    found = (Path(parent, name) for parent, _, names in os.walk(top) for name in names)
    return sum(os.lstat(each).st_size for each in found)
