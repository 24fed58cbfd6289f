"""Which built releases and installed Airflow versions nobody uses any more. The choice is pure (`removable`).

The controller calls it now and then with what the ledger says is in use: the release and the version of every
environment, those that a change is to bring, and the versions of snapshots.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from aerodrome.release import building, built_releases, installation, locks

KEEP = timedelta(days=7)
"""How long an unused release is kept: while it is there, going back to it takes seconds."""


KEEP_OFFERED = timedelta(days=90)
"""The same for an installed version that a new environment would get: a machine may have no network to get it again."""


@dataclass(frozen=True)
class Present:
    """A folder of a release, or of an installed version."""

    identifier: str
    used: datetime
    """When it was last in use or looked for; for a build that was broken off, when the build began."""


def removable(present: Iterable[Present], used: Collection[str], *, now: datetime, keep: timedelta = KEEP) -> list[str]:
    """Which may be removed, the longest unused first. Pure."""
    idle = [found for found in present if found.identifier not in used and now - found.used > keep]
    return [found.identifier for found in sorted(idle, key=lambda found: (found.used, found.identifier))]


def collect(releases: Path, used: Collection[str], *, now: datetime, keep: timedelta = KEEP) -> list[str]:
    """Remove what may be removed and is not being built; returns the identifiers that went.

    What is in use is marked so: when it no longer is, tasks of a replaced worker may still need it for a while. A build
    that was broken off is removed at once: its startup script had the role's credentials, and a copy of their token.
    """
    for identifier in used:
        built_releases.find(identifier, releases)
    gone = []
    present = _present(releases, now)
    whole = {path.parent.name for path in releases.glob(f"*/{built_releases.MANIFEST}")}
    broken = [found.identifier for found in present if found.identifier not in {*whole, *used}]
    for identifier in dict.fromkeys([*broken, *removable(present, used, now=now, keep=keep)]):
        with built_releases.held_at_once(identifier, releases) as ours:
            if ours and (identifier not in broken or built_releases.find(identifier, releases) is None):
                building.remove_scratch(built_releases.folder(identifier, releases))
                built_releases.remove(identifier, releases)
                gone.append(identifier)
    return gone


def idle_versions(versions: Path, used: Collection[str], *, now: datetime) -> list[str]:
    """The names of the installed versions that may be removed. What is in use is marked so, as `collect` does."""
    present = []
    for marker in sorted(versions.glob(f"*/{installation.MARKER}")):
        identifier = marker.parent.name
        if identifier in used:
            with contextlib.suppress(OSError):
                os.utime(marker)
        present.append(Present(identifier, datetime.fromtimestamp(marker.stat().st_mtime, tz=now.tzinfo)))
    offered = {lock.identifier for lock in locks.LOCKS.values()}
    return idle(present, used, offered, now=now)


def idle(present: Iterable[Present], used: Collection[str], offered: Collection[str], *, now: datetime) -> list[str]:
    """Which installed versions may be removed; those on offer are kept much longer than others. Pure."""
    known = [*present]
    new = [found for found in known if found.identifier in offered]
    old = [found for found in known if found.identifier not in offered]
    return [*removable(old, used, now=now), *removable(new, used, now=now, keep=KEEP_OFFERED)]


def _present(releases: Path, now: datetime) -> list[Present]:
    if not releases.is_dir():
        return []
    folders = [entry for entry in releases.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return [Present(entry.name, _used(entry, now)) for entry in folders]


def _used(folder: Path, now: datetime) -> datetime:
    manifest = folder / built_releases.MANIFEST
    at = (manifest if manifest.exists() else folder).stat().st_mtime
    return datetime.fromtimestamp(at, tz=now.tzinfo)
