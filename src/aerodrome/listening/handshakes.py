"""A listening socket for TLS that limits the handshakes under way; no protocol sees their connections yet.

asyncio accepts each connection, and a descriptor with it, before it knows whether anybody means to speak TLS there.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

from aerodrome.listening import peers
from aerodrome.listening.crowd import Client, ConnectionLimits, Crowd

LIMITS = ConnectionLimits(total=500, each_peer=250, bodies_each_peer=0)
"""For the handshakes under way on one listener; that of a browser takes some milliseconds."""


class HandshakeListener(socket.socket):
    """Accepts connections; the handshake that has been under way for longest makes room for one more."""

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self._crowd = Crowd(LIMITS)
        self._under_way: dict[int, tuple[Client, socket.socket]] = {}
        """By descriptor."""

    def accept(self) -> tuple[socket.socket, Any]:
        """As a socket's.

        Raises:
            ConnectionAbortedError: there is no room, and the connection is closed; asyncio goes on with the next.
        """
        connection, address = super().accept()
        now = time.monotonic()
        self._forget_closed()
        client = Client(peers.of(connection), now)
        room = self._crowd.enter(client, now)
        if room.leaving is not None:
            self._end(room.leaving)
        if not room.is_free:
            self._crowd.leave(client)
            connection.close()
            raise ConnectionAbortedError
        self._under_way[connection.fileno()] = client, connection
        return connection, address

    def done(self, descriptor: int) -> None:
        """The handshake of this connection has come to its end."""
        found = self._under_way.pop(descriptor, None)
        if found is not None:
            self._crowd.leave(found[0])

    def _end(self, client: Client) -> None:
        for descriptor, (each, connection) in self._under_way.items():
            if each is client:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)  # its transport sees the end, and closes
                self.done(descriptor)
                return

    def _forget_closed(self) -> None:
        for descriptor in [each for each, (_, connection) in self._under_way.items() if connection.fileno() < 0]:
            self.done(descriptor)
