"""How far each file has been shipped, in one private file that survives the process.

Of a file that has been shipped whole and has not changed for an hour only the length is kept, in a second file beside
the first: it may grow again (a sensor that is rescheduled, a task that was deferred). So the first, which is written
often, stays small, however many tasks run.
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
class FilePosition:
    """How far one file has been shipped."""

    stream: str
    inode: int
    """Of the file that `offset` is in: the log itself or, with `is_in_copy`, what a rotation has made of it."""
    offset: int = 0
    mark: str = ""
    """What stands before `offset`, in base 64."""
    last: int = 0
    """The time of the last event, in milliseconds."""
    is_in_copy: bool = False
    copy: str | None = None
    """The youngest copy of which everything has been shipped, as `tailing.RotatedCopy.identity` has it; empty: of none.

    None: written by a version that did not know.
    """

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
    places: dict[str, FilePosition] = field(default_factory=dict)
    settled: float = 0.0
    """Files that are unknown and not younger than this were there before shipping began."""
    dropped: int = 0
    """Events that no group has taken, and never will."""
    finished: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Files that were shipped whole: inode and length."""

    @classmethod
    def load(cls, path: Path, *, now: float) -> Positions:
        """As they were written; when there are none, what is older than `now` is not shipped any more."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            places = {key: FilePosition(**each) for key, each in document["places"].items()}
            found = cls(path, places, float(document["settled"]), int(document["dropped"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            found = cls(path, {}, now)
            with suppress(BrokenError):  # the first batch tries again
                found.save()
        try:
            each = json.loads(found._second.read_text(encoding="utf-8"))
            found.finished = {key: (int(inode), int(length)) for key, (inode, length) in each.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError):
            found.settled = now  # better a line too few than all logs once more
        return found

    @property
    def _second(self) -> Path:
        return self.path.with_name(f"{self.path.name}.finished")

    def save(self) -> None:
        """Raises BrokenError when the disk does not take it."""
        places = {key: asdict(place) for key, place in self.places.items()}
        document = {"settled": self.settled, "dropped": self.dropped, "places": places}
        write_private(self.path, json.dumps(document).encode())

    def forget(self, finished: Iterable[str], gone: Iterable[str]) -> None:
        """Files that are shipped whole, of which the length is kept; and files that are there no more.

        Raises:
            BrokenError: the disk does not take it.
        """
        for key in gone:
            self.places.pop(key, None)
            self.finished.pop(key, None)
        ended = {key: (self.places[key].inode, self.places[key].offset) for key in finished}
        self.finished |= ended
        write_private(self._second, json.dumps(self.finished).encode())
        for key in ended:
            del self.places[key]
