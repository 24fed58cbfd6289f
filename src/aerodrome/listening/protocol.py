"""HTTP/1.1 as every listener of ours under uvicorn reads it: its fast parser, made strict and given bounds.

`heads` says what is no request, `crowd` which client makes room or is too slow; this module acts on it. It bounds the
size and time of heads, the number of connections, the rate of bodies, pipelines, bodies that have their answer already,
and clients that never read. The application bounds the size of bodies.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from aerodrome.listening import crowd, heads, peers
from aerodrome.listening.crowd import Client, ClientPhase, ConnectionLimits, Crowd, Room

HEAD_SECONDS = 10.0
"""Seconds in which a whole head must arrive; a client needs one packet."""

LINGER_SECONDS = 5.0
"""Seconds for which the rest of a body is dropped after the answer, so that the client sees the answer."""

WRITE_SECONDS = 60.0
"""Seconds for which a client may leave a full buffer unread."""

DEEPEST_PIPELINE = 16
"""Requests that wait for the answer to another on their connection; browsers and SDKs send none."""

PEER = "aerodrome.peer"
"""In an ASGI scope's extensions: `name`, who is at the other end."""

PASSING_ON = "aerodrome.passing_on"
"""In an ASGI scope's extensions: `asked`, a function that says whether the request may be passed on."""

_QUIET = logging.getLogger("aerodrome.listening")
_QUIET.setLevel(logging.ERROR)  # a client that sends rubbish must not fill the log

_TIMEOUT, _TOO_LARGE, _CROWDED = 408, 431, 503


class _BadRequestError(Exception):
    """Raised within the parser, which stops it."""


class _Listener:
    """What the connections of one listener share."""

    def __init__(self, limits: ConnectionLimits, arrived: Callable[[int], None]) -> None:
        self.crowd = Crowd(limits)
        self.arrived = arrived
        self.connections: dict[Client, BoundedProtocol] = {}


def bounded(limits: ConnectionLimits, arrived: Callable[[int], None]) -> Callable[..., BoundedProtocol]:
    """The protocol of one listener, for uvicorn's `http`; `arrived` is told each connection's descriptor."""
    return functools.partial(BoundedProtocol, listener=_Listener(limits, arrived))


def peer_of(scope: Scope) -> str:
    """Who is at the other end, as `peers.of` names it; empty behind another server."""
    extension = (scope.get("extensions") or {}).get(PEER)
    return "" if extension is None else str(extension["name"])


def may_pass_on(scope: Scope) -> bool:
    """Whether one more request may wait for another server; ask before it is passed on."""
    extension = (scope.get("extensions") or {}).get(PASSING_ON)
    return extension is None or bool(extension["asked"]())


class BoundedProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *positional: Any, listener: _Listener, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._listener = listener
        self._client = Client("", self.loop.time())
        self._framing: bytes | None = None
        """Where the body ends of a request that offers another protocol; else None."""
        self._is_muted = False
        """Whether the parser is being told again what it has read already."""
        self._in_head = True
        self._has_begun = False
        """Whether a part of the next head has come."""
        self._has_completed = False
        """Whether a message has ended within the piece that is being read."""
        self._between = 0
        """Bytes of a head, or between two pieces of a body (chunks' sizes, trailers), that the parser holds."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._rate_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._has_place = False
        """Whether this body has a place, as one that did not come with its head."""
        self._counted = 0
        """Bytes of the body at the last look at its rate."""
        self._has_held_back = False
        """Whether we stopped reading for a while since then: if so, the client is not the slow one."""
        self._refusal = heads.BadHeadError("Invalid HTTP request received.")
        self.logger = _QUIET

    # What happens to the connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        self._listener.arrived(connection.fileno())
        self._client = Client(peers.of(connection), self.loop.time())
        self._listener.connections[self._client] = self
        room = self._listener.crowd.enter(self._client, self.loop.time())
        self._make(room)
        if room.is_free:
            self._await_head()
        else:
            self._refuse(_CROWDED, "There are too many connections: close some, or try again in a moment.")

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._rate_timer, self._write_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        self._listener.crowd.leave(self._client)
        self._listener.connections.pop(self._client, None)
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._has_completed = False
        received = self._client.received
        self._parse(data)
        if self.transport.is_closing():
            return
        if self._in_head and (self._has_begun or not self._has_completed):
            self._count(0 if self._has_completed else len(data))
            self._await_head()
        elif not self._in_head:
            self._count(len(data) if self._client.received == received else -self._between)
            self._begin_body()
            self._watch_rate()

    def _parse(self, data: bytes) -> None:
        """Have it read; an offer to speak another protocol (`Upgrade`) is ignored, as RFC 9110 (7.8) allows."""
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
                self._go_on()
            except httptools.HttpParserError:
                self.send_400_response("")
                return
            else:
                return

    def _go_on(self) -> None:
        """Behind the head of such an offer the parser sees no body but another protocol; another parser reads it."""
        framing, self._framing = self._framing, None
        if framing is not None:
            self.parser = httptools.HttpRequestParser(self)
            self._is_muted = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
            self._is_muted = False

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # What the parser finds.

    def on_url(self, url: bytes) -> None:
        if not self._is_muted:
            super().on_url(url)

    def on_message_begin(self) -> None:
        if self._is_muted:
            return
        super().on_message_begin()
        self.scope["extensions"] = {PASSING_ON: {"asked": self._may_pass_on}, PEER: {"name": self._client.peer}}
        self._has_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head and not self._is_muted:  # else it is a trailer, which we do not use
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_muted:
            return
        parser = self.parser
        head = heads.Head(parser.get_method(), self.url, parser.get_http_version(), self.headers)
        try:
            self.url = heads.origin_form(head)
        except heads.BadHeadError as error:
            self._refusal = error
            raise
        if len(self.pipeline) >= DEEPEST_PIPELINE:
            raise _BadRequestError("a pipeline")
        self._framing = heads.framing(self.headers) if parser.should_upgrade() else None
        self._in_head = self._has_begun = False
        self._between = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()
        if not self.pipeline:
            self._client.received = self._counted = 0
            self._has_place = False
            self._enter(ClientPhase.BODY)

    def on_body(self, body: bytes) -> None:
        self._client.received += len(body)
        super().on_body(body)
        self._has_held_back |= self.flow.read_paused

    def on_message_complete(self) -> None:
        if self._framing is not None:
            return  # its body is still to come
        super().on_message_complete()
        self._in_head = self._has_completed = True
        self._between = 0
        if self._rate_timer is not None:
            self._rate_timer.cancel()
            self._rate_timer = None
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        if self._client.phase is ClientPhase.BODY:
            self._enter(ClientPhase.SERVED)
        elif self._client.phase is ClientPhase.LEAVING:
            self._enter(ClientPhase.HEAD)

    # What the application has done.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._listener.crowd.answered(self._client)
        if not self.cycle.response_complete:
            return  # the next of a pipeline has begun
        if self._in_head:
            self._enter(ClientPhase.HEAD)
        elif not self.transport.is_closing():
            self._drop_the_rest()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        async def unless_refused(*asgi: Any) -> None:
            if not cycle.disconnected:
                await app(*asgi)

        super()._start_asgi_task(cycle, unless_refused)

    def send_400_response(self, msg: str) -> None:
        del msg
        self._refuse(self._refusal.status, str(self._refusal))

    def _drop_the_rest(self) -> None:
        """Drop the rest of a body that has its answer already."""
        self._enter(ClientPhase.LEAVING)
        if self.expect_100_continue and not self._client.received:
            self.transport.close()  # the client was not told to go on, so what it sends next may be another request
        elif self._linger_timer is None:
            self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _enter(self, phase: ClientPhase) -> None:
        self._listener.crowd.move(self._client, phase, self.loop.time())

    def _may_pass_on(self) -> bool:
        room = self._listener.crowd.pass_on(self._client, self.loop.time())
        self._make(room)
        return room.is_free

    # What is done about it.

    def _make(self, room: Room) -> None:
        """Close the connection of the client that has to go."""
        leaving = self._listener.connections.get(room.leaving) if room.leaving is not None else None
        if leaving is not None:
            leaving.make_room()

    def make_room(self) -> None:
        """Close this connection for the sake of another."""
        self._listener.crowd.leave(self._client)
        if self._client.phase is ClientPhase.BODY:
            self._refuse(_CROWDED, "The body came slowly while others waited for the place: send it again.")
        else:
            self.transport.abort()

    def _refuse(self, status: int, sentence: str) -> None:
        """Say so, unless an answer is on its way already, and close."""
        content = b"<html>%s</html>" % sentence.encode()  # AWS's SDKs read nothing else, and would not try again
        lines = [
            STATUS_LINE[status].rstrip(b"\r\n"),
            b"content-type: text/html; charset=utf-8",
            b"content-length: %d" % len(content),
            b"connection: close",
            *([b"retry-after: 1"] if status == _CROWDED else []),
        ]
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started or self.pipeline:
                self.transport.abort()
                return
            self.cycle.disconnected = True  # or its answer would follow ours
            self.cycle.message_event.set()
        self.transport.write(b"\r\n".join([*lines, b"", content]))
        self.transport.close()

    def _count(self, size: int) -> None:
        self._between += size
        if self._between > heads.LONGEST:
            self._refuse(_TOO_LARGE, "The request's head is too long.")

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # What came waits behind a request that is still being answered; its own time begins after that.
            self._await_head()
        else:
            self.transport.abort()

    def _begin_body(self) -> None:
        if not self._has_place and self._client.phase is ClientPhase.BODY and not self.transport.is_closing():
            room = self._listener.crowd.begin_body(self._client, self.loop.time())
            self._make(room)
            self._has_place = room.is_free
            if not room.is_free:
                self._refuse(_CROWDED, "There are too many uploads: end some, or try again in a moment.")

    def _watch_rate(self) -> None:
        if self._rate_timer is None and self._client.phase is ClientPhase.BODY and not self.transport.is_closing():
            self._counted = self._client.received
            self._has_held_back = self.flow.read_paused
            self._rate_timer = self.loop.call_later(crowd.WINDOW_SECONDS, self._judge_rate)

    def _judge_rate(self) -> None:
        self._rate_timer = None
        arrived = self._client.received - self._counted
        if self._has_held_back or not crowd.is_too_slow(arrived, crowd.WINDOW_SECONDS):
            self._watch_rate()
        else:
            self._refuse(_TIMEOUT, f"The body must come with {crowd.LEAST_RATE} bytes in a second: send it again.")
