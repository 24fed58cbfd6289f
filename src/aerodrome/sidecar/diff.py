"""What must happen for the disk to equal the bucket: the decision of each round.

Fed by `object_keys` (what should be), `dags_folder` (what is) and `manifest` (what we wrote); `sync` carries the plan
out. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from aerodrome.sidecar.object_keys import MAX_FILES, Accepted, Remote


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file as we wrote it."""

    etag: str
    size: int
    mtime_ns: int
    version: str | None = None
    """The S3 version id that was fetched; None if the bucket gives none."""


@dataclass(frozen=True, slots=True)
class DiskEntry:
    """One name on disk as it is now."""

    size: int
    mtime_ns: int
    regular: bool = True
    """False for a symbolic link, a socket, a device: never ours."""


@dataclass(frozen=True, slots=True)
class DiskTree:
    """The whole tree as it is now, without Python's cache folders."""

    files: Mapping[str, DiskEntry]
    folders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """Steps, to be taken in this order: delete, prune, fetch. `keep` is the manifest of what needs no step."""

    fetch: Mapping[str, Remote]
    delete: tuple[str, ...]
    prune: tuple[str, ...]
    """Folders to remove with all that is below them; none lies inside another."""
    keep: Mapping[str, ManifestEntry]

    @property
    def empty(self) -> bool:
        """Whether nothing need be done."""
        return not (self.fetch or self.delete or self.prune)


def plan(accepted: Accepted, disk: DiskTree, manifest: Mapping[str, ManifestEntry]) -> SyncPlan:
    """Compare the three. If the listing is incomplete, nothing is deleted and nothing is forgotten."""
    keep = {
        path: held
        for path, held in manifest.items()
        if (path not in accepted.files and not accepted.complete)
        or (path in accepted.files and _intact(accepted.files[path], held, disk.files.get(path)))
    }
    missing = (path for path in sorted(accepted.files) if path not in keep)
    fetch = {path: accepted.files[path] for path in islice(missing, max(0, MAX_FILES - len(keep)))}
    if not accepted.complete:
        return SyncPlan(fetch, (), (), keep)
    delete = tuple(sorted(path for path in disk.files if path not in accepted.files))
    return SyncPlan(fetch, delete, _outermost(disk.folders - accepted.folders), keep)


def _intact(remote: Remote, held: ManifestEntry, seen: DiskEntry | None) -> bool:
    return (
        seen is not None
        and seen.regular
        and held.etag == remote.etag
        and held.size == remote.size == seen.size
        and held.mtime_ns == seen.mtime_ns
    )


def _outermost(folders: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(folder for folder in folders if folder.rpartition("/")[0] not in folders))
