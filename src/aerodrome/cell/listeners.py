"""The loopback ports of a cell's units: reserved as long as the unit is wanted, so that no neighbour can take them.

The cell's socket is bound and never listens. The unit gets another socket, bound to the same port, and listens on that
one. The kernel lets sockets share a port when they have SO_REUSEPORT and one owner, so both belong to the unit's user.
A cell that adopts a unit reserves its port in the same way.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .specs import UnitSpec

LISTEN_FD = 4  # the socket's number in the unit
LISTEN_VARIABLE = "AERODROME_LISTEN_FD"


class Listeners:
    """What is held, by port."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def hold(self, specs: Iterable[UnitSpec], *, alone: bool = False) -> dict[int, str]:
        """Holds the ports of these units and no others; returns those that cannot be had, with the reason.

        `alone` means that no unit of ours can have such a port: then a socket of the same user is a stranger's too.
        """
        wanted = {spec.listen: spec for spec in specs if spec.listen is not None}
        for port in set(self._held) - set(wanted):
            self._held.pop(port).close()
        missing = {}
        for port, spec in wanted.items():
            if port in self._held:
                continue
            try:
                if alone:
                    _probe(port)
                self._held[port] = bound(port, spec)
            except OSError as error:
                missing[port] = error.strerror or str(error)
        return missing


def _probe(port: int) -> None:
    """Raises OSError when anybody has the port; connections that have ended do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def bound(port: int, spec: UnitSpec) -> socket.socket:
    """A socket for the unit, bound to the port. Raises OSError when somebody else has it."""
    # The protocol is named, or asyncio would not switch Nagle's algorithm off: 40 ms for many an answer.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if spec.uid is not None and spec.gid is not None and os.geteuid() == 0:
            os.fchown(made.fileno(), spec.uid, spec.gid)
        # Not SO_REUSEADDR: with it anybody could bind the port as long as nobody listens there.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made
