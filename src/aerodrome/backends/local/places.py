"""The folders and files of one environment, and whose they are.

As root, units run under a uid of the environment's own: what they may write to belongs to that uid, what steers them
belongs to us. Otherwise everything belongs to whoever runs the control plane.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from aerodrome.services import folders
from aerodrome.settings import EnvironmentPaths

OURS_TO_READ = 0o755
"""Mode of a folder that we write and units read; the folders above it keep everyone else out."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who units run as; None = as ourselves."""

    uid: int | None
    gid: int | None


def owner_of(number: int, *, first_uid: int) -> Owner:
    """The owner for the environment of that number: a uid of its own when we are root."""
    if os.geteuid() != 0:
        return Owner(None, None)
    return Owner(first_uid + number, first_uid + number)


def prepare(paths: EnvironmentPaths, owner: Owner) -> None:
    """Make every folder; doing it again mends modes and owners."""
    folders.make(paths.home.parent)
    folders.make(paths.home)
    folders.make(paths.run)
    for ours in (paths.dags, paths.plugins):
        folders.make(ours, OURS_TO_READ)
    for theirs in (paths.logs, paths.airflow, paths.spool, paths.unit_sockets):
        _make_for(theirs, owner)
    folders.make(paths.unit_logs, folders.PRIVATE)


def are_prepared(paths: EnvironmentPaths) -> bool:
    """Whether `prepare` has run since the last reboot (run folders below /tmp vanish with one)."""
    return all(folder.is_dir() for folder in (paths.dags, paths.unit_logs, paths.unit_sockets))


def are_gone(paths: EnvironmentPaths) -> bool:
    return not paths.home.exists() and not paths.run.exists()


def write(path: Path, text: str, owner: Owner, *, mode: int = folders.SECRET) -> None:
    """Write a file that only its owner reads; whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(descriptor, mode)
        _give(descriptor, owner)
    aside.replace(path)


def remove(paths: EnvironmentPaths) -> None:
    """Remove every trace on disk."""
    shutil.rmtree(paths.run, ignore_errors=True)
    shutil.rmtree(paths.home, ignore_errors=False)


def _make_for(path: Path, owner: Owner) -> None:
    """A private folder of the owner's. Made and given by descriptor, for a unit might swap the name for a link."""
    path.mkdir(mode=folders.PRIVATE, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, folders.PRIVATE)
        _give(descriptor, owner)
    finally:
        os.close(descriptor)


def _give(descriptor: int, owner: Owner) -> None:
    if owner.uid is not None and owner.gid is not None:
        os.fchown(descriptor, owner.uid, owner.gid)
