"""Patience with the metadata database, which may be away for a moment: it is started again within a second or two.

Airflow asks once for a connection, and what it then was at has failed. Here whoever asks waits until the database lets
it in, and a task that lost it before it began is begun again. What has a statement under way at that moment is told
the truth: it failed. Keeps to the syntax of Python 3.7, and to what SQLAlchemy 1.3, 1.4 and 2 have in common.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60.0
"""Seconds that a connection is asked for; a recovery that takes longer is nothing to wait for in silence."""

PAUSES = (0.05, 1.0)
"""Seconds between two tries, the first and the longest; each is twice the one before."""

ATTEMPTS = 3
"""How often a task that could not begin is begun again."""

AWAY = (
    "refused",
    "no such file or directory",
    "reset by peer",
    "server closed the connection",
    "starting up",
    "shutting down",
    "recovery mode",
    "not yet accepting connections",
)
"""What libpq and PostgreSQL say where waiting helps; a wrong password or a full server is not among it."""


def be_patient() -> None:
    """From now on this process, and what is forked from it, waits for the metadata database."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "do_connect", _connect)
    event.listen(Engine, "handle_error", Loss.note)


class Loss:
    """Whether a process, or one that was forked from it since, has lost the database: they share the memory of it."""

    seen = mmap.mmap(-1, 1)

    @classmethod
    def forget(cls) -> None:
        """Begin anew, apart from whoever this process was forked from."""
        cls.seen = mmap.mmap(-1, 1)

    @classmethod
    def note(cls, context: Any) -> None:
        """Hear of an error."""
        if context.is_disconnect:
            cls.seen[0] = 1


def begun_again(execute: Callable[..., Any], is_queued: Callable[[Any], bool]) -> Callable[..., Any]:
    """`execute(command, …)`, which begins a task that lost the database before it began anew.

    `is_queued` says of a command whether its task still waits to begin.
    """

    def execute_patiently(command: Any, *arguments: Any) -> Any:
        for _ in range(ATTEMPTS - 1):
            Loss.forget()
            try:
                return execute(command, *arguments)
            except Exception:  # the kind is Airflow's, and another in each line
                if not Loss.seen[0] or not is_queued(command):
                    raise
        return execute(command, *arguments)

    return execute_patiently


def is_queued(question: str, parameters: Any) -> bool:
    """Whether the task instance whose state the SQL text asks for is queued."""
    from airflow import settings
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    engine = create_engine(settings.SQL_ALCHEMY_CONN, poolclass=NullPool)
    with engine.connect() as connection:
        found = connection.execute(text(question), parameters).fetchone()
    return found is not None and found[0] == "queued"


def is_away(message: str) -> bool:
    """Whether an error of a connection attempt passes by itself."""
    told = message.lower()
    return any(word in told for word in AWAY)


def _connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
    """A connection; None leaves it to SQLAlchemy, for what is not the metadata database."""
    del record
    if getattr(dialect, "is_async", False) or not _is_ours(options):
        return None
    deadline, pause = time.monotonic() + PATIENCE, PAUSES[0]
    while True:
        try:
            return dialect.connect(*arguments, **options)
        except dialect.dbapi.OperationalError as error:
            if not is_away(str(error)) or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(PAUSES[1], 2 * pause)


def _is_ours(options: Any) -> bool:
    from airflow import settings
    from sqlalchemy.engine.url import make_url

    url = make_url(settings.SQL_ALCHEMY_CONN or "none://")
    return bool(url.database) and (options.get("dbname") or options.get("database")) == url.database
