"""Waiting for the next round: until its time, or until the AWS door says that an object of ours was put or is gone.

The listing remains the truth, and announcements say only when it is worth reading. So nothing is lost with one.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from pathlib import Path

from aerodrome.model import announcements

LEAST = 0.2
"""Seconds between two rounds, however much is announced."""

MOST_AT_ONCE = 1000
"""Announcements read after one another."""


class Announcements:
    """A socket that only we and root may write to."""

    def __init__(self, path: Path, *, bucket: str, prefix: str) -> None:
        self._path = path
        self._bucket = bucket
        self._prefix = prefix
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        self._socket.bind(str(path))
        path.chmod(0o600)

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or earlier when one of our objects is announced."""
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left)[0] and self._is_ours():
                time.sleep(max(0.0, min(left, began + LEAST - time.monotonic())))
                return

    def _is_ours(self) -> bool:
        """Whether one of the announcements that have come concerns us; all are taken."""
        found = False
        with contextlib.suppress(BlockingIOError):
            for _ in range(MOST_AT_ONCE):
                sent = self._socket.recv(announcements.LONGEST)
                found = found or announcements.concerns(sent, self._bucket, self._prefix)
        return found

    def close(self) -> None:
        """Let nobody write to it any more."""
        self._socket.close()
        self._path.unlink(missing_ok=True)
