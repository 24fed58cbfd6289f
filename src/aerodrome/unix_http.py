"""HTTP to a server that listens on a unix socket, with the standard library's client."""

from __future__ import annotations

import http.client
import socket


class UnixHttpConnection(http.client.HTTPConnection):
    """A connection to the server behind the socket file `path`; `timeout` is in seconds."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect.

        Raises:
            OSError: nobody listens there, or not within the timeout.
        """
        self.sock = connected(self._path, self.timeout)


def connected(path: str, timeout: float | None) -> socket.socket:
    """A socket that is connected to the socket file; timeout None = wait for ever.

    Raises:
        OSError: nobody listens there, or not within the timeout.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(timeout)
    try:
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made
