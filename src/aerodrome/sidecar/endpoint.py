"""The container-credentials endpoint: how a unit's AWS SDK gets the role's keys without any key in its environment.

A unit is told `AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:<port>/credentials` and
`AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`; each SDK then sends the file's content as `Authorization`. Every unit counts
as hostile: requests are bounded in size, time and number. The endpoint runs in a thread of its own and only reads what
`credentials` holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import socket
import threading
from collections.abc import Callable, MutableMapping
from datetime import UTC
from http import HTTPStatus
from pathlib import Path

import structlog

from aerodrome.errors import BrokenError
from aerodrome.listening import heads
from aerodrome.sidecar.credentials import RoleCredentials

PATH = "/credentials"

VARIABLE = "AERODROME_LISTEN_FD"

HEAD_LIMIT = 8 * 1024
"""Bytes of request line and headers; an SDK sends about 300."""

DEADLINE = 5.0
"""Seconds for a whole exchange; SDKs give up after 2."""

MAX_CONNECTIONS = 64
"""At once; more than the processes of one environment that start together. Others are closed without an answer."""

MAX_LEFTOVERS = 16
"""Reads of what a client sends beyond its request (a body, say) before its connection is cut."""

SHORTEST_TOKEN = 16
"""Characters; an empty or truncated file must open nothing."""

LONGEST_TOKEN = 4096

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
    """The listener and its thread. `decide` turns a request's head into an answer and runs in that thread."""

    def __init__(self, listener: socket.socket, *, decide: Callable[[bytes], Answer]) -> None:
        self._decide = decide
        self._open = 0
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
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._socket, limit=HEAD_LIMIT))
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(_cancel_all())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MAX_CONNECTIONS:
                async with asyncio.timeout(DEADLINE):
                    await self._exchange(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # the client was slow or went away; there is nobody to tell
        except Exception:
            log.exception("a credentials request failed")
        finally:
            self._open -= 1
            # Not close(): unsent bytes to a client that never reads would keep the connection open beyond the deadline.
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            head = b""
        status, document = self._decide(head) if head else MALFORMED
        body = json.dumps(document).encode()
        writer.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        # Wait until the client has closed, or an abort could take the answer away from it.
        for _ in range(MAX_LEFTOVERS):
            if not await reader.read(HEAD_LIMIT):
                return


def listener(port: int, environment: MutableMapping[str, str]) -> socket.socket:
    """What the endpoint listens on: the socket that the cell holds for us, or one of our own on that port."""
    number = environment.pop(VARIABLE, "")
    if number.isdecimal():
        os.set_inheritable(int(number), False)  # noqa: FBT003 - the standard library's own signature
        given = socket.socket(fileno=int(number))
        given.listen(MAX_CONNECTIONS)
        # Only now, when nobody else gets in: ended connections must not keep the port from our successor.
        given.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return given
    return _listen(port)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        listener.bind(("127.0.0.1", port))
        listener.listen(MAX_CONNECTIONS)
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
