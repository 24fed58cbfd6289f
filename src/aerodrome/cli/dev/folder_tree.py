"""What a folder holds now: names and hashes of the files below it. It reads, and decides nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aerodrome.cli import ignored_files

_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file."""

    path: Path
    digest: str
    """MD5 in hexadecimal: S3's ETag of an object that was uploaded in one piece."""
    size: int
    """Bytes."""
    program: bool
    """Whether its owner may execute it."""


class TreeReader:
    """Reads trees again and again, but does not read twice a file that looks unchanged."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], FileEntry]] = {}

    def tree(self, folder: Path) -> dict[str, FileEntry]:
        """Every wanted file below the folder, by its path there; files that vanish or cannot be read are left out."""
        found: dict[str, FileEntry] = {}
        for path in _walk(folder):
            name = path.relative_to(folder).as_posix()
            entry = None if ignored_files.is_unwanted(name) else self.file(path)
            if entry is not None:
                found[name] = entry
        return found

    def file(self, path: Path) -> FileEntry | None:
        """One file, through links; None when there is none that can be read."""
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                return None
            look = (about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino, about.st_mode)
            known = self._known.get(path)
            if known is not None and known[0] == look:
                return known[1]
            entry = FileEntry(path, _digest(path), about.st_size, bool(about.st_mode & stat.S_IXUSR))
        except OSError:
            return None
        self._known[path] = (look, entry)
        return entry


def digest(data: bytes) -> str:
    """The digest of bytes, as of a file that holds them."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _walk(folder: Path) -> Iterator[Path]:
    """All files, through links, but no folder inside itself."""
    entered = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, followlinks=True):
        kept = []
        for name in sorted(folders):
            inside = Path(parent) / name
            real = os.path.realpath(inside)
            if ignored_files.is_unwanted_folder(inside) or _contains(real, entered):
                continue
            entered.add(real)
            kept.append(name)
        folders[:] = kept
        yield from (Path(parent) / name for name in sorted(files))


def _contains(real: str, entered: set[str]) -> bool:
    """Whether the walk is in this folder already."""
    return any(each == real or each.startswith(real + os.sep) for each in entered)


def _digest(path: Path) -> str:
    total = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()
