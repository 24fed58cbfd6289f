"""The main loop of our listeners, which wakes rarely."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from aerodrome.listening import server as listening
from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.listening.server import HttpServer
from waiting import LIMIT, wait_for

LIMITS = ConnectionLimits(total=10, each_peer=10, bodies_each_peer=10)


def no_application(*_: object) -> None:
    """Nobody asks it."""


@contextmanager
def serving(*, tick: float) -> Iterator[HttpServer]:
    """A server with so many seconds between two ticks, which is told to leave afterwards and does so."""
    server, loop = HttpServer(no_application, LIMITS, lifespan="off"), asyncio.new_event_loop()
    with mock.patch.object(listening, "TICK", tick), socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(sockets=[listener]),))
        thread.start()
        wait_for("it has started", lambda: server.started)
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(server.leave)
            thread.join(LIMIT)
            assert not thread.is_alive()
            loop.close()


def test_it_ends_when_it_is_told_and_not_at_its_next_tick():
    with serving(tick=10 * LIMIT) as server:
        assert server.started


def test_the_header_date_follows_the_clock():
    with serving(tick=0.01) as server, mock.patch("uvicorn.server.formatdate", return_value="later"):
        wait_for("the date is another", lambda: (b"date", b"later") in server.server_state.default_headers)
