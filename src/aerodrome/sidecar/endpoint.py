"""The port that units reach the sidecar at: for the role's keys, and for spans that they want to be sent (`traces`).

It is the container-credentials endpoint: how a unit's AWS SDK gets keys without any key in its environment.

A unit is told `AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:<port>/credentials` and
`AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`; each SDK then sends the file's content as `Authorization`. Every unit counts
as hostile: requests are bounded in size, time and number. A connection of a user who is not the environment's own is
closed before a byte of it is read, for it can only be there to take a place. The endpoint runs in a thread of its own
and only reads what `credentials` holds. Spans need no token: whose a connection is says enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, MutableMapping
from datetime import UTC
from http import HTTPStatus
from pathlib import Path

import structlog

from aerodrome.budget import Budget, BusyError
from aerodrome.errors import BrokenError
from aerodrome.listening import heads, peers
from aerodrome.listening.crowd import Client, ClientPhase, ConnectionLimits, Crowd
from aerodrome.otlp.collector import CONTENT_TYPE
from aerodrome.sidecar import traces
from aerodrome.sidecar.credentials import RoleCredentials

PATH = "/credentials"

VARIABLE = "AERODROME_LISTEN_FD"

HEAD_LIMIT = 8 * 1024
"""Bytes of request line and headers; an SDK sends about 300."""

DEADLINE = 5.0
"""Seconds for a whole exchange; SDKs give up after 2."""

MAX_CONNECTIONS = 64
"""At once; more than the processes of one environment that start together. Then one that has sent no whole request for
the longest makes room."""

LIMITS = ConnectionLimits(total=MAX_CONNECTIONS, each_peer=48, bodies_each_peer=48, settled_seconds=0.0)
"""Whatever one user of the environment does, another one finds room; the newest always does."""

BACKLOG = 1024
"""Connections that the kernel holds until they are looked at, strangers' among them."""

SPANS_HELD = 4 * traces.LONGEST_BODY
"""Bytes of requests with spans that are read at one time; one user of the environment has half of them."""

MAX_LEFTOVERS = 16
"""Reads of what a client sends beyond its request (a body, say) before its connection is cut."""

SHORTEST_TOKEN = 16
"""Characters; an empty or truncated file must open nothing."""

LONGEST_TOKEN = 4096

CAN_TELL = sys.platform == "linux"
"""Whether the kernel says whose a connection over loopback is."""

log = structlog.get_logger("sidecar.endpoint")

Answer = tuple[HTTPStatus, dict[str, str]]

MALFORMED: Answer = (HTTPStatus.BAD_REQUEST, {"code": "BadRequest", "message": "This is not an HTTP request."})

UNAUTHORIZED: Answer = (
    HTTPStatus.UNAUTHORIZED,
    {"code": "Unauthorized", "message": "The Authorization header is missing."},
)

FORBIDDEN: Answer = (
    HTTPStatus.FORBIDDEN,
    {"code": "Forbidden", "message": "The Authorization header is not this environment's."},
)


class TokenFile:
    """The token that units prove themselves with; made by somebody else, and read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._token: bytes | None = None

    def read(self) -> bytes | None:
        """The token; None while there is no usable one, and then nobody is let in."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp != self._stamp:
                with self._path.open("rb") as file:
                    token = file.read(LONGEST_TOKEN + 1).strip()
                self._token = token if SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN else None
                self._stamp = stamp
        except OSError:
            self._stamp = self._token = None
        return self._token


def answer(raw: bytes, *, token: bytes | None, credentials: RoleCredentials | None, trouble: str | None) -> Answer:
    """Decide about one request by its head. `trouble` is the sentence that says why there are no credentials."""
    try:
        head = heads.read(raw)
    except heads.BadHeadError:
        return MALFORMED
    shown = [value for name, value in head.headers if name == b"authorization"]
    if not shown:
        return UNAUTHORIZED
    if len(shown) > 1 or token is None or not hmac.compare_digest(shown[0], token):
        return FORBIDDEN
    return _answer_unit(head.method, head.target, credentials, trouble)


def _answer_unit(method: bytes, target: bytes, credentials: RoleCredentials | None, trouble: str | None) -> Answer:
    if method != b"GET":
        return HTTPStatus.METHOD_NOT_ALLOWED, {"code": "MethodNotAllowed", "message": "Only GET is answered."}
    if target != PATH.encode():
        return HTTPStatus.NOT_FOUND, {"code": "NotFound", "message": f"Only {PATH} is here."}
    if credentials is None:
        why = trouble or "The execution role has not been assumed yet."
        return HTTPStatus.SERVICE_UNAVAILABLE, {"code": "ServiceUnavailable", "message": why}
    return HTTPStatus.OK, _document(credentials)


