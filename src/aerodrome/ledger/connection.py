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
def opened(url: str) -> Iterator[Engine]:
    """An engine for the database at this URL (`postgresql+psycopg://…`), as long as the context lasts."""
    engine = sa.create_engine(url, pool_pre_ping=True)
    try:
        yield engine
    finally:
        engine.dispose()


def reason(error: LedgerError) -> str:
    """The first line of what the database said."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
