"""Passes an HTTP request on and its answer back, both as a stream: the core of all our proxies.

The API's way to other AWS services (`api.upstream`) and the gateway's way to Airflow's web servers (`gateway.proxy`)
share it. They decide what may pass, under which name, and how a failure is told. This module removes only headers for
one hop (RFC 9110, 7.6.1). It buffers, decompresses, follows and repeats nothing. If the client goes away, its request
is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from multidict import CIMultiDict
from starlette.types import Receive, Scope, Send
from yarl import URL

log = structlog.get_logger("aerodrome.forwarding")

Headers = Sequence[tuple[bytes, bytes]]
"""As ASGI has them: names in lower case."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",  # our listener has answered it already
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

SET_BY_LISTENER = frozenset({b"date", b"server"})
"""Response headers that our own listener writes."""

CHUNK = 256 * 1024
"""Bytes of an answer passed on at a time; arbitrary."""

WHOLE = 64 * 1024
"""An answer of this declared length or less is sent in one piece, which saves a small one two system calls."""

_UNTOUCHED = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})
"""Headers that the client library would add by itself."""


class UnansweredError(Exception):
    """No answer came; nothing has been sent to the client."""

    def __init__(self, reason: str, *, has_reached: bool) -> None:
        super().__init__(reason)
        self.has_reached = has_reached
        """False when there was no connection, so that nothing can have happened there."""


class TooLongError(Exception):
    """The request's body is longer than allowed; nothing has been sent to the client."""


class TooSlowError(Exception):
    """The request's body did not arrive in time; nothing has been sent to the client."""


class GoneError(Exception):
    """The client went while its body was arriving, so there is nobody to answer."""


def client(connector: aiohttp.BaseConnector, *, connect: float) -> aiohttp.ClientSession:
    """A client that adds nothing of its own. `connect` is in seconds; an answer may take any time."""
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_UNTOUCHED,
    )


