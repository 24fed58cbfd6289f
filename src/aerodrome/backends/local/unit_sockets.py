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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError

_PEER = struct.Struct("3i")
"""struct ucred: pid, uid, gid."""


@dataclass(frozen=True, slots=True)
class LinkedWebServer:
    """The web server that a link of ours points to now; fulfils `contract.WebServer`."""

    socket: Path

    def connector(self, **options: Any) -> UnitConnector:
        """A new connector that reaches this web server and nothing else."""
        return UnitConnector(path=str(self.socket), **options)


def behind(link: Path) -> LinkedWebServer:
    """The web server that the link points to; the link's own path if it does not exist yet, where nobody listens."""
    try:
        return LinkedWebServer(link.readlink())
    except OSError:
        return LinkedWebServer(link)


class UnitConnector(aiohttp.UnixConnector):
    """Connects only to a server that runs as the owner of the folder that has its socket.

    A cell may have several web servers, each on a socket of its own. Every connection goes to the next of them; one
    that does not listen is left out.

    It cannot tell the web server from other code of the same environment that listens in its place: both have the same
    user.
    """

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path=path, **options)
        self._first = path
        self._turn = secrets.randbelow(8)  # many connectors make one connection only

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's
        *others, last = self._sockets()
        for path in others:
            with contextlib.suppress(UnixClientConnectorError):
                return await self._connected(path, req, traces, timeout)
        return await self._connected(last, req, traces, timeout)

    def _sockets(self) -> list[str]:
        """Where web servers may listen, in the order in which to try them now."""
        first = Path(self._first)
        beside = sorted(first.parent.glob(f"{first.stem}-[2-9]{first.suffix}"))
        found = [self._first, *map(str, beside)]
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
