"""Reads a log file on from where it was shipped to, also when it was rotated in between.

The cell rotates by copying a file to `.1` and truncating it; Python's handlers rename it to `.1`. Either way `.1`
becomes `.2` by a rename. So a copy is known again by its inode and the time of its last change, whatever its lines say,
and a place goes through the copies that are new, the oldest first, and then back into the log itself.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from aerodrome.sidecar.logs import folders
from aerodrome.sidecar.logs.positions import FilePosition

PIECE = 1024 * 1024
"""Bytes that are read at a time."""

MOST_COPIES = 9
"""That are looked for; the cell keeps three, Airflow five of its DAG processor's."""

KEPT = 3
"""Copies that the cell keeps: of so many new ones nobody can tell whether there was another."""

NOT_KEPT = b" bytes of this log were not kept"
LONGEST_NOTE = 80
"""What the cell writes before a copy that lacks the beginning of its log."""

MOST_COMPARED = 24 * 1024 * 1024
"""Bytes of a copy in which a place is looked for; the cell's have less."""


@dataclass(frozen=True, slots=True)
class RotatedCopy:
    """One copy that a rotation has left."""

    path: str
    inode: int
    changed: int
    """When it was last written to, in nanoseconds since 1970."""
    size: int

    @property
    def identity(self) -> str:
        """The same after further rotations, and another one's when the inode is used again."""
        return f"{self.inode}:{self.changed}"


@dataclass(frozen=True, slots=True)
class ReadingStep:
    """What to read now."""

    path: str | None
    """A copy's; None: the log itself."""
    place: FilePosition
    """Where to go on, which may be another place than before."""
    is_lost: bool = False
    """Whether lines between are in no copy any more."""


@contextmanager
def reading(root: str, path: str) -> Iterator[int]:
    """The file, opened. Raises OSError."""
    handle = folders.opened(root, path)
    try:
        yield handle
    finally:
        os.close(handle)


def copies(root: str, path: str) -> list[RotatedCopy]:
    """The copies of a log, the youngest first."""
    found: list[RotatedCopy] = []
    for number in range(1, MOST_COPIES + 1):
        try:
            with reading(root, f"{path}.{number}") as handle:
                seen = os.fstat(handle)
        except OSError:
            break
        if stat.S_ISREG(seen.st_mode):
            found.append(RotatedCopy(f"{path}.{number}", seen.st_ino, seen.st_mtime_ns, seen.st_size))
    return found


def step(
    root: str, log: int, place: FilePosition, found: Sequence[RotatedCopy], before: str | None
) -> ReadingStep | None:
    """Where a place goes on, in the log (an open file) or in one of its copies; None: it cannot be told yet.

    `before` is what the youngest copy was when it was looked at last: one that is new may still be written to.
    """
    if place.is_in_copy:
        return _within(root, log, place, found)
    inode = os.fstat(log).st_ino
    if place.inode != inode:
        return _renamed(root, inode, place, found)
    new = _new(place, found)
    if place.copy is None:  # a version that did not know copies has left it
        new = [] if _has(log, place) else new[:1]
    if not new:
        is_there, there = _has(log, place), replace(place, copy=_youngest(found))
        return ReadingStep(None, there if is_there else _at(there, inode, 0), is_lost=not is_there)
    if len(new) == 1 and new[0].identity != before:
        return None
    if len(new) == 1 and _has(log, place) and os.fstat(log).st_size >= new[0].size and _holds(root, log, new[0]):
        return ReadingStep(
            None, replace(place, copy=new[0].identity)
        )  # it was copied, and not truncated: the cell was killed
    is_whole = len(new) < (len(found) if place.copy else KEPT)
    return _into(root, place, new[-1], is_whole=is_whole or place.copy is None)


def next_of(
    root: str, log: int, place: FilePosition, found: Sequence[RotatedCopy], before: str | None
) -> FilePosition | None:
    """The place after the copy that it has gone through; None: not yet. See `step` for `before`."""
    number = next((number for number, each in enumerate(found) if each.inode == place.inode), 0)
    if number:
        return replace(_at(place, found[number - 1].inode, 0), is_in_copy=True)
    if _youngest(found) != before:
        return None
    seen = os.fstat(log)
    after = replace(_at(place, seen.st_ino, 0), is_in_copy=False, copy=before)
    if seen.st_ino != place.inode and seen.st_size >= place.offset and _holds(root, log, found[0]):
        after.moved(place.offset, place.before)  # the cell was killed before it truncated the log
    return after


