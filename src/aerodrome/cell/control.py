"""The control socket: one JSON object a line in, one a line out, for this user (or root) only.

The warm process and the agent each serve one, on their own selector. They pass an `answer` function, which knows what a
request means; this module only knows lines. Nothing blocks: a client that reads slowly, or never, has its own buffers
and bounds. An answer that takes its time is promised (`PendingAnswer`) and sent when it is there.
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
    from typing import Any, Dict, Union

    Answer = Union[Dict[str, Any], "PendingAnswer"]

LONGEST_LINE = 4 * 1024 * 1024  # bytes of a request: hundreds of units with large environments
LARGEST_BACKLOG = 4 * 1024 * 1024  # bytes of answers that a client has not read yet
MOST_CLIENTS = 64  # the controller, a status command and a few more; the longest silent one makes room
CHUNK = 64 * 1024  # bytes a read, so that one client cannot hold the loop
PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


class PendingAnswer:
    """An answer that is not there yet: its maker calls `settle` once, and may look whether anybody still waits."""

    def __init__(self) -> None:
        self.is_abandoned = False
        self._deliver: Callable[[dict[str, Any]], None] | None = None

    def settle(self, document: dict[str, Any]) -> None:
        """Sends the answer, unless nobody waits any more."""
        if self._deliver is not None and not self.is_abandoned:
            self._deliver(document)

    def bind(self, deliver: Callable[[dict[str, Any]], None]) -> None:
        """Says where the answer goes."""
        self._deliver = deliver


class Server:
    """Serves the socket at `path`, which it makes (0600) in place of any older one. Raises OSError."""

    def __init__(self, path: str, selector: selectors.BaseSelector, answer: Callable[[dict[str, Any]], Answer]) -> None:
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
        client.abandon()
        self._clients.remove(client)
        self._selector.unregister(client.connection)
        client.connection.close()

    def _accept(self, mask: int) -> None:
        del mask
        for _ in range(MOST_CLIENTS):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # nobody else waits; or no descriptor is free, and the next event tries again
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
    """One connection, with the unfinished line that came in and the bytes that could not be sent yet."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self.connection = connection
        self.last_heard = time.monotonic()
        self._server = server
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._leaving = False
        self._awaited: PendingAnswer | None = None

    def handle(self, mask: int) -> None:
        """Does what the selector says is possible."""
        if self.connection.fileno() < 0:  # ended by an earlier event of the same round
            return
        try:
            if mask & selectors.EVENT_READ:
                self._receive()
            self._flush()
        except BlockingIOError:  # there was nothing to read after all
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
        self._answer_lines(searched)
        if len(self._inbox) > LONGEST_LINE:
            self._leave({"ok": False, "error": f"a request must be shorter than {LONGEST_LINE} bytes"})

    def _answer_lines(self, searched: int = 0) -> None:
        """Answers the lines in order: a line waits while the answer to the one before it is pending."""
        end = self._inbox.find(b"\n", searched)
        while end >= 0 and self._awaited is None:
            line = bytes(self._inbox[:end])
            del self._inbox[: end + 1]
            answer = respond(line, self._server.answer)
            if answer is NO_REQUEST:
                self._leave(NO_REQUEST)
            elif isinstance(answer, PendingAnswer):
                self._awaited = answer
                answer.bind(self._resume)
            else:
                self._send(answer)
            end = self._inbox.find(b"\n")

    def _resume(self, document: dict[str, Any]) -> None:
        """The awaited answer is there."""
        self._awaited = None
        try:
            self._send(document)
            self._answer_lines()
            self._flush()
        except OSError:
            self._server.drop(self)

    def _leave(self, last: dict[str, Any]) -> None:
        """Reads no more: what follows may be the rest of something that was never meant as a request."""
        self._leaving = True
        self._inbox.clear()
        self._send(last)

    def abandon(self) -> None:
        """Tells whoever works at an answer that nobody waits for it."""
        if self._awaited is not None:
            self._awaited.is_abandoned = True

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
        # A client that leaves answers unread is not read from either: its requests wait in its own socket.
        self._server.watch(self, selectors.EVENT_WRITE if self._outbox else selectors.EVENT_READ)


NO_REQUEST: dict[str, Any] = {"ok": False, "error": "a request must be one JSON object in one line"}
"""The answer to a line that is no request. It is also the last one: a hostile page or proxy may make a program speak
HTTP to us, and must not get a request through in the body.
"""


def respond(line: bytes, answer: Callable[[dict[str, Any]], Answer]) -> Answer:
    """The answer to one line. A fault of ours is logged without its text, which might quote the request."""
    try:
        request = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return NO_REQUEST
    if not isinstance(request, dict):
        return NO_REQUEST
    try:
        return answer(request)
    except specs.RefusedError as error:
        return {"ok": False, "error": str(error)}
    except Exception as error:  # noqa: BLE001 - no request may end the process
        logs.fault("request failed", error)
        return {"ok": False, "error": f"cannot answer: {type(error).__name__}; the log says where"}


def _listen(path: str) -> socket.socket:
    """Binds under the final name, without a rename: others know a cell's process by the path that it is bound to."""
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
