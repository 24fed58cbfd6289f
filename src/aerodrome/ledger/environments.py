"""The table of environments and their events: what the API wishes and what the controller found.

Each method is one transaction. Every change notifies the channel `aerodrome`, payload the environment's name, so that a
waiting controller wakes; a lost notice costs time only, for the controller looks by itself as well.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.ledger import rows
from aerodrome.ledger.schema import environment, event
from aerodrome.model import arns, lifecycle
from aerodrome.model.environment import Environment, Failure, LastUpdate, Progress, Spec

CHANNEL = "aerodrome"
QUOTA_LOCK = 4561
"""Key of the advisory lock under which environments are counted and added, so that a quota cannot be overrun."""

USER_SOURCE = "user"
"""`LastUpdate.Source` of what a caller of the API asked for."""


class Environments:
    """The ledger's environments, over one engine."""

    def __init__(self, engine: sa.Engine, *, region: str, account: str) -> None:
        self._engine = engine
        self._region = region
        self._account = account

    def create(
        self, name: str, spec: Spec, tags: Mapping[str, str], *, sealed_secrets: bytes, quota: int, now: datetime
    ) -> Environment:
        """Add an environment in status CREATING.

        Raises:
            CallerError: the name is taken, or the quota is reached.
        """
        with self._engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(QUOTA_LOCK)))
            taken = connection.scalars(sa.select(environment.c.name)).all()
            if name in taken:
                raise CallerError(f"Environment {name} already exists. Choose another Name, or delete it first.")
            if len(taken) >= quota:
                raise CallerError(
                    f"The quota of {quota} environments is reached. Delete one, or raise AERODROME_QUOTA_ENVIRONMENTS."
                )
            statement = sa.insert(environment).values(
                name=name,
                identifier=secrets.token_hex(4),
                arn=arns.environment(region=self._region, account=self._account, name=name),
                spec=spec.document(),
                tags=dict(tags),
                status=lifecycle.Status.CREATING,
                created_at=now,
                last_update=rows.last_update_document(LastUpdate(status="PENDING", created_at=now, source=USER_SOURCE)),
                progress=rows.progress_document(
                    Progress(phase="queued", detail="Waiting for the controller.", phase_started_at=now)
                ),
                failure=None,
                sealed_secrets=sealed_secrets,
            )
            row = connection.execute(statement.returning(environment)).one()
            _record(connection, name, "CREATE_REQUESTED", "Creation was asked for.", {}, now)
            return rows.environment(row)

    def get(self, name: str) -> Environment | None:
        """The environment of that name; None when there is none."""
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(environment).where(environment.c.name == name)).one_or_none()
            return rows.environment(row) if row else None

    def names(self, *, after: str | None = None, limit: int | None = None) -> list[str]:
        """Names in byte order, those that follow `after` only."""
        ordered = environment.c.name.collate("C")
        statement = sa.select(environment.c.name).order_by(ordered).limit(limit)
        if after is not None:
            statement = statement.where(ordered > after)
        with self._engine.begin() as connection:
            return list(connection.scalars(statement))

    def request(
        self, name: str, happened: lifecycle.Event, now: datetime, *, failure: Failure | None = None
    ) -> Environment:
        """Let an event happen to an environment, by the lifecycle's table.

        Raises:
            NotFoundError: there is no such environment.
            CallerError: its status does not allow the event.
        """
        with self._engine.begin() as connection:
            row = connection.execute(
                sa.select(environment).where(environment.c.name == name).with_for_update()
            ).one_or_none()
            if row is None:
                raise NotFoundError(f"Environment {name} not found.")
            step = lifecycle.transition(lifecycle.Status(row.status), happened)
            changes: dict[str, Any] = {"status": step.status}
            outcome = _OUTCOMES.get(happened)
            if outcome is not None:
                source = rows.environment(row).last_update.source
                update = LastUpdate(status=outcome, created_at=now, source=source, failure=failure)
                changes["last_update"] = rows.last_update_document(update)
            detail = rows.failure_document(failure) or {}
            _record(connection, name, happened, step.sentence, detail, now)
            here = environment.c.name == name
            row = connection.execute(sa.update(environment).where(here).values(**changes).returning(environment)).one()
            if step.status is lifecycle.Status.DELETED:
                connection.execute(sa.delete(environment).where(here))
            return rows.environment(row)

    def set_progress(self, name: str, progress: Progress, *, failure: Failure | None = None) -> None:
        """Write down what is being done; `failure` (when given) is why the present work has failed."""
        changes: dict[str, Any] = {"progress": rows.progress_document(progress)}
        if failure is not None:
            changes["failure"] = rows.failure_document(failure)
        with self._engine.begin() as connection:
            connection.execute(sa.update(environment).where(environment.c.name == name).values(**changes))

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that exists takes the new value."""
        self._change_tags(name, environment.c.tags.concat(sa.cast(dict(tags), postgresql.JSONB)))

    def remove_tags(self, name: str, keys: Iterable[str]) -> None:
        """Remove tags; keys that do not exist are passed over."""
        without = environment.c.tags.op("-", return_type=postgresql.JSONB())(
            sa.cast(list(keys), postgresql.ARRAY(sa.Text))
        )
        self._change_tags(name, without)

    def record(self, name: str, kind: str, sentence: str, detail: Mapping[str, Any], now: datetime) -> None:
        """Add an event that changes no status."""
        with self._engine.begin() as connection:
            _record(connection, name, kind, sentence, detail, now)

    def events(self, name: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """The newest events of an environment, oldest first; they outlive the environment."""
        newest = sa.select(event).where(event.c.environment == name).order_by(event.c.id.desc()).limit(limit)
        with self._engine.begin() as connection:
            found = connection.execute(newest).mappings().all()
        return [dict(row) for row in reversed(found)]

    def _change_tags(self, name: str, tags: sa.ColumnElement[Any]) -> None:
        with self._engine.begin() as connection:
            statement = sa.update(environment).where(environment.c.name == name).values(tags=tags)
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError(f"Environment {name} not found.")


_OUTCOMES = {lifecycle.Event.CREATED: "SUCCESS", lifecycle.Event.FAILED: "FAILED"}
"""Which events settle the update that was going on, and as what."""


def _record(
    connection: sa.Connection, name: str, kind: str, sentence: str, detail: Mapping[str, Any], now: datetime
) -> None:
    connection.execute(
        sa.insert(event).values(at=now, environment=name, kind=kind, sentence=sentence, detail=dict(detail))
    )
    connection.execute(sa.select(sa.func.pg_notify(CHANNEL, name)))
