"""Requests for other AWS services, passed on to the configured endpoint and back, both ways as a stream.

`front` calls it for all that is not ours. Path, query, Host and headers go as they came, so that signatures and virtual
hosts hold; only what HTTP means for one hop (RFC 9110, 7.6.1) stays behind. Nothing is buffered, decompressed, followed
or repeated.
"""

from __future__ import annotations

import html
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from multidict import CIMultiDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send
from yarl import URL

log = structlog.get_logger("aerodrome.api")

HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",  # our listener has answered it already
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

SET_BY_LISTENER = frozenset({"date", "server"})
"""Response headers that our own listener writes."""

CHUNK = 256 * 1024
"""Bytes read from upstream at a time; arbitrary."""

CONNECT_SECONDS = 5.0
"""A local endpoint answers at once or is away; arbitrary."""

_UNTOUCHED = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})
"""Headers that the client library would add by itself."""


class Upstream:
    """The endpoint of other AWS services; an asynchronous context that holds the client."""

    def __init__(self, endpoint_url: str | None) -> None:
        self._base = endpoint_url.rstrip("/") if endpoint_url else None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # A connection kept alive may be closed just as it is used again, and a half-sent body cannot be repeated:
        # every request has its own.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_UNTOUCHED,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def pass_on(self, request: Request, raw_path: str, send: Send) -> None:
        """Answer `request` with what the endpoint answers; `raw_path` is not decoded."""
        if self._base is None or self._session is None:
            sentence = "Aerodrome answers for MWAA only; this request is for another AWS service: send it to AWS itself"
            await _refuse(request, send, 421, "MisdirectedRequest", sentence)
            return
        body = _Body(request)
        headers = passed_headers([_text(*header) for header in request.scope["headers"]], also=frozenset())
        try:
            response = await self._session.request(
                request.method,
                _url(self._base, raw_path, request),
                headers=headers,
                data=None if body.is_over else body.chunks(),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            if await request.is_disconnected():
                return
            log.warning("upstream_away", error=type(error).__name__)
            sentence = "The AWS endpoint behind Aerodrome cannot be reached: see `aerodrome status`, then try again"
            await _refuse(request, send, 503, "ServiceUnavailable", sentence)
            return
        async with response:
            await _send_back(response, body, send)


def passed_headers(headers: list[tuple[str, str]], *, also: frozenset[str]) -> CIMultiDict[str]:
    """Headers without those of one hop, those that Connection names, and those in `also`."""
    named = {
        token.strip().lower() for name, value in headers if name.lower() == "connection" for token in value.split(",")
    }
    dropped = HOP_BY_HOP | also | named
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in dropped)


def _text(name: bytes, value: bytes) -> tuple[str, str]:
    """A header for the client library, which writes UTF-8: that comes out as it came in."""
    try:
        return name.decode("latin-1"), value.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1"), value.decode("latin-1")


def _url(base: str, raw_path: str, request: Request) -> URL:
    query = str(request.scope["query_string"], "latin-1")
    target = f"{raw_path}?{query}" if query else raw_path
    return URL(base + target.replace("#", "%23"), encoded=True)  # a bare '#' would cut the rest off


@dataclass
class _Body:
    """A request's body as it arrives, and whether all of it has."""

    request: Request
    is_over: bool = False

    def __post_init__(self) -> None:
        headers = self.request.headers
        self.is_over = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self.request.stream():
            if chunk:
                yield chunk
        self.is_over = True

    async def has_nobody_waiting(self) -> bool:
        """True when the client has gone. While its body still arrives nobody may look: looking would eat of it."""
        return self.is_over and await self.request.is_disconnected()


async def _send_back(response: aiohttp.ClientResponse, body: _Body, send: Send) -> None:
    """The answer as it arrives; one that breaks off is left incomplete, so that the client sees it broken off."""
    received = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
    kept = passed_headers(received, also=SET_BY_LISTENER)
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in kept.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    try:
        async for chunk in response.content.iter_chunked(CHUNK):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if await body.has_nobody_waiting():
                return
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("upstream_broke_off", error=type(error).__name__)
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(request: Request, send: Send, status: int, code: str, sentence: str) -> None:
    """An error in the form that the request's protocol has: JSON for JSON protocols, else XML."""
    kind = request.headers.get("content-type", "")
    if "x-amz-target" in request.headers or "json" in kind:
        content, media_type = json.dumps({"__type": code, "message": sentence}), "application/json"
    else:
        error = f"<Error><Code>{code}</Code><Message>{html.escape(sentence)}</Message></Error>"
        is_query = "x-www-form-urlencoded" in kind
        content, media_type = f"<ErrorResponse>{error}</ErrorResponse>" if is_query else error, "application/xml"
    headers = {"x-amzn-errortype": code, "connection": "close"}  # a body may be on its way that nobody will read
    response = Response(content, status_code=status, headers=headers, media_type=media_type)
    await response(request.scope, request.receive, send)
