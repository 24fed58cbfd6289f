"""One command to PostgreSQL, and its results row by row within a bound of bytes.

psycopg's own cursors read a whole result, or do not say how many rows a command without a result has changed; and none
can be kept from reading a row of a gigabyte. So this goes one level lower, to `psycopg.pq`.
"""

from __future__ import annotations

import array
import fcntl
import select
import termios
from collections.abc import Callable, Iterator, Sequence

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

LOOK = 200
"""Milliseconds between two looks whether the command is to be left."""


class TooLargeError(Exception):
    """The server sends more bytes than are wanted."""


def results(
    connection: psycopg.Connection, text: str, values: Sequence[str], *, most: int, check: Callable[[], None]
) -> Iterator[PGresult]:
    """Send the command; each row is a result, and at the end comes one without rows that tells its status.

    Raises:
        TooLargeError: it would bring more than `most` bytes; the connection can only be closed then.
    """
    server = connection.pgconn
    server.send_query_params(text.encode(), [value.encode() for value in values] or None)
    server.set_single_row_mode()
    while server.flush():
        _wait(server, select.POLLIN | select.POLLOUT, check)
        server.consume_input()
    received = 0
    while True:
        while server.is_busy():
            _wait(server, select.POLLIN, check)
            received += _readable(server)
            if received > most:
                raise TooLargeError
            server.consume_input()
        result = server.get_result()
        if result is None:
            return
        yield result
        if result.status in {ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH}:
            return  # which only the end of the connection gets out of


def _wait(server: PGconn, events: int, check: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(server.socket, events)
    while not poll.poll(LOOK):
        check()
    check()


def _readable(server: PGconn) -> int:
    """Bytes that lie ready."""
    count = array.array("i", [0])
    fcntl.ioctl(server.socket, termios.FIONREAD, count)
    return count[0]
