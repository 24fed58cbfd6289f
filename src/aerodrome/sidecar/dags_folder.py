"""The DAGs folder on disk, read and changed without ever following a symbolic link.

`sync` alone calls it. Every step walks from an open folder to the next by descriptor, because code that runs under the
same user may put a link where a folder was a moment ago. It decides nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from aerodrome.errors import BrokenError
from aerodrome.sidecar.diff import DiskEntry, DiskTree
from aerodrome.sidecar.object_keys import CACHE_FOLDER, MAX_DEPTH

FILE_MODE = 0o644
"""Airflow's units may run as another user; they read, and only we write."""

FOLDER_MODE = 0o755

PRIVATE_FOLDER_MODE = 0o700

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

NANOSECONDS = 1_000_000_000

CLOCK_TIE = 5
"""Seconds: an older file's time may lead ours by the few bumps below, not by more."""


class DagsFolder:
    """One DAGs folder and the hidden staging folder beside it, on the same file system."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging = root.parent / f".{root.name}.staging"

    def prepare(self) -> None:
        """Make both folders; what a killed predecessor left in staging is removed.

        Raises:
            BrokenError: they cannot be made.
        """
        for folder in (self.root, self.staging):
            if folder.is_symlink():
                raise BrokenError(f"{folder} is a symbolic link; it must be a folder", code="SIDECAR_DISK")
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True)
                self.root.chmod(FOLDER_MODE)  # whatever the umask took away
            shutil.rmtree(self.staging, ignore_errors=True)
            self.staging.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
        except OSError as error:
            raise self._broken(error) from error

    def is_case_sensitive(self) -> bool:
        """Whether the file system keeps `a` and `A` apart; it tries."""
        probe = self.staging / f"case-{uuid.uuid4().hex}"
        probe.touch()
        try:
            return not probe.with_name(probe.name.upper()).exists()
        finally:
            probe.unlink()

    def free(self) -> tuple[int, int]:
        """Bytes that we may still write to the disk, and bytes that it has. Raises OSError."""
        disk = os.statvfs(self.staging)
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    def observe(self) -> DiskTree:
        """Look at everything below the root.

        Raises:
            BrokenError: the root cannot be read.
        """
        files: dict[str, DiskEntry] = {}
        folders: set[str] = set()
        try:
            with self._opened("") as root:
                _walk(root, "", files, folders, MAX_DEPTH)
        except OSError as error:
            raise self._broken(error) from error
        return DiskTree(files, frozenset(folders))

    @contextlib.contextmanager
    def staged(self) -> Iterator[tuple[int, str]]:
        """Open a new staging file for writing; yields its descriptor and its name. Removed when the block raises."""
        name = uuid.uuid4().hex
        path = self.staging / name
        descriptor = os.open(path, NEW_FILE, 0o600)
        try:
            yield descriptor, name
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def place(self, name: str, path: str, *, after_ns: int | None) -> int:
        """Move a staged file to its path in one step, making folders; returns its modification time in nanoseconds.

        `after_ns` is the time of the file it replaces (None: none): the new one is in a later whole second, because
        that is the grain by which Python tells that a cached bytecode file is stale.
        """
        staged = self.staging / name
        staged.chmod(FILE_MODE)
        mtime_ns = staged.stat().st_mtime_ns
        if after_ns is not None and 0 <= after_ns // NANOSECONDS - mtime_ns // NANOSECONDS <= CLOCK_TIE:
            mtime_ns = (after_ns // NANOSECONDS + 1) * NANOSECONDS
            os.utime(staged, ns=(mtime_ns, mtime_ns))
        folder, _, leaf = path.rpartition("/")
        with self._opened(folder, make=True) as parent:
            os.replace(staged, leaf, dst_dir_fd=parent)
        return mtime_ns

    def discard(self, name: str) -> None:
        """Remove a staged file, if it is still there."""
        (self.staging / name).unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """Remove a file or a link, if it is still there."""
        folder, _, leaf = path.rpartition("/")
        with contextlib.suppress(FileNotFoundError), self._opened(folder) as parent:
            os.unlink(leaf, dir_fd=parent)

    def prune(self, path: str) -> None:
        """Remove a folder with everything below it, if it is still there."""
        folder, _, leaf = path.rpartition("/")
        with contextlib.suppress(FileNotFoundError), self._opened(folder) as parent:
            shutil.rmtree(leaf, dir_fd=parent)

    @contextlib.contextmanager
    def _opened(self, folder: str, *, make: bool = False) -> Iterator[int]:
        descriptor = os.open(self.root, FOLDER)
        try:
            for name in filter(None, folder.split("/")):
                below = _enter(descriptor, name, make=make)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _broken(self, error: OSError) -> BrokenError:
        return BrokenError(f"cannot use the DAGs folder {self.root}: {error.strerror}", code="SIDECAR_DISK")


def _enter(parent: int, name: str, *, make: bool) -> int:
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode=FOLDER_MODE, dir_fd=parent)
            below = os.open(name, FOLDER, dir_fd=parent)
            os.fchmod(below, FOLDER_MODE)  # whatever the umask took away
            return below
    return os.open(name, FOLDER, dir_fd=parent)


def _walk(descriptor: int, prefix: str, files: dict[str, DiskEntry], folders: set[str], depth: int) -> None:
    with os.scandir(descriptor) as entries:
        for entry in entries:
            path = prefix + entry.name
            if not entry.is_dir(follow_symlinks=False):
                # It has gone since the folder was read: then it is simply not there.
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    files[path] = DiskEntry(status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode))
            elif entry.name != CACHE_FOLDER:
                folders.add(path)
                if depth:
                    _descend(descriptor, entry.name, f"{path}/", files, folders, depth - 1)


def _descend(parent: int, name: str, prefix: str, files: dict[str, DiskEntry], folders: set[str], depth: int) -> None:
    try:
        descriptor = os.open(name, FOLDER, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        _walk(descriptor, prefix, files, folders, depth)
    finally:
        os.close(descriptor)