def _document(credentials: RoleCredentials) -> dict[str, str]:
    return {
        "AccessKeyId": credentials.keys.access_key_id,
        "SecretAccessKey": credentials.keys.secret_access_key,
        "Token": credentials.keys.session_token or "",
        "Expiration": credentials.expiration.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "RoleArn": credentials.role_arn,
    }


class CredentialsEndpoint:
    """The listener and its thread. `decide` turns a request's head into an answer and runs in that thread.

    `users` are the environment's own, who may connect beside root and ourselves; None = anybody of this machine.
    `take` takes the body of a request with spans.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        decide: Callable[[bytes], Answer],
        users: Iterable[int] | None,
        take: Callable[[bytes], HTTPStatus],
    ) -> None:
        self._decide = decide
        self._take = take
        self._spans = Budget(SPANS_HELD, each=SPANS_HELD // 2, patience=0.0)
        self._users = None if users is None else frozenset((*users, 0, os.geteuid()))
        self._crowd = Crowd(LIMITS)
        self._open: dict[Client, asyncio.StreamWriter] = {}
        self._loop = asyncio.new_event_loop()
        self._socket = listener
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="credentials", daemon=True)

    def start(self) -> None:
        """Answer from now on; connections made since construction are waiting already."""
        self._thread.start()

    def is_sound(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Close the listener and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        starting = asyncio.start_server(self._serve, sock=self._socket, limit=HEAD_LIMIT, backlog=BACKLOG)
        server = self._loop.run_until_complete(starting)
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(_cancel_all())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client: Client | None = None
        try:
            client = self._entered(writer)
            if client is not None:
                async with asyncio.timeout(DEADLINE):
                    await self._exchange(client, reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # the client was slow or went away; there is nobody to tell
        except Exception:
            log.exception("a credentials request failed")
        finally:
            if client is not None:
                self._open.pop(client, None)
                self._crowd.leave(client)
            # Not close(): unsent bytes to a client that never reads would keep the connection open beyond the deadline.
            writer.transport.abort()

    def _entered(self, writer: asyncio.StreamWriter) -> Client | None:
        """The client, for whom another one may have to leave; None = a stranger, or there is no room.

        Raises:
            OSError: it is gone.
        """
        connection = writer.get_extra_info("socket")
        user = peers.uid(connection) if CAN_TELL else os.geteuid()
        if self._users is not None and user not in self._users:
            return None
        client = Client(f"uid {user}", self._loop.time())
        room = self._crowd.enter(client, self._loop.time())
        if room.leaving is not None:
            self._open.pop(room.leaving).transport.abort()
            self._crowd.leave(room.leaving)
        if not room.is_free:
            self._crowd.leave(client)
            return None
        self._open[client] = writer
        return client

    async def _exchange(self, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            head = b""
        self._crowd.move(client, ClientPhase.SERVED, self._loop.time())
        length = traces.asked(head)
        if length is None:
            status, document = self._decide(head) if head else MALFORMED
            kind, body = "application/json", json.dumps(document).encode()
        else:
            # What OTLP answers is a message, and without anything to tell it has no bytes.
            status, kind, body = await self._taken(client, reader, length), CONTENT_TYPE, b""
        writer.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        self._crowd.move(client, ClientPhase.LEAVING, self._loop.time())
        # Wait until the client has closed, or an abort could take the answer away from it.
        for _ in range(MAX_LEFTOVERS):
            if not await reader.read(HEAD_LIMIT):
                return

    async def _taken(self, client: Client, reader: asyncio.StreamReader, length: int | HTTPStatus) -> HTTPStatus:
        """What became of a request with so many bytes of spans, or of one that is refused by its head."""
        if isinstance(length, HTTPStatus):
            return length
        try:
            async with self._spans.share(length, client.peer):
                body = await reader.readexactly(length)
                return self._take(body)
        except BusyError:
            return HTTPStatus.SERVICE_UNAVAILABLE


def listener(port: int, environment: MutableMapping[str, str]) -> socket.socket:
    """What the endpoint listens on: the socket that the cell holds for us, or one of our own on that port."""
    number = environment.pop(VARIABLE, "")
    if number.isdecimal():
        os.set_inheritable(int(number), False)  # noqa: FBT003 - the standard library's own signature
        given = socket.socket(fileno=int(number))
        given.listen(BACKLOG)
        # Only now, when nobody else gets in: ended connections must not keep the port from our successor.
        given.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return given
    return _listen(port)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BrokenError(
            f"cannot listen on 127.0.0.1:{port} for credentials: {error.strerror}", code="SIDECAR_PORT"
        ) from error
    return listener


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
