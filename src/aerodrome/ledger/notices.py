"""Wake-ups: PostgreSQL's notices, of environments that something happened to (by name), and of changes in IAM."""

from __future__ import annotations

import select

import psycopg

from aerodrome.errors import RetryError
from aerodrome.ledger.environments import CHANNEL

PATIENCE = 10
"""Seconds that a connect may take. A server that vanishes later without a word is noticed in the minute after."""


class Notices:
    """Listens on a connection of its own. A notice can be lost, so nothing may depend on it."""

    def __init__(self, conninfo: str, channel: str = CHANNEL) -> None:
        self._conninfo = conninfo
        self._channel = channel
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def listen(self) -> bool:
        """Listen from now on; whether it did not before, so that notices may have been missed.

        Raises:
            RetryError: the ledger is away; the next call connects anew.
        """
        is_new = self._connection is None
        try:
            self._connected()
        except psycopg.Error as error:
            self.close()
            raise RetryError("the ledger does not answer") from error
        return is_new

    def wait(self, seconds: float) -> set[str]:
        """The payloads notified within `seconds`; returns at the first notice.

        Raises:
            RetryError: the ledger is away; the next call connects anew.
        """
        try:
            connection = self._connected()
            return _told(connection) or (_told(connection) if _is_readable(connection, seconds) else set())
        except psycopg.Error as error:
            self.close()
            raise RetryError("the ledger does not answer") from error

    def close(self) -> None:
        """Close the connection; the next `wait` opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=PATIENCE,
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
            )
            self._connection.execute(f"LISTEN {self._channel}")
        return self._connection


def _told(connection: psycopg.Connection[tuple[object, ...]]) -> set[str]:
    """The payloads that have come."""
    return {notice.payload for notice in connection.notifies(timeout=0, stop_after=1)}


def _is_readable(connection: psycopg.Connection[tuple[object, ...]], seconds: float) -> bool:
    """Whether the server says something within that time; psycopg would wake ten times a second to wait."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(1000 * seconds))
