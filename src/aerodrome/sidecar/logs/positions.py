"""How far each file has been shipped, in one private file that survives the process.

A file that has been shipped whole and has not changed for an hour is forgotten: whatever is unknown and not younger
than the youngest forgotten one has been shipped. So the file stays small, however many tasks run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aerodrome.errors import BrokenError
from aerodrome.sidecar.private_files import write_private

FORGOTTEN_AFTER = 3600.0
"""Seconds without a change."""

MARK = 256
"""Bytes before the place that are remembered, to know it again in a rotated copy."""


@dataclass(slots=True)
class Place:
    """How far one file has been shipped."""

    stream: str
    inode: int
    offset: int = 0
    mark: str = ""
    """What stands before `offset`, in base 64."""
    last: int = 0
    """The time of the last event, in milliseconds."""

    def moved(self, offset: int, before: bytes) -> None:
        """Note that everything before `offset` has been shipped; `before` ends there."""
        self.offset = offset
        self.mark = base64.b64encode(before[-MARK:]).decode()

    @property
    def before(self) -> bytes:
        return base64.b64decode(self.mark)


@dataclass(slots=True)
class Positions:
    """All of them."""

    path: Path
    places: dict[str, Place] = field(default_factory=dict)
    settled: float = 0.0
    """Files that are unknown and not younger than this are shipped already."""
    dropped: int = 0
    """Events that no group has taken, and never will."""

    @classmethod
    def load(cls, path: Path, *, now: float) -> Positions:
        """As they were written; when there are none, what is older than `now` is not shipped any more."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            places = {key: Place(**each) for key, each in document["places"].items()}
            return cls(path, places, float(document["settled"]), int(document["dropped"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            found = cls(path, {}, now)
            with suppress(BrokenError):  # the first batch tries again
                found.save()
            return found

    def save(self) -> None:
        """Raises BrokenError when the disk does not take it."""
        places = {key: asdict(place) for key, place in self.places.items()}
        document = {"settled": self.settled, "dropped": self.dropped, "places": places}
        write_private(self.path, json.dumps(document).encode())

    def forget(self, finished: Iterable[tuple[str, float]], gone: Iterable[str]) -> None:
        """Files that are shipped whole, with the time of their last change; and files that are there no more."""
        for key, changed in finished:
            del self.places[key]
            self.settled = max(self.settled, changed)
        for key in gone:
            del self.places[key]
