"""Where the emulator listens: a unix socket behind the door, or a port of its own; and how it reaches itself there.

`launch` describes it to whoever starts the emulator, `__main__` binds it.
"""

from __future__ import annotations

import http.client
import os
import socket as sockets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from aerodrome.unix_http import UnixHttpConnection, connected

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAddress:
    """Exactly one of the two."""

    port: int | None = None
    """On loopback."""
    socket: Path | None = None

    @property
    def url(self) -> str:
        """For a client; of a socket, whatever it is led by `lead`."""
        return f"http://{LOOPBACK}:{self.port}" if self.port is not None else "http://localhost"

    @property
    def bound(self) -> tuple[str, int] | str:
        """The address that the system's bind is called with."""
        return (LOOPBACK, self.port) if self.port is not None else str(self.socket)

    def listener(self) -> sockets.socket:
        """A socket bound to it; a unix socket is its owner's alone, and takes the place of an older one."""
        # asyncio turns Nagle's algorithm off only where the protocol is named; with it an answer may wait 40 ms.
        family, protocol = (sockets.AF_INET, sockets.IPPROTO_TCP) if self.socket is None else (sockets.AF_UNIX, 0)
        made = sockets.socket(family, sockets.SOCK_STREAM, protocol)
        before = os.umask(0o177)
        try:
            if self.socket is None:
                made.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            else:
                self.socket.unlink(missing_ok=True)
            made.bind(self.bound)
        except OSError:
            made.close()
            raise
        finally:
            os.umask(before)
        return made

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        """A connection for one request."""
        if self.port is not None:
            return http.client.HTTPConnection(LOOPBACK, self.port, timeout=timeout)
        return UnixHttpConnection(str(self.socket), timeout)

    def lead(self, client: Any) -> Any:
        """A boto3 client whose requests go to the socket, if it is one."""
        if self.socket is not None:
            path = str(self.socket)
            pool = type("Pool", (_SocketPool,), {"path": path})
            client._endpoint.http_session._manager.pool_classes_by_scheme = {"http": pool}  # noqa: SLF001 -- no other way
        return client


class _PooledConnection(HTTPConnection):
    path = ""

    def _new_conn(self) -> sockets.socket:
        timeout = self.timeout if isinstance(self.timeout, float | int) else None
        return connected(self.path, timeout)


class _SocketPool(HTTPConnectionPool):
    path = ""

    def _new_conn(self) -> Any:
        self.ConnectionCls = type("Connection", (_PooledConnection,), {"path": self.path})
        return super()._new_conn()
