"""Keeps room for new task logs: when their folder is nearly full, the oldest of them go.

They are in CloudWatch Logs by then, where they are shipped. A file that was written to in the last minute stays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from aerodrome.services import oldest_files

LOOK_EVERY = 5.0
"""Seconds between two looks at a disk image of the logs' own."""

WALK_EVERY = 60.0
"""Seconds between two looks where there is none: then all files are counted."""

HIGH, LOW = 7 / 8, 3 / 4
"""Parts of the room: above the one files go, until it is the other."""

SPARED = 60.0
"""Seconds for which a file has been written to by nobody."""

log = structlog.get_logger("sidecar.room")


@dataclass(frozen=True, slots=True)
class TaskLogs:
    """The folder of an environment's task logs, where hostile code may write."""

    folder: Path
    most: int
    """Bytes that it may have where it is no disk image."""

    def run(self, beat: Callable[[], None]) -> None:
        """Go on for ever."""
        while True:
            beat()
            time.sleep(LOOK_EVERY if self.look(time.time()) else WALK_EVERY)

    def look(self, now: float) -> bool:
        """Remove what is too much; whether the folder is a disk image, which may be looked at often."""
        try:
            is_image = self.folder.stat().st_dev != self.folder.parent.stat().st_dev
            seen = os.statvfs(self.folder)
        except OSError:
            return False
        size = seen.f_blocks * seen.f_frsize if is_image else self.most
        used = (seen.f_blocks - seen.f_bfree) * seen.f_frsize
        if is_image and used <= size * HIGH and seen.f_ffree >= seen.f_files * (1 - HIGH):
            return True
        found = list(oldest_files.files(self.folder))
        held = sum(each.bytes for each in found)
        if held > size * HIGH or is_image:
            old = [
                each for each in oldest_files.chosen(found, int(min(size, held) * LOW)) if each.changed < now - SPARED
            ]
            gone = oldest_files.remove(self.folder, old)
            if gone:
                log.info("old task logs removed", files=gone)
        return is_image
