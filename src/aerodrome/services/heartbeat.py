"""The heartbeat of a detached process: the time of a file, by the clock that nobody sets.

The process beats; whoever looks after it asks how long it has been silent. A full disk keeps nobody from beating.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

EVERY = 1.0
"""Seconds between two beats."""

SILENCE = 30.0
"""Seconds without a beat after which a process may hang."""

LOOKS = 3
"""Looks in a row at which it must have been silent: who looks may have been stopped himself."""

Monotonic = Callable[[], float]


def begin(file: Path, monotonic: Monotonic = time.monotonic) -> None:
    """Make the file, and beat."""
    file.touch(mode=0o600)
    beat(file, monotonic)


def beat(file: Path, monotonic: Monotonic = time.monotonic) -> None:
    """Show that the process goes on."""
    now = monotonic()
    os.utime(file, (now, now))


def silent(file: Path, monotonic: Monotonic = time.monotonic) -> float:
    """Seconds since the last beat; 0 for a process that has none, or none since the machine started."""
    try:
        return max(0.0, monotonic() - file.stat().st_mtime)
    except FileNotFoundError:
        return 0.0


class Silence:
    """Whether a process hangs, by what is seen of it look by look. Pure."""

    def __init__(self) -> None:
        self._looks = 0

    def hangs(self, seconds: float) -> bool:
        """Whether it does, when it has been silent for so long at this look; asked again, it begins anew."""
        self._looks = self._looks + 1 if seconds > SILENCE else 0
        if self._looks < LOOKS:
            return False
        self._looks = 0
        return True
