"""HTTP/1.1 as the gateway's listeners read it: uvicorn's fast parser, made strict and given bounds.

llhttp refuses what request smuggling is made of (two lengths, length beside chunks, folded lines, bare line feeds).
This module adds what llhttp lets pass and a server must bound: heads in size and time, requests in absolute form for
another host, upgrades, trailers, bodies that were answered already, readers that never read, connections that do
nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS = 10.0
"""Within which a whole head must arrive; a browser needs one packet."""

HEAD_BYTES = 64 * 1024
"""Of request line and headers; browsers' cookies stay far below."""

MOST_HEADERS = 128

LINGER_SECONDS = 5.0
"""For which the rest of a body that was answered already is read and dropped, so that the client sees the answer."""

WRITE_SECONDS = 60.0
"""For which a client may leave a full buffer unread."""

MOST_CONNECTIONS = 2000
"""On one listener; for a further one, the connection is closed that has sent no whole head for the longest."""

_QUIET = logging.getLogger("aerodrome.gateway.protocol")
_QUIET.setLevel(logging.ERROR)  # whoever sends rubbish must not fill the log


class _BadRequestError(Exception):
    """Raised within the parser, which stops it."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._in_head = True
        self._has_completed = False
        """Whether a message has ended within the piece that is being read."""
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._waiting_since: float | None = self.loop.time()
        self._status = 400
        self.logger = _QUIET

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._write_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._has_completed = False
        super().data_received(data)
        if self._in_head and not self._has_completed and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._status = 431
                self.send_400_response("The request's head is too long.")
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def send_400_response(self, msg: str) -> None:
        content = msg.encode()
        lines = [
            STATUS_LINE[self._status].rstrip(b"\r\n"),
            b"content-type: text/plain; charset=utf-8",
            b"content-length: %d" % len(content),
            b"connection: close",
        ]
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(b"\r\n".join([*lines, b"", content]))
        self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            raise _BadRequestError("a trailer")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._judge_head()
        self._in_head = False
        self._waiting_since = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        self._has_completed = True
        self._head_bytes = 0
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline:
            self._waiting_since = self.loop.time()
        if not self._in_head and self._linger_timer is None and not self.transport.is_closing():
            self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _judge_head(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_BYTES or len(self.headers) > MOST_HEADERS:
            self._status = 431
            raise _BadRequestError("the head is too long")
        version = self.parser.get_http_version()
        if version not in {"1.0", "1.1"} or self.parser.should_upgrade():
            raise _BadRequestError("another protocol")
        named = dict(self.headers)
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise _BadRequestError("two hosts")
        coding = named.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
            raise _BadRequestError("another transfer coding")
        if not self.url.startswith(b"/"):
            self._judge_absolute_form(named.get(b"host", b""))

    def _judge_absolute_form(self, host: bytes) -> None:
        """A request line with a whole URL, as to a proxy: it must name the host that the Host header names."""
        parsed = httptools.parse_url(self.url)
        authority = parsed.host or b""
        if parsed.port is not None:
            authority += b":%d" % parsed.port
        if parsed.schema.lower() not in {b"https", b"http"} or parsed.userinfo or authority.lower() != host.lower():
            raise _BadRequestError("a request line for another host")

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # What came waits behind a request that is still being answered; its own time begins after that.
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)
        else:
            self.transport.abort()

    def _make_room(self) -> None:
        """Close the connection that has waited the longest without a request; this one counts as well."""
        waiting = [(since, each) for each in self.connections if (since := getattr(each, "_waiting_since", None))]
        _, oldest = min(waiting, key=lambda pair: pair[0], default=(None, self))
        oldest.transport.abort()
