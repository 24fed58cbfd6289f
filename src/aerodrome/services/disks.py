"""Whether the disks that Aerodrome writes to are full, in a sentence that says what to do.

`status` and `doctor` show it. Nothing is stopped because of it: everything that failed to write tries again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aerodrome.settings import Paths

MIB = 2**20

FULL = 64 * MIB
"""Bytes; with less PostgreSQL cannot begin another segment of its log (16 MiB) beside what is under way."""


@dataclass(frozen=True, slots=True)
class Disk:
    """One file system. Sizes in bytes; `files` is how many more it can hold, None = without a limit."""

    folder: Path
    """The first of our folders on it."""

    free: int
    files: int | None


def look(paths: Paths) -> list[Disk]:
    """The disks that our folders are on, each once."""
    found: dict[int, Disk] = {}
    for folder in (paths.data, paths.postgres, paths.run, paths.releases, paths.versions, paths.aws):
        existing = next(each for each in (folder, *folder.parents) if each.exists())
        device = existing.stat().st_dev
        if device not in found:
            seen = os.statvfs(existing)
            found[device] = Disk(existing, seen.f_bavail * seen.f_frsize, seen.f_favail if seen.f_files else None)
    return [*found.values()]


def troubles(disks: Iterable[Disk]) -> list[str]:
    """A sentence for each disk that is full. Pure."""
    return [f"The disk of {disk.folder} is full ({what}). {REMEDY}" for disk in disks if (what := _lack(disk))]


REMEDY = "Free some space there: environments stand still meanwhile, and go on by themselves then."


def _lack(disk: Disk) -> str:
    """What is missing; empty when there is enough."""
    if disk.free < FULL:
        return f"{disk.free // MIB} MiB free"
    return "no file can be made on it" if disk.files == 0 else ""
