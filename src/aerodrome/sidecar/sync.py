"""One round: the listing in, the disk made equal to it. The only place where the bucket changes the disk.

`rounds` calls it once a second. It asks `listing`, decides by `object_keys` and `diff`, and acts through `bucket` and
`dags_folder`. All objects are fetched before the first file changes, so that files which belong together change within
milliseconds. It knows nothing of Airflow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from aerodrome.model import limits
from aerodrome.sidecar import backoff, diff, manifest, object_keys
from aerodrome.sidecar.dags_folder import DagsFolder
from aerodrome.sidecar.diff import ManifestEntry, SyncPlan
from aerodrome.sidecar.object_keys import Accepted, Listing, Remote
from aerodrome.sidecar.signed_http import AwayError, RefusalError

LOOKED_AT = 500
"""Names on disk looked at in a second, on average: about 0.2 % of a core. A larger tree is looked at less often."""

LONGEST_RETRY = 60.0
"""Seconds between two tries of one object that cannot be fetched while the rest can; arbitrary."""

PART_OF_RESERVE = 2
"""A file is written only while the disk keeps one part in so many of its reserve free; what tasks write leaves all of
it, so that tasks which fill the disk keep no DAG out."""

MIB = 2**20

CHANGED = frozenset({"PreconditionFailed", "NoSuchKey"})
"""The object is no longer the one that was listed: the next listing will tell."""

log = structlog.get_logger("sidecar.sync")


class ObjectSource(Protocol):
    """What a round needs of a bucket."""

    name: str
    prefix: str

    def fetch(self, remote: Remote, descriptor: int) -> str | None:
        """As `bucket.Bucket.fetch`."""


class Lister(Protocol):
    """What a round needs of a listing."""

    def read(self) -> Listing:
        """As `listing.ListingReader.read`."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found and did."""

    objects: int
    """Files that the disk holds now."""
    refused: Mapping[str, str]
    """By key (or by path, for what cannot be removed): why disk and bucket differ."""
    placed: tuple[str, ...] = ()
    """Paths that are new or changed."""
    deleted: tuple[str, ...] = ()


@dataclass(slots=True)
class _Trouble:
    """An object that could not be fetched or written; kept until the object changes or works."""

    etag: str
    sentence: str
    failures: int
    not_before: float


@dataclass(slots=True)
class _Staged:
    """What the fetching part of a round left in staging: path → (staged name, manifest entry without a time)."""

    files: dict[str, tuple[str, ManifestEntry]] = field(default_factory=dict)
    away: AwayError | None = None