def first(place: FilePosition, log: int, found: Sequence[RotatedCopy], *, settled: float) -> tuple[FilePosition, bool]:
    """The place of a log that is looked at for the first time, and whether older lines may be lost already.

    It begins in the oldest copy that is younger than `settled`.
    """
    new = [each for each in found if each.changed > settled * 1e9]
    if new:
        return replace(_at(place, new[-1].inode, 0), is_in_copy=True), len(found) == len(new) >= KEPT
    return replace(place, inode=os.fstat(log).st_ino, copy=_youngest(found)), False


def _within(root: str, log: int, place: FilePosition, found: Sequence[RotatedCopy]) -> ReadingStep:
    for each in found:
        if each.inode == place.inode and _copy_has(root, each, place):
            return ReadingStep(each.path, place)
    if found:
        return ReadingStep(found[-1].path, _at(place, found[-1].inode, 0), is_lost=True)
    lost = replace(_at(place, os.fstat(log).st_ino, 0), is_in_copy=False, copy="")
    return ReadingStep(None, lost, is_lost=True)


def _renamed(root: str, inode: int, place: FilePosition, found: Sequence[RotatedCopy]) -> ReadingStep:
    """The log is another file: the one that the place is in has another name now, or none."""
    for each in found:
        if each.inode == place.inode and _copy_has(root, each, place):
            return ReadingStep(each.path, replace(place, is_in_copy=True))
    new = _new(place, found)
    if new:
        return _into(root, place, new[-1], is_whole=False)
    return ReadingStep(None, replace(_at(place, inode, 0), copy=_youngest(found)))


def _into(root: str, place: FilePosition, copy: RotatedCopy, *, is_whole: bool) -> ReadingStep:
    """Into the oldest copy that is new; `is_whole`: it is what the place was in."""
    offset = _place_in(root, copy, place) if is_whole else None
    if offset is None:
        return ReadingStep(copy.path, replace(_at(place, copy.inode, 0), is_in_copy=True), is_lost=True)
    return ReadingStep(copy.path, replace(place, inode=copy.inode, offset=offset, is_in_copy=True))


def _at(place: FilePosition, inode: int, offset: int) -> FilePosition:
    return replace(place, inode=inode, offset=offset, mark="")


def _youngest(found: Sequence[RotatedCopy]) -> str:
    return found[0].identity if found else ""


def _new(place: FilePosition, found: Sequence[RotatedCopy]) -> list[RotatedCopy]:
    """The copies that are younger than the one that was shipped last, the youngest first."""
    known = next((number for number, each in enumerate(found) if each.identity == place.copy), len(found))
    return list(found[:known])


def _has(handle: int, place: FilePosition) -> bool:
    """Whether a file has what stood before the place."""
    before = place.before
    is_long = os.fstat(handle).st_size >= place.offset
    return is_long and os.pread(handle, len(before), place.offset - len(before)) == before


def _copy_has(root: str, copy: RotatedCopy, place: FilePosition) -> bool:
    try:
        with reading(root, copy.path) as handle:
            return _has(handle, place)
    except OSError:
        return False


def _place_in(root: str, copy: RotatedCopy, place: FilePosition) -> int | None:
    """The offset of a place in the copy of what it was in; None: the copy has not kept it.

    A whole copy has it where it was. One that lacks the beginning has it earlier: the last one that fits.
    """
    try:
        with reading(root, copy.path) as handle:
            if _has(handle, place):
                return place.offset
            kept = _whole(handle, 0, min(place.offset, copy.size, MOST_COMPARED))
    except OSError:
        return None
    before = place.before
    found = kept.rfind(before) if before else -1
    if found >= 0:
        return found + len(before)
    first_line = kept.find(b"\n") + 1 if NOT_KEPT in kept[:LONGEST_NOTE] else 0
    overlap = (length for length in range(len(before), 0, -1) if kept.startswith(before[-length:], first_line))
    return next((first_line + length for length in overlap), None)


def _holds(root: str, log: int, copy: RotatedCopy) -> bool:
    """Whether a log begins with everything that a copy has: then it was copied, and is not truncated yet."""
    try:
        with reading(root, copy.path) as handle:
            return all(
                os.pread(handle, PIECE, start) == os.pread(log, min(PIECE, copy.size - start), start)
                for start in range(0, copy.size, PIECE)
            )
    except OSError:
        return False


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
