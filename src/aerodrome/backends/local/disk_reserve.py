"""Keeps a part of the disk free of what environments write: PostgreSQL and the ledger go on when the rest is full.

Disk images are sparse, so together they may promise more than there is. Once a second each of them is told how much it
must keep free (`reserved_clusters` of ext4), so that all of them together, whatever they write until the next look,
leave the reserve. Then the kernel refuses code of environments in time, in words that it understands: no space left.
Nobody but the kernel is asked, so what was told last also holds while there is no control plane.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from aerodrome.backends.local import disk_images
from aerodrome.backends.local.disk_images import BLOCK
from aerodrome.model import limits
from aerodrome.settings import Paths
from aerodrome.threads import SupervisedThread

RHYTHM = 1.0
"""Seconds between two looks."""

PATIENCE = 60.0
"""Seconds that a look may take."""

USUAL = 4096
"""Clusters that ext4 itself keeps free, for it must never run out of them; one of 50 in a small image."""

DEVICES = Path("/sys/block")
FILE_SYSTEMS = Path("/sys/fs/ext4")

log = structlog.get_logger("disk reserve")


@dataclass(frozen=True, slots=True)
class Attached:
    """A disk image that a cell has mounted. Bytes."""

    size: int
    backed: int
    """For which the disk below has given room already."""
    pending: int
    """That were written and have not reached the disk below."""


def held_back(images: Mapping[str, Attached], free: int, reserve: int) -> dict[str, int]:
    """How many clusters each image must keep free, where the disk below has so many bytes free. Pure."""
    promised = free - reserve - sum(each.pending for each in images.values())
    share = max(0, promised) // max(1, len(images))
    return {name: _clusters(each, share) for name, each in images.items()}


def _clusters(image: Attached, share: int) -> int:
    whole = image.size // BLOCK
    unbacked = image.size - image.backed - image.pending
    return min(whole - 1, max(unbacked - share, 0) // BLOCK + min(USUAL, whole // 50))


class DiskReserve:
    """The reserve of one installation, and the thread that keeps it."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._stop = threading.Event()
        self._is_told = False
        self.thread = SupervisedThread("disk reserve", self._keep, patience=PATIENCE)

    def start(self) -> None:
        """Look from now on."""
        self.thread.start()

    def close(self) -> None:
        """Look no more; what was told last holds."""
        self._stop.set()
        self.thread.join()

    def _keep(self) -> None:
        disk_images.trouble()  # tried now, so that no creation waits for the answer
        while not self._stop.wait(RHYTHM):
            self.thread.beat()
            self.look()

    def look(self) -> None:
        """Tell every image what it must keep free."""
        folder = self._paths.environments
        if not folder.exists():
            return
        usage = shutil.disk_usage(folder)
        found = attached(folder)
        for name, clusters in held_back(found, usage.free, limits.disk_reserve(usage.total)).items():
            try:
                (FILE_SYSTEMS / name / "reserved_clusters").write_text(str(clusters), encoding="ascii")
            except FileNotFoundError:  # it was unmounted just now
                continue
            except OSError as error:
                if not self._is_told:
                    log.warning("no disk reserve", reason=str(error))
                self._is_told = True


def attached(folder: Path) -> dict[str, Attached]:
    """The images below the folder that are mounted, by the names of their loop devices."""
    found, prefix = {}, f"{folder}/"
    for backing in DEVICES.glob("loop*/loop/backing_file"):
        name = backing.parent.parent.name
        try:
            file = backing.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n")
            if file.startswith(prefix):
                seen = os.stat(file)  # noqa: PTH116 - once a second for each of the machine's images
                pending = int((FILE_SYSTEMS / name / "delayed_allocation_blocks").read_text()) * BLOCK
                found[name] = Attached(seen.st_size, seen.st_blocks * 512, pending)
        except (OSError, ValueError):  # it ends just now, or its file was removed
            continue
    return found