class Onward:
    """A server that requests are passed on to; an asynchronous context that holds the client."""

    def __init__(self, connector: Callable[[], aiohttp.BaseConnector], *, connect: float) -> None:
        self._connector = connector
        self._connect = connect
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The client, within the context."""
        assert self._session is not None  # noqa: S101  (the application's lifespan has entered it)
        return self._session

    async def __aenter__(self) -> Self:
        self._session = client(self._connector(), connect=self._connect)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()


def passed(headers: Iterable[tuple[bytes, bytes]], also: frozenset[bytes] = frozenset()) -> list[tuple[bytes, bytes]]:
    """Headers, in lower case, without those for one hop, those that Connection names, and those in `also`."""
    found = [(name.lower(), value) for name, value in headers]
    dropped = HOP_BY_HOP | also
    for name, value in found:
        if name == b"connection":
            dropped |= {token.strip().lower() for token in value.split(b",")}
    return [header for header in found if header[0] not in dropped]


class Body:
    """A request's body as it arrives."""

    def __init__(
        self, scope: Scope, receive: Receive, *, limit: int | None = None, seconds: float | None = None
    ) -> None:
        names = {name: value for name, value in scope["headers"] if name in {b"content-length", b"transfer-encoding"}}
        length = names.get(b"content-length", b"0")
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._over = asyncio.Event()
        self.is_empty = b"transfer-encoding" not in names and length == b"0"
        self.is_too_long = limit is not None and int(length) > limit
        self.failure: Exception | None = None
        if self.is_empty:
            self._over.set()

    @property
    def is_over(self) -> bool:
        """Whether all of it has arrived."""
        return self._over.is_set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body; an error that ends it early is kept in `failure` and raised."""
        length = 0
        deadline = None if self._seconds is None else asyncio.get_running_loop().time() + self._seconds
        while not self.is_over:
            chunk = await self._next(deadline)
            length += len(chunk)
            if self._limit is not None and length > self._limit:
                self.failure = TooLongError()
                raise self.failure
            if chunk:
                yield chunk

    async def _next(self, deadline: float | None) -> bytes:
        try:
            async with asyncio.timeout_at(deadline):
                message = await self._receive()
        except TimeoutError:
            self.failure = TooSlowError()
            raise self.failure from None
        if message["type"] == "http.disconnect":
            self.failure = GoneError()
            raise self.failure
        if not message.get("more_body", False):
            self._over.set()
        return message.get("body", b"")  # type: ignore[no-any-return]  # ASGI messages are untyped

    async def until_gone(self) -> None:
        """Returns when the client has gone. Nobody looks while the body arrives: that would take a part of it."""
        await self._over.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    headers: Headers,
    body: Body,
    send: Send,
    *,
    returned: Callable[[int, Headers], tuple[int, list[tuple[bytes, bytes]]]],
) -> int | None:
    """Send a request and give its answer back; returns the status, or None when the client went away before the end.

    `returned` turns the answer's status and headers into those that the client sees. If an answer breaks off, the
    client's answer breaks off too, so that the client can see that.

    Raises:
        UnansweredError: no answer came.
        TooLongError, TooSlowError: the body is not as allowed.
    """
    if body.is_too_long:
        raise TooLongError
    watch = _Watch(body)
    async with watch:
        response = await _answer(session, method, url, headers, body)
        async with response:
            status, given = returned(response.status, response.raw_headers)
            started = {"type": "http.response.start", "status": status, "headers": given}
            last = await _streamed(response, started, send)
        if last is None:
            return status
        watch.end()
        await send({"type": "http.response.body", "body": last, "more_body": False})
        return status
    return None


async def _answer(
    session: aiohttp.ClientSession, method: str, url: URL, headers: Headers, body: Body
) -> aiohttp.ClientResponse:
    try:
        return await session.request(
            method,
            url,
            headers=CIMultiDict(_text(*header) for header in headers),
            data=None if body.is_empty else body.chunks(),
            allow_redirects=False,
        )
    except (aiohttp.ClientError, TimeoutError) as error:
        if body.failure is not None:
            raise body.failure from None
        has_reached = not isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
        raise UnansweredError(type(error).__name__, has_reached=has_reached) from error


async def _streamed(response: aiohttp.ClientResponse, started: dict[str, object], send: Send) -> bytes | None:
    """Send the answer's beginning and all of it but the last piece, which is returned; None when it broke off."""
    has_started = False
    try:
        if response.content_length is not None and response.content_length <= WHOLE:
            whole = await response.read()
            await send(started)
            return whole
        await send(started)
        has_started = True
        async for chunk in response.content.iter_any():
            for begin in range(0, len(chunk), CHUNK):
                await send({"type": "http.response.body", "body": chunk[begin : begin + CHUNK], "more_body": True})
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("answer_broke_off", error=type(error).__name__)
        if not has_started:
            await send(started)
        return None
    return b""


def _text(name: bytes, value: bytes) -> tuple[str, str]:
    """A header for the client library, which writes UTF-8, so that the bytes leave as they came."""
    try:
        return name.decode("latin-1"), value.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1"), value.decode("latin-1")


class _Watch:
    """A block that ends without an error as soon as the client has gone away."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._has_fired = False
        self._watcher: asyncio.Task[None] | None = None
        self._watched: asyncio.Task[object] | None = None

    async def __aenter__(self) -> Self:
        self._watched = asyncio.current_task()
        self._watcher = asyncio.create_task(self._watch())
        return self

    def end(self) -> None:
        """Stop watching: the last piece of the answer is about to be sent."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def _watch(self) -> None:
        await self._body.until_gone()
        if self._watched is not None:
            self._has_fired = True
            self._watched.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.end()
        if kind is GoneError:
            return True
        if not self._has_fired or self._watched is None:
            return False
        return self._watched.uncancel() == 0 and kind is not None and issubclass(kind, asyncio.CancelledError)
