"""Remove built releases that nobody runs any more. The choice is pure (`removable`); removing is apart from it.

The controller has it called now and then with what the ledger says is in use: the release of every environment, and
the one that a change is to bring.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from aerodrome.release import content

KEEP = timedelta(days=7)
"""How long an unused release is kept: going back to it is a question of seconds as long as it is there."""


@dataclass(frozen=True)
class Present:
    """A folder of a release."""

    identifier: str
    used: datetime
    """When it was last in use or looked for; of a broken-off build, when that began."""


def removable(present: Iterable[Present], used: Collection[str], *, now: datetime, keep: timedelta = KEEP) -> list[str]:
    """Which may go, the longest unused first. Pure."""
    idle = [found for found in present if found.identifier not in used and now - found.used > keep]
    return [found.identifier for found in sorted(idle, key=lambda found: (found.used, found.identifier))]


def collect(releases: Path, used: Collection[str], *, now: datetime, keep: timedelta = KEEP) -> list[str]:
    """Remove what may go, but what is being built; the identifiers that went.

    What is in use is marked so: when it no longer is, tasks of a replaced worker may still need it for a while.
    """
    for identifier in used:
        content.find(identifier, releases)
    gone = []
    for identifier in removable(_present(releases, now), used, now=now, keep=keep):
        with content.held_at_once(identifier, releases) as ours:
            if ours:
                content.remove(identifier, releases)
                gone.append(identifier)
    return gone


def _present(releases: Path, now: datetime) -> list[Present]:
    if not releases.is_dir():
        return []
    folders = [entry for entry in releases.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return [Present(entry.name, _used(entry, now)) for entry in folders]


def _used(folder: Path, now: datetime) -> datetime:
    manifest = folder / content.MANIFEST
    at = (manifest if manifest.exists() else folder).stat().st_mtime
    return datetime.fromtimestamp(at, tz=now.tzinfo)
