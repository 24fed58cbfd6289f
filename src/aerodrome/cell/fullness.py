"""Whether a cell's disk images are full, looked at once a second: what units are refused then becomes an event."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from . import images, placement

if TYPE_CHECKING:
    from typing import Any

LEAST = 1024 * 1024  # bytes; with less an image counts as full
LEAST_FILES = 16


class Fullness:
    """What is known of each image. Times are seconds of the monotonic clock."""

    def __init__(self, shown: list[images.Image]) -> None:
        self._shown = shown
        self._seen: dict[str, images.Space] = {}
        self._met: dict[str, placement.UnitLimitMet] = {}
        self._looked_at = 0.0

    def look(self, now: float) -> None:
        """Looks at every image, if it is time to."""
        if now - self._looked_at < placement.LOOK_EVERY:
            return
        self._looked_at = now
        for image in self._shown:
            with contextlib.suppress(OSError):
                self._seen[image.name] = images.space(image)
                if is_full(self._seen[image.name]):
                    self._met[image.name] = placement.met(self._met.get(image.name), image.name, 1, now)

    def status(self, now: float) -> list[dict[str, Any]]:
        """What the control socket tells; times are seconds since 1970."""
        offset = time.time() - now
        return [
            {
                "name": name,
                "size": seen.size,
                "free": seen.free,
                "full_at": round(self._met[name].at + offset, 3) if name in self._met else None,
            }
            for name, seen in self._seen.items()
        ]


def is_full(seen: images.Space) -> bool:
    """Whether programs can write next to nothing more."""
    return seen.free < LEAST or seen.files < LEAST_FILES
