"""The connection to the ledger, and what it raises when the ledger does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, SQLAlchemyError

Engine = sa.Engine
"""What each part of the ledger works on."""

LedgerError = SQLAlchemyError
"""Any error between us and the ledger."""

LedgerAwayError = OperationalError
"""The ledger does not answer; the caller tries again later."""


@contextmanager
def opened(url: str, *, seconds: int | None = None) -> Iterator[Engine]:
    """An engine for the database at this URL (`postgresql+psycopg://…`), as long as the context lasts.

    After `seconds` a connection that is not made, or not free, and a statement that has not ended raise a LedgerError.
    """
    bounds = {} if seconds is None else {"pool_timeout": seconds, "connect_args": _bounded(seconds)}
    engine = sa.create_engine(url, pool_pre_ping=True, **bounds)
    try:
        yield engine
    finally:
        engine.dispose()


def _bounded(seconds: int) -> dict[str, object]:
    """For a server that hangs too: the kernel gives up what it does not acknowledge."""
    milliseconds = 1000 * seconds
    return {
        "connect_timeout": seconds,
        "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
        "tcp_user_timeout": milliseconds,
    }


def reason(error: LedgerError) -> str:
    """The first line of what the database said."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
