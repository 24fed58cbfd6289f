"""Connects to a web server's socket, which is in a folder that hostile code may write to.

Hostile code could put a link there to any socket of this machine, such as a cell's. A control plane that is root would
follow it, and the cell would obey. So the control plane sends nothing before it knows who listens.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.connector import Connection

_PEER = struct.Struct("3i")
"""struct ucred: pid, uid, gid."""


MOST = 9
"""Web servers of one cell: MWAA has five at most."""


class OpenConnections:
    """Counts the connections to the web servers of one cell that have a request under way."""

    def __init__(self) -> None:
        self.number = 0

    def count(self, connection: Connection) -> Connection:
        """Count a connection until it is free again or closed."""
        self.number += 1
        connection.add_callback(self._leave)
        return connection

    def _leave(self) -> None:
        self.number -= 1


@dataclass(frozen=True, slots=True)
class LinkedWebServer:
    """The web servers behind a link of ours, as many as get requests now; fulfils `contract.WebServer`."""

    socket: Path
    """Of the first."""

    number: int = MOST
    """Those with higher numbers are about to end. If nobody said how many there are, the sockets tell."""

    connections: OpenConnections = field(default_factory=OpenConnections, compare=False)

    def connector(self, **options: Any) -> UnitConnector:
        """A new connector that reaches these web servers and nothing else."""
        return UnitConnector(self, **options)


class WebServers:
    """The web servers of all cells on this machine: which get requests, and how many connections they have."""

    def __init__(self) -> None:
        self._numbers: dict[Path, int] = {}
        self._connections: dict[Path, OpenConnections] = {}

    def lead(self, first: Path, number: int) -> None:
        """Lead no new request to a web server with a higher number; `first` is the socket of the first of them."""
        self._numbers[first] = number

    def forget(self, first: Path) -> None:
        """Forget the web servers of a cell that is gone."""
        self._numbers.pop(first, None)
        self._connections.pop(first, None)

    def behind(self, link: Path) -> LinkedWebServer:
        """Those that the link leads to; if it does not exist yet, its own path, where nobody listens."""
        first = _target(link)
        return LinkedWebServer(first, self._numbers.get(first, MOST), self._counted(first))

    def connections(self, link: Path) -> int:
        """How many connections the web servers have that the link leads to."""
        return self._counted(_target(link)).number

    def _counted(self, first: Path) -> OpenConnections:
        return self._connections.setdefault(first, OpenConnections())


def _target(link: Path) -> Path:
    try:
        return link.readlink()
    except OSError:
        return link


class UnitConnector(aiohttp.UnixConnector):
    """Connects only to a server that runs as the owner of the folder that has its socket.

    A cell may have several web servers, each on a socket of its own. Every connection goes to the next of them; one
    that does not listen is left out.

    It cannot tell the web server from other code of the same environment that listens in its place: both have the same
    user.
    """

    def __init__(self, server: LinkedWebServer, **options: Any) -> None:
        super().__init__(path=str(server.socket), **options)
        self._server = server
        self._first = str(server.socket)
        self._turn = secrets.randbelow(8)  # many connectors make one connection only

    async def connect(self, *args: Any, **options: Any) -> Connection:
        """A connection as aiohttp's, which is counted."""
        return self._server.connections.count(await super().connect(*args, **options))

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's
        *others, last = self._sockets()
        for path in others:
            with contextlib.suppress(UnixClientConnectorError):
                return await self._connected(path, req, traces, timeout)
        return await self._connected(last, req, traces, timeout)

    def _sockets(self) -> list[str]:
        """Where web servers may listen, in the order in which to try them now."""
        first = self._server.socket
        beside = sorted(first.parent.glob(f"{first.stem}-[2-9]{first.suffix}"))
        wanted = {f"{first.stem}-{number}" for number in range(2, self._server.number + 1)}
        found = [self._first, *(str(each) for each in beside if each.stem in wanted)]
        self._turn += 1
        at = self._turn % len(found)
        return [*found[at:], *found[:at]]

    async def _connected(self, path: str, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's
        self._path = path  # aiohttp reads it before it waits for anything
        protocol: Any = await super()._create_connection(req, traces, timeout)
        if not self._is_of_the_folder(protocol.transport):
            protocol.abort()
            error = OSError(errno.EPERM, "another user's program listens")
            raise UnixClientConnectorError(path, req.connection_key, error)
        return protocol

    def _is_of_the_folder(self, transport: Any) -> bool:
        connected = transport.get_extra_info("socket") if transport is not None else None
        if connected is None:
            return False
        with socket.socket(fileno=os.dup(connected.fileno())) as same:
            # The kernel noted these when the other side began to listen.
            _, uid, _ = _PEER.unpack(same.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        return bool(uid == Path(self.path).parent.lstat().st_uid)
