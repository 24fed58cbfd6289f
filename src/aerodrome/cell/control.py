"""The control socket: one JSON object a line in, one a line out, for this user (or root) only.

The warm process and the agent each serve one, on their own selector. What a request means is the `answer` they pass;
here are only the lines. Nothing blocks: a client that reads slowly, or never, has its own buffers and bounds.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
import time
from typing import TYPE_CHECKING

from . import logs, specs

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LONGEST_LINE = 4 * 1024 * 1024  # bytes of a request: hundreds of units with large environments
LARGEST_BACKLOG = 4 * 1024 * 1024  # bytes of answers that a client has not read yet
MOST_CLIENTS = 64  # the controller, a status command and a few more; the longest silent one makes room
CHUNK = 64 * 1024  # bytes a read, so that one client cannot hold the loop
PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Server:
    """Serves the socket at `path`, which it makes (0600) in place of any older one. Raises OSError."""

    def __init__(
        self, path: str, selector: selectors.BaseSelector, answer: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self.path = path
        self.answer = answer
        self._selector = selector
        self._clients: list[_Client] = []
        self._listener = _listen(path)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Ends every connection and removes the socket."""
        for client in list(self._clients):
            self.drop(client)
        self._selector.unregister(self._listener)
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def watch(self, client: _Client, mask: int) -> None:
        """Waits for these selector events of the client."""
        self._selector.modify(client.connection, mask, client.handle)

    def drop(self, client: _Client) -> None:
        """Ends a connection."""
        self._clients.remove(client)
        self._selector.unregister(client.connection)
        client.connection.close()

    def _accept(self, mask: int) -> None:
        del mask
        for _ in range(MOST_CLIENTS):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # nobody more; or no descriptor is free, and the next event tries anew
                return
            self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        if not _is_ours(connection):
            logs.say("connection refused: another user's")
            connection.close()
            return
        if len(self._clients) >= MOST_CLIENTS:
            self.drop(min(self._clients, key=lambda client: client.last_heard))
        connection.settimeout(0)
        client = _Client(self, connection)
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client.handle)


class _Client:
    """One connection: what came in and is no whole line yet, and what could not be sent yet."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self.connection = connection
        self.last_heard = time.monotonic()
        self._server = server
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._leaving = False

    def handle(self, mask: int) -> None:
        """Does what the selector says is possible."""
        if self.connection.fileno() < 0:  # ended by an earlier event of the same round
            return
        try:
            if mask & selectors.EVENT_READ:
                self._receive()
            self._flush()
        except BlockingIOError:  # there was nothing after all
            return
        except OSError:  # it went away, or has sent or left unread more than is allowed
            self._server.drop(self)

    def _receive(self) -> None:
        chunk = self.connection.recv(CHUNK)
        if not chunk:
            raise ConnectionResetError
        self.last_heard = time.monotonic()
        searched = len(self._inbox)
        self._inbox += chunk
        end = self._inbox.find(b"\n", searched)
        while end >= 0:
            line = bytes(self._inbox[:end])
            del self._inbox[: end + 1]
            self._send(respond(line, self._server.answer))
            end = self._inbox.find(b"\n")
        if len(self._inbox) > LONGEST_LINE:
            self._leaving = True
            self._inbox.clear()
            self._send({"ok": False, "error": f"a request must be shorter than {LONGEST_LINE} bytes"})

    def _send(self, document: dict[str, Any]) -> None:
        self._outbox += json.dumps(document).encode() + b"\n"
        if len(self._outbox) > LARGEST_BACKLOG:
            raise BrokenPipeError

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._outbox:
                del self._outbox[: self.connection.send(self._outbox)]
        if self._leaving and not self._outbox:
            raise ConnectionResetError
        # Who leaves answers unread is not read from either: its requests wait in its own socket.
        self._server.watch(self, selectors.EVENT_WRITE if self._outbox else selectors.EVENT_READ)


def respond(line: bytes, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The answer to one line. A fault of ours is logged without its text, which might hold a part of the request."""
    try:
        request = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return {"ok": False, "error": "a request must be one JSON object in one line"}
    if not isinstance(request, dict):
        return {"ok": False, "error": "a request must be a JSON object"}
    try:
        return answer(request)
    except specs.RefusedError as error:
        return {"ok": False, "error": str(error)}
    except Exception as error:  # noqa: BLE001 - no request may end the process
        logs.fault("request failed", error)
        return {"ok": False, "error": f"cannot answer: {type(error).__name__}; the log says where"}


def _listen(path: str) -> socket.socket:
    """Bound under its own name and not renamed: others know a cell's process by the path it is bound to."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.settimeout(0)
    listener.bind(path)
    listener.listen(MOST_CLIENTS)
    os.chmod(path, 0o600)
    return listener


def _is_ours(connection: socket.socket) -> bool:
    _, uid, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    return uid in (0, os.geteuid())
