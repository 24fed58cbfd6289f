"""The loopback ports of a cell's units: bound here as long as the unit is wanted, so that no neighbour can take them.

The roster gives the unit a copy of the socket, and the unit listens on it. Between two of the unit's processes callers
wait in the socket's queue. A cell that adopts a unit binds a second socket beside that unit's own, which the kernel
grants to nobody but the same user; it serves only when the unit's has gone.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LISTEN_FD = 4  # the socket's number in the unit
LISTEN_VARIABLE = "AERODROME_LISTEN_FD"


class Listeners:
    """The sockets that are held, by port. They are bound; to listen is the unit's part."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def hold(self, ports: Iterable[int]) -> list[tuple[int, str]]:
        """Holds these ports and no others; returns those that cannot be had, with the reason."""
        wanted = set(ports)
        for port in set(self._held) - wanted:
            self._held.pop(port).close()
        missing = []
        for port in sorted(wanted):
            try:
                self.of(port)
            except OSError as error:
                missing.append((port, error.strerror or str(error)))
        return missing

    def of(self, port: int) -> socket.socket:
        """The socket of a port. Raises OSError when somebody else has it."""
        held = self._held.get(port)
        if held is None:
            held = self._held[port] = _bound(port)
        return held


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Not SO_REUSEADDR: with it anybody could bind the port as long as nobody listens on it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    return listener
