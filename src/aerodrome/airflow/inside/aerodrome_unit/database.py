"""Patience with the metadata database: it may be away for a moment, and is started again within a second or two.

Airflow asks once for a connection; if it gets none, the work in hand fails. With this module every process waits until
the database lets it in, and a task that lost the database before it began is begun again. A statement that was under
way at that moment fails, and its caller is told so. Keeps to the syntax of Python 3.7, and to what SQLAlchemy 1.3, 1.4
and 2 have in common.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60.0
"""Seconds that a connection is tried for; if a recovery takes longer, somebody should see the failure."""

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
"""What libpq and PostgreSQL say where waiting helps; a wrong password or a full server is not among these."""


def be_patient() -> None:
    """Have this process, and every fork of it, wait for the metadata database from now on."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "do_connect", _connect)
    event.listen(Engine, "handle_error", Loss.note)


class Loss:
    """Whether a process, or one forked from it since, has lost the database; they share this in memory."""

    seen = mmap.mmap(-1, 1)

    @classmethod
    def forget(cls) -> None:
        """Begin anew, separate from the process that this one was forked from."""
        cls.seen = mmap.mmap(-1, 1)

    @classmethod
    def note(cls, context: Any) -> None:
        """Look at an error, and remember if it was a loss."""
        if context.is_disconnect:
            cls.seen[0] = 1


def begun_again(execute: Callable[..., Any], is_queued: Callable[[Any], bool]) -> Callable[..., Any]:
    """`execute(command, …)`, but a task that lost the database before it began is begun again.

    `is_queued` says of a command whether its task still waits to begin.
    """

    def execute_patiently(command: Any, *arguments: Any) -> Any:
        for _ in range(ATTEMPTS - 1):
            Loss.forget()
            try:
                return execute(command, *arguments)
            except Exception:  # Airflow's own class, which is another one in each line
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
    """A connection; None leaves it to SQLAlchemy, for any database but the metadata database."""
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
