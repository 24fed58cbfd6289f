"""Hear at once of rows that somebody else has written, where a loop would find them at its next look.

PostgreSQL's NOTIFY carries no more than the news; the loop looks as it always does, and a lost notice costs latency
only. Keeps to what SQLAlchemy 1.4 and 2 have in common. Imports nothing of Airflow: the control plane names the
channels too.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator
from typing import Any

PARSE = "aerodrome_parse"
"""The channel for files that are to be parsed now."""

RUNS = "aerodrome_runs"
"""The channel for DAG runs that were made or changed by somebody who is no scheduler."""

RETRY = 5.0
"""Seconds between two tries to connect."""

NEVER = float("-inf")

GONE = -1
"""In the place of a descriptor: there is none any more."""


class NoticeListener:
    """Listens to one channel, over a connection of its own that it makes when it first waits."""

    def __init__(self, channel: str, connect: Callable[[str], Any] | None = None) -> None:
        self._channel = channel
        self._connect = connect or _listening
        self._connection: Any = None
        self._try_at = NEVER
        self.heard_at = NEVER
        """When the last notice came, on the monotonic clock."""

    def wait(self, seconds: float, *others: int) -> None:
        """Return after so many seconds, with a notice, or when one of these other descriptors can be read."""
        connection = self._connected()
        watched = {*others} if connection is None else {*others, connection.fileno()}
        poll = select.poll()
        for descriptor in watched:
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)}
        if connection is not None and connection.fileno() in ready:
            self._hear(connection)

    def _connected(self) -> Any:
        if self._connection is None and time.monotonic() >= self._try_at:
            self._try_at = time.monotonic() + RETRY
            with contextlib.suppress(Exception):  # the database is away: the loop looks by itself, as without us
                self._connection = self._connect(self._channel)
        return self._connection

    def _hear(self, connection: Any) -> None:
        try:
            connection.poll()
        except Exception:  # noqa: BLE001 - a driver's own error: the server has ended the connection
            self._connection = None
            with contextlib.suppress(Exception):
                connection.close()
            return
        if connection.notifies:
            del connection.notifies[:]
            self.heard_at = time.monotonic()


def _listening(channel: str) -> Any:
    """A connection to the metadata database outside all pools, which forks do not close."""
    from airflow import settings

    engine: Any = settings.engine
    arguments, options = engine.dialect.create_connect_args(engine.url)
    connection = engine.dialect.connect(*arguments, **options)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("LISTEN " + channel)
    return connection


def tell_of_runs() -> None:
    """Have every transaction of this process that makes or changes DAG runs send a notice."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import event, text
    from sqlalchemy.orm import Session

    notice = text("SELECT pg_notify(:channel, '')")

    def tell(session: Any, _: Any) -> None:
        if any(isinstance(each, DagRun) for each in (*session.new, *session.dirty)):
            session.connection().execute(notice, {"channel": RUNS})

    event.listen(Session, "after_flush", tell)


def parse_at_once(manager: Any) -> None:
    """Have the DAG processor's loop, which looks once a second, look at once when there is something to see.

    That is: a file that it is asked to parse, or the end of a process that has parsed one. Such a process closes its
    sockets a moment before it ends, and a loop that looks in between would see the DAG a second later.
    """
    service = manager._service_processor_sockets  # noqa: SLF001 - there is no other place to reach the wait
    listener = NoticeListener(PARSE)

    def service_and_hear(self: Any, timeout: float | None = 1.0) -> Any:
        if timeout:
            with contextlib.ExitStack() as stack:
                ends = [stack.enter_context(_end_of(process)) for process in self._processors.values()]
                if GONE not in ends:
                    listener.wait(timeout, self.selector.fileno(), *(end for end in ends if end is not None))
            timeout = 0.0
        return service(self, timeout=timeout)

    manager._service_processor_sockets = service_and_hear  # noqa: SLF001 - as above


@contextlib.contextmanager
def _end_of(process: Any) -> Iterator[int | None]:
    """A descriptor that can be read when the process ends, if its sockets say nothing more; GONE if it has ended."""
    if process._open_sockets:  # noqa: SLF001 - Airflow has no other way to say so, nor for the next line
        yield None
        return
    told = getattr(process._process, "fileno", None)  # noqa: SLF001 - as above
    if told is not None:  # a companion's child, which the companion reaps: it tells us
        yield told()
        return
    try:
        end = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # no Linux, an older Airflow, or a process that has been reaped
        end = None
    try:
        yield end
    finally:
        if end is not None:
            os.close(end)
