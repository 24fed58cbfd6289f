"""Reads a log file on from where it was shipped to, also when it was rotated in between.

The cell rotates by copying a file to `.1` and truncating it. So a file that is shorter than our place, or has something
else before it, was rotated: the rest of the old lines is in the copy, behind what we remember of them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aerodrome.sidecar.logs import folders
from aerodrome.sidecar.logs.positions import FilePosition

PIECE = 1024 * 1024
"""Bytes that are read at a time."""

MOST_ROTATED = 24 * 1024 * 1024
"""Bytes of a rotated copy that are read; the cell's are half of it."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation has left."""

    rest: bytes
    """What was not shipped yet."""
    is_whole: bool
    """False: lines between are in no copy any more."""


@contextmanager
def reading(root: str, path: str) -> Iterator[int]:
    """The file, opened. Raises OSError."""
    handle = folders.opened(root, path)
    try:
        yield handle
    finally:
        os.close(handle)


def is_rotated(handle: int, place: FilePosition) -> bool:
    """Whether the file is no longer the one that the place was in."""
    if os.fstat(handle).st_size < place.offset:
        return True
    before = place.before
    return os.pread(handle, len(before), place.offset - len(before)) != before


def rotated(root: str, path: str, place: FilePosition) -> Rotated:
    """What the youngest copy has behind the place."""
    try:
        with reading(root, f"{path}.1") as handle:
            size = os.fstat(handle).st_size
            copy = _whole(handle, max(0, size - MOST_ROTATED), size)
    except OSError:
        return Rotated(b"", is_whole=place.offset == 0)
    if place.offset == 0:
        return Rotated(b"", is_whole=True)  # the file itself was new, and it is read from its beginning
    found = copy.rfind(place.before)
    if found < 0:
        return Rotated(copy, is_whole=False)
    return Rotated(copy[found + len(place.before) :], is_whole=True)


def piece(handle: int, offset: int) -> tuple[int, bytes, bool]:
    """Where data begins from there on, its bytes (one piece at most), and whether a hole follows them.

    A file may have holes of any size at no cost for who makes them; they hold nothing, and are passed over.
    """
    size = os.fstat(handle).st_size
    try:
        start = os.lseek(handle, offset, os.SEEK_DATA)
        end = os.lseek(handle, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # there is no data any more
            return max(offset, size), b"", False
        start, end = offset, size  # a filesystem that knows no holes
    return start, os.pread(handle, min(PIECE, max(end - start, 0)), start), end < size


def _whole(handle: int, start: int, end: int) -> bytes:
    found = bytearray()
    while start + len(found) < end:
        read = os.pread(handle, end - start - len(found), start + len(found))
        if not read:
            break
        found += read
    return bytes(found)
