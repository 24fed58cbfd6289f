"""Which object keys may become files: the bucket's names are input from strangers.

Fed by `listing`, feeds `diff`. Pure: no I/O, no clock. A key that may not become a file is reported with a sentence,
and never stops the others.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAX_FILE_SIZE = 100 * 1024 * 1024
"""Bytes of one object; arbitrary, far above any DAG, below what would stall the round for long."""

MAX_FILES = 50_000
"""Objects of one environment; arbitrary, far above what Airflow parses in reasonable time."""

MOST_BYTES = 2**30
"""Bytes of all objects of one environment, unless `AERODROME_DAGS_BYTES` says otherwise; arbitrary, far above DAGs."""

MAX_SEGMENT = 255
"""Bytes of one file name: NAME_MAX of Linux's file systems and of APFS."""

MAX_PATH = 1024
"""Bytes below the DAGs folder: S3's own limit for a key; PATH_MAX (4096) then leaves room for the folder itself."""

MAX_DEPTH = 64
"""Folders in each other; arbitrary, it bounds every walk of the tree."""

CACHE_FOLDER = "__pycache__"
"""Python writes this one itself: a synchronised copy would never fit the local files' times."""

FIRST_PRINTABLE, DELETE = " ", "\x7f"


@dataclass(frozen=True, slots=True)
class Remote:
    """One object as the listing shows it."""

    key: str
    etag: str
    """With its quotes, as the service sent it."""
    size: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Every object below the prefix, by key. A listing that failed half-way is never made into one of these."""

    objects: Mapping[str, Remote]
    complete: bool = True
    """False when there were more objects than are read; then nothing may be deleted on its word."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the disk should hold."""

    files: Mapping[str, Remote]
    """By path below the DAGs folder."""
    folders: frozenset[str]
    """Every folder that those files need."""
    refused: Mapping[str, str]
    """By key: the sentence that says why."""
    complete: bool


def accept(listing: Listing, *, prefix: str, case_sensitive: bool = True) -> Accepted:
    """Sort the listing's keys into files and refusals. `case_sensitive` is about the file system below the folder."""
    files: dict[str, Remote] = {}
    refused: dict[str, str] = {}
    for key, remote in listing.objects.items():
        if key.endswith("/") and not remote.size:
            continue  # a folder marker, as the S3 console makes them
        path = key.removeprefix(prefix)
        reason = "its key is outside the prefix" if not key.startswith(prefix) else why_refused(path, remote.size)
        if reason:
            refused[key] = reason
        else:
            files[path] = remote
    for path, reason in _collisions(files, case_sensitive=case_sensitive):
        refused[files.pop(path).key] = reason
    for path in sorted(files)[MAX_FILES:]:
        refused[files.pop(path).key] = (
            f"there are more than {MAX_FILES} objects; while that is so, nothing is deleted either"
        )
    folders = frozenset(folder for path in files for folder in parents(path))
    return Accepted(files, folders, refused, listing.complete)


def why_refused(path: str, size: int) -> str | None:
    """The sentence for an object that may not become a file whatever its neighbours are; None when it may."""
    if size > MAX_FILE_SIZE:
        return f"it is larger than {MAX_FILE_SIZE // 1024 // 1024} MiB"
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "its key is not UTF-8"
    if len(encoded) > MAX_PATH:
        return f"its key is longer than {MAX_PATH} bytes"
    return next(_objections(path), None)


def _objections(path: str) -> Iterator[str]:
    segments = path.split("/")
    if "\\" in path:
        yield "its key holds a backslash"
    if any(character < FIRST_PRINTABLE or character == DELETE for character in path):
        yield "its key holds a control character"
    if len(segments) > MAX_DEPTH:
        yield f"it lies more than {MAX_DEPTH} folders deep"
    if not {"", ".", ".."}.isdisjoint(segments):
        yield "its key has an empty, '.' or '..' segment"
    if CACHE_FOLDER in segments:
        yield f"{CACHE_FOLDER} is Python's own and is not synchronised"
    if any(len(segment.encode()) > MAX_SEGMENT for segment in segments):
        yield f"a name in its key is longer than {MAX_SEGMENT} bytes"


def parents(path: str) -> Iterator[str]:
    """The folders above a path, outermost first, without the root."""
    end = path.find("/")
    while end != -1:
        yield path[:end]
        end = path.find("/", end + 1)


def _collisions(files: Mapping[str, Remote], *, case_sensitive: bool) -> Iterator[tuple[str, str]]:
    """Paths that cannot exist beside another accepted one. If a file and a folder have one name, the folder stays."""
    spelled: dict[str, str] = {}
    losers: dict[str, str] = {}
    if not case_sensitive:
        for path in sorted(files):
            for node in (*parents(path), path):
                other = spelled.setdefault(_folded(node), node)
                if other != node:
                    losers[path] = (
                        f"{other!r} differs by case alone, which this machine's file system cannot keep apart"
                    )
    folders = {folder for path in files if path not in losers for folder in parents(path)}
    for path in files:
        if path in folders:
            losers.setdefault(path, "the bucket also has a folder of this name")
    yield from losers.items()


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
