"""The table of snapshots: which metadata databases are kept, from when, and with which configuration.

The backend has the databases and archives themselves. Each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from aerodrome.errors import NotFoundError
from aerodrome.ledger import rows
from aerodrome.ledger.schema import environment, snapshot
from aerodrome.model.environment import Environment
from aerodrome.model.history import Snapshot


class Snapshots:
    """The ledger's snapshots, over one engine."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, taken: Snapshot) -> None:
        """Write a snapshot down; to write it again does nothing.

        Raises:
            NotFoundError: its environment is gone.
        """
        values = {
            "identifier": taken.identifier,
            "number": taken.number,
            "taken_at": taken.taken_at,
            "spec": taken.spec.document(),
            "deployed": rows.deployed_document(taken.deployed),
            "size": taken.size,
        }
        statement = postgresql.insert(snapshot).values(**values).on_conflict_do_nothing()
        try:
            with self._engine.begin() as connection:
                connection.execute(statement)
        except sa.exc.IntegrityError as error:
            raise NotFoundError(f"There is no environment {taken.identifier} to keep a snapshot of.") from error

    def of(self, name: str) -> list[Snapshot]:
        """The snapshots of an environment, the oldest first."""
        joined = sa.select(snapshot).join(environment).where(environment.c.name == name).order_by(snapshot.c.number)
        with self._engine.begin() as connection:
            return [rows.snapshot(row) for row in connection.execute(joined)]

    def remove(
        self, identifier: str, number: int, clear: Callable[[], None], *, is_needed: Callable[[list[Environment]], bool]
    ) -> bool:
        """Forget a snapshot once `clear` has removed its database and archive; one that is not there is ignored.

        False = it stays, for `is_needed` says so of all environments. Meanwhile no change can begin from it.
        """
        here = sa.and_(snapshot.c.identifier == identifier, snapshot.c.number == number)
        own = sa.select(environment.c.name).where(environment.c.identifier == identifier).with_for_update()
        with self._engine.begin() as connection:
            connection.execute(own)
            if is_needed([rows.environment(row) for row in connection.execute(sa.select(environment))]):
                return False
            clear()
            connection.execute(sa.delete(snapshot).where(here))
        return True
