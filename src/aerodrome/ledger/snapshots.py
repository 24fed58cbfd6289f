"""The table of snapshots: which metadata databases are kept, as of when, and what configuration belongs to each.

The databases and archives themselves are the backend's. Each method is one transaction.
"""

from __future__ import annotations

import sqlalchemy as sa

from aerodrome.ledger import rows
from aerodrome.ledger.schema import environment, snapshot
from aerodrome.model.history import Snapshot


class Snapshots:
    """The ledger's snapshots, over one engine."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, taken: Snapshot) -> None:
        """Write a snapshot down; writing it again does nothing."""
        values = {
            "identifier": taken.identifier,
            "number": taken.number,
            "taken_at": taken.taken_at,
            "spec": taken.spec.document(),
            "deployed": rows.deployed_document(taken.deployed),
            "size": taken.size,
        }
        here = sa.and_(snapshot.c.identifier == taken.identifier, snapshot.c.number == taken.number)
        with self._engine.begin() as connection:
            if connection.execute(sa.select(snapshot.c.number).where(here)).one_or_none() is None:
                connection.execute(sa.insert(snapshot).values(**values))

    def of(self, name: str) -> list[Snapshot]:
        """The snapshots of an environment, the oldest first."""
        joined = sa.select(snapshot).join(environment).where(environment.c.name == name).order_by(snapshot.c.number)
        with self._engine.begin() as connection:
            return [rows.snapshot(row) for row in connection.execute(joined)]

    def remove(self, identifier: str, number: int) -> None:
        """Forget a snapshot; one that is not there is passed over."""
        here = sa.and_(snapshot.c.identifier == identifier, snapshot.c.number == number)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(snapshot).where(here))
