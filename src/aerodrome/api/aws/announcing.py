"""Tells sidecars of objects that were put or deleted through the door, so that they need not wait for their next round.

It must never hold up or fail a request that has been answered already.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from pathlib import Path

from aerodrome.api.aws.requested import NeededPermission
from aerodrome.model import announcements

CHANGES = frozenset({"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"})
"""The actions after which an object is another one, or gone; copies and uploads in parts are among the first."""

OBJECTS = "arn:aws:s3:::"

MOST = 100
"""Objects of one request that are announced."""


class Announcer:
    """Writes to the sockets in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def announce(self, checks: Iterable[NeededPermission]) -> None:
        """Tell of what a request has changed, from what it was checked for."""
        changed = [each.resource.removeprefix(OBJECTS) for each in checks if each.action in CHANGES]
        for name in changed[:MOST]:
            bucket, _, key = name.partition("/")
            with contextlib.suppress(OSError):  # whom this does not reach looks for itself in a while
                for path in self._folder.glob(announcements.sockets_of(bucket) + "*"):
                    _send(path, announcements.message(bucket, key))


def _send(path: Path, message: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        sender.sendto(message, str(path))