class Syncer:
    """Keeps one folder equal to one prefix. `prepare` comes before the first round."""

    def __init__(
        self,
        *,
        source: ObjectSource,
        reader: Lister,
        tree: DagsFolder,
        monotonic: Callable[[], float],
        most_bytes: int = object_keys.MOST_BYTES,
    ) -> None:
        self._source = source
        self._reader = reader
        self._tree = tree
        self._monotonic = monotonic
        self._most_bytes = most_bytes
        self._identity = f"s3://{source.name}/{source.prefix}"
        self._manifest_path = manifest.path_for(tree.root)
        self._manifest: dict[str, ManifestEntry] = {}
        self._case_sensitive = True
        self._listing: Listing | None = None
        self._accepted = Accepted({}, frozenset(), {}, complete=False)
        self._settled = False
        self._rounds_until_look = 0
        self._troubles: dict[str, _Trouble] = {}
        self._stuck: dict[str, str] = {}

    def prepare(self) -> None:
        """Make the folders and read the manifest.

        Raises:
            BrokenError: the folders cannot be made.
        """
        self._tree.prepare()
        self._case_sensitive = self._tree.is_case_sensitive()
        self._manifest = manifest.load(self._manifest_path, source=self._identity)

    def round(self) -> Round:
        """Do one round.

        Raises:
            AwayError: the bucket cannot be read now; what was fetched until then is in place, nothing else changed.
            RefusalError: the bucket is missing or closed to the role; nothing changed.
            BrokenError: the folder cannot be used.
        """
        listing = self._reader.read()
        if listing is not self._listing:
            self._accepted = object_keys.accept(
                listing, prefix=self._source.prefix, case_sensitive=self._case_sensitive
            )
            self._listing, self._settled = listing, False
        self._rounds_until_look -= 1
        if self._settled and self._rounds_until_look > 0 and not self._retry_due():
            return self._result((), ())
        disk = self._tree.observe()
        self._rounds_until_look = rounds_between_looks(len(disk.files) + len(disk.folders))
        return self._carry_out(diff.plan(self._accepted, disk, self._manifest), disk)

    def holds(self, path: str) -> bool:
        """Whether this path is a file of the bucket on disk."""
        return path in self._manifest

    def _carry_out(self, plan: SyncPlan, disk: diff.DiskTree) -> Round:
        self._settled = False  # until the end of this function is reached
        before = self._manifest
        self._forget_troubles()
        staged = self._fetch(plan, disk)
        files = dict(plan.keep)
        deleted = self._delete(plan)
        placed = self._place(staged, disk, files)
        self._manifest = files
        if files != before:
            manifest.save(self._manifest_path, source=self._identity, files=files)
        if placed or deleted:
            log.info("the DAGs folder changed", placed=len(placed), deleted=len(deleted), files=len(files))
        if staged.away is not None:
            raise staged.away
        # What is neither placed nor in trouble has changed since it was listed: the next round must look again.
        self._settled = all(path in files or path in self._troubles for path in plan.fetch)
        return self._result(placed, deleted)

    def _fetch(self, plan: SyncPlan, disk: diff.DiskTree) -> _Staged:
        staged = _Staged()
        held = {path: each.size for path, each in disk.files.items() if path in plan.keep or path in plan.fetch}
        taken = sum(held.values())
        for path, remote in plan.fetch.items():
            trouble = self._troubles.get(path)
            if trouble is not None and self._monotonic() < trouble.not_before:
                continue
            after = taken + remote.size - held.get(path, 0)
            try:
                if reason := no_room(remote.size, after, self._most_bytes, *self._tree.free()):
                    self._note(path, remote, reason)
                    continue
                staged.files[path] = self._fetch_one(remote)
                taken = after
            except AwayError as error:
                # Note it, so that one object which always fails cannot hold up those after it.
                self._note(path, remote, str(error))
                staged.away = error
                break
            except RefusalError as error:
                if error.code not in CHANGED:
                    self._note(path, remote, str(error))
            except OSError as error:
                self._note(path, remote, f"it cannot be written: {error.strerror}")
        return staged

    def _fetch_one(self, remote: Remote) -> tuple[str, ManifestEntry]:
        with self._tree.staged() as (descriptor, name):
            version = self._source.fetch(remote, descriptor)
        return name, ManifestEntry(remote.etag, remote.size, 0, version)

    def _delete(self, plan: SyncPlan) -> tuple[str, ...]:
        stuck = {}
        for path, remove in (
            *((path, self._tree.delete) for path in plan.delete),
            *((path, self._tree.prune) for path in plan.prune),
        ):
            try:
                remove(path)
            except (OSError, RecursionError) as error:
                stuck[path] = f"it is not in the bucket and cannot be removed: {error}"
                if path not in self._stuck:
                    log.warning("a name cannot be removed from the DAGs folder", path=path, error=str(error))
        self._stuck = stuck
        return tuple(path for path in plan.delete if path not in stuck)

    def _place(self, staged: _Staged, disk: diff.DiskTree, files: dict[str, ManifestEntry]) -> tuple[str, ...]:
        placed = []
        for path, (name, held) in staged.files.items():
            seen = disk.files.get(path)
            try:
                mtime_ns = self._tree.place(name, path, after_ns=seen.mtime_ns if seen else None)
            except OSError as error:
                self._tree.discard(name)
                self._note(path, self._accepted.files[path], f"it cannot be written: {error.strerror}")
                continue
            files[path] = ManifestEntry(held.etag, held.size, mtime_ns, held.version)
            self._troubles.pop(path, None)
            placed.append(path)
        return tuple(placed)

    def _retry_due(self) -> bool:
        return bool(self._troubles) and min(each.not_before for each in self._troubles.values()) <= self._monotonic()

    def _note(self, path: str, remote: Remote, sentence: str) -> None:
        known = self._troubles.get(path)
        failures = known.failures + 1 if known else 1
        wait = backoff.back_off(failures, longest=LONGEST_RETRY)
        self._troubles[path] = _Trouble(remote.etag, sentence, failures, self._monotonic() + wait)
        if failures == 1:
            log.warning("an object cannot be synchronised", key=remote.key, error=sentence)

    def _forget_troubles(self) -> None:
        """Forget the troubles of objects that are gone or have changed: they are tried anew."""
        files = self._accepted.files
        self._troubles = {
            path: trouble
            for path, trouble in self._troubles.items()
            if path in files and files[path].etag == trouble.etag
        }

    def _result(self, placed: tuple[str, ...], deleted: tuple[str, ...]) -> Round:
        refused = self._accepted.refused
        if self._troubles or self._stuck:
            files = self._accepted.files
            troubles = {files[path].key: each.sentence for path, each in self._troubles.items()}
            refused = {**refused, **troubles, **self._stuck}
        return Round(len(self._manifest), refused, placed, deleted)


def no_room(size: int, after: int, most: int, free: int, disk: int) -> str | None:
    """The sentence for an object for which there is no room; None when there is. All in bytes.

    `after` is what all files would have together, `most` what they may have, `free` what the disk has free of `disk`.
    """
    if after > most:
        return (
            f"the DAGs folder would have more than {most / MIB:.0f} MiB with it: remove what no DAG needs from the "
            "bucket; AERODROME_DAGS_BYTES gives more"
        )
    kept = limits.disk_reserve(disk) // PART_OF_RESERVE
    if free - size < kept:
        return f"the disk of Aerodrome's data has to keep {kept / MIB:.0f} MiB free: make space on it"
    return None


def rounds_between_looks(names: int) -> int:
    """After how many rounds a tree of so many names is looked at again, so that the cost of a second stays the same."""
    return max(1, math.ceil(names / LOOKED_AT))
