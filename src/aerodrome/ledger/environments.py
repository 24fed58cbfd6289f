"""The tables of environments, their revisions and events: what was asked for, and what the controller found.

Each method is one transaction. Every event of an environment sends its name on the channel `aerodrome`, so that a
waiting controller wakes. A lost notice costs only time, because the controller also looks by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.ledger import logins, rows, texts
from aerodrome.ledger.schema import environment, event, revision, snapshot
from aerodrome.model import arns, happening, history, lifecycle
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment, Failure, LastUpdate, Progress
from aerodrome.model.hibernation import HibernationStep
from aerodrome.model.history import Outcome, Revision
from aerodrome.model.spec import Spec

CHANNEL = "aerodrome"
OF_AN_EVENT = (event.c.id, event.c.at, event.c.environment, event.c.kind, event.c.sentence, event.c.detail)
"""The columns that are shown of an environment's own event."""

QUOTA_LOCK = 4561
"""Key of the advisory lock under which environments are counted and added, so that a quota cannot be overrun."""


def identifiers(engine: sa.Engine) -> tuple[str, ...]:
    """The short ids of all environments; none in a ledger that has no tables yet."""
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table(environment.name):
            return ()
        return tuple(connection.scalars(sa.select(environment.c.identifier).order_by(environment.c.identifier)))


class Environments:
    """The ledger's environments, over one engine."""

    def __init__(self, engine: sa.Engine, *, region: str, account: str) -> None:
        self._engine = engine
        self._region = region
        self._account = account

    def create(
        self,
        name: str,
        spec: Spec,
        tags: Mapping[str, str],
        *,
        sealed_secrets: bytes,
        quota: int,
        now: datetime,
        requested_by: str | None = None,
        seed: Seed | None = None,
    ) -> Environment:
        """Add an environment in status CREATING; with a seed, its database is made from that snapshot.

        Raises:
            CallerError: the name is taken, the quota is reached, or the seed's environment is being deleted.
            NotFoundError: the seed is gone.
        """
        asked = Change(
            kind=ChangeKind.CREATE,
            spec=spec,
            revision=1,
            strategy=Strategy.GRACEFUL,
            requested_at=now,
            requested_by=requested_by,
            seed=seed,
        )
        with self._engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(QUOTA_LOCK)))
            taken = connection.scalars(sa.select(environment.c.name)).all()
            if name in taken:
                raise CallerError(f"Environment {name} already exists. Choose another Name, or delete it first.")
            if len(taken) >= quota:
                raise CallerError(
                    f"The quota of {quota} environments is reached. Delete one, or raise AERODROME_QUOTA_ENVIRONMENTS."
                )
            _check_seed(connection, seed)
            pending = LastUpdate(status="PENDING", created_at=now, source=happening.USER_SOURCE)
            statement = sa.insert(environment).values(
                name=name,
                identifier=secrets.token_hex(4),
                arn=arns.environment(region=self._region, account=self._account, name=name),
                spec=spec.document(),
                tags=dict(tags),
                status=lifecycle.Status.CREATING,
                created_at=now,
                last_update=rows.last_update_document(pending),
                progress=rows.progress_document(
                    Progress(phase="queued", detail="Waiting for the controller.", phase_started_at=now)
                ),
                failure=None,
                sealed_secrets=sealed_secrets,
                revision=asked.revision,
                deployed=None,
                change=rows.change_document(asked),
            )
            row = connection.execute(statement.returning(environment)).one()
            _add_revision(connection, rows.revision_values(row.identifier, asked, row.spec))
            _record(connection, name, "CREATE_REQUESTED", "Creation was asked for.", {}, now)
            return rows.environment(row)

    def get(self, name: str) -> Environment | None:
        """The environment of that name; None when there is none."""
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(environment).where(environment.c.name == name)).one_or_none()
            return rows.environment(row) if row else None

    def execution_roles(self, name: str) -> frozenset[str]:
        """The ARNs of the roles that the environment of that name may act as; none when there is none."""
        found = self.get(name)
        return found.execution_roles if found else frozenset()

    def all(self) -> list[Environment]:
        """Every environment, in no order."""
        with self._engine.begin() as connection:
            return [rows.environment(row) for row in connection.execute(sa.select(environment))]

    def names(self, *, after: str | None = None, limit: int | None = None) -> list[str]:
        """At most `limit` names in byte order; with `after`, only those that follow it."""
        ordered = environment.c.name.collate("C")
        statement = sa.select(environment.c.name).order_by(ordered).limit(limit)
        if after is not None:
            statement = statement.where(ordered > after)
        with self._engine.begin() as connection:
            return list(connection.scalars(statement))

    def request(self, name: str, happened: lifecycle.Event, now: datetime) -> Environment:
        """Apply an event to an environment, by the lifecycle's table.

        Raises:
            NotFoundError: there is no such environment.
            CallerError: its status does not allow the event.
        """
        with self._engine.begin() as connection:
            before = _locked(connection, name)
            after, step = happening.happened(before, happened, now)
            failure = before.failure if happened in happening.OUTCOMES else None
            _record(connection, name, happened, step.sentence, rows.failure_document(failure) or {}, now)
            if before.change is not None and happened in happening.OUTCOMES:
                _settle_revision(connection, before, happening.OUTCOMES[happened], now)
            _write(connection, name, rows.environment_values(after))
            if step.status is lifecycle.Status.DELETED:
                connection.execute(sa.delete(environment).where(environment.c.name == name))
                logins.forget(connection, name)
            return after

    def begin(self, seen: Environment, change: Change) -> Environment:
        """Begin a change of an environment, if it is still as it was `seen`; the change's number is given out here.

        Raises:
            NotFoundError: the environment is gone, or the snapshot that the change begins from.
            CallerError: its status does not allow a change, or another change began in the meantime.
        """
        with self._engine.begin() as connection:
            before = _locked(connection, seen.name)
            numbers = sa.select(sa.func.max(revision.c.number)).where(revision.c.identifier == before.identifier)
            numbered = replace(change, revision=(connection.scalar(numbers) or before.revision) + 1)
            after, step = happening.begun(before, numbered)
            if (before.identifier, before.revision) != (seen.identifier, seen.revision):
                raise CallerError(f"Environment {seen.name} was changed in the meantime: look at it and try again.")
            _check_seed(connection, change.seed)
            values = rows.environment_values(after)
            _write(connection, after.name, values)
            _add_revision(connection, rows.revision_values(before.identifier, numbered, values["change"]["spec"]))
            detail = {"revision": numbered.revision, "kind": numbered.kind, "by": numbered.requested_by}
            happened = lifecycle.Event.UPDATE_REQUESTED
            if change.kind is ChangeKind.MAINTENANCE:
                happened = lifecycle.Event.MAINTENANCE_BEGUN
            _record(connection, seen.name, happened, step.sentence, detail, change.requested_at)
            return after

    def rest(
        self,
        name: str,
        decide: Callable[[Environment], HibernationStep | None],
        now: datetime,
        *,
        detail: Mapping[str, Any] | None = None,
    ) -> Environment:
        """Let an environment's sleep go on as `decide` says of the environment at that moment; None = as it is.

        Raises:
            NotFoundError: there is no such environment.
        """
        with self._engine.begin() as connection:
            before = _locked(connection, name)
            step = decide(before)
            if step is None:
                return before
            _write(connection, name, {"hibernation": rows.hibernation_document(step.after)})
            if step.kind:
                _record(connection, name, step.kind, step.sentence, detail or {}, now)
            return replace(before, hibernation=step.after)

    def set_progress(
        self, name: str, progress: Progress, *, failure: Failure | None = None, change: Change | None = None
    ) -> None:
        """Write down what is being done and, when given, why it has failed and how far the change has come."""
        changes: dict[str, Any] = {"progress": rows.progress_document(progress)}
        if failure is not None:
            changes["failure"] = rows.failure_document(failure)
        if change is not None:
            changes["change"] = rows.change_document(change)
        with self._engine.begin() as connection:
            connection.execute(sa.update(environment).where(environment.c.name == name).values(**changes))

    def revisions(self, name: str) -> list[Revision]:
        """Every revision of the environment, applied or not, the oldest first."""
        joined = sa.select(revision).join(environment).where(environment.c.name == name).order_by(revision.c.number)
        with self._engine.begin() as connection:
            return [rows.revision(row) for row in connection.execute(joined)]

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that exists takes the new value."""
        self._change_tags(name, environment.c.tags.concat(sa.cast(dict(tags), postgresql.JSONB)))

    def remove_tags(self, name: str, keys: Iterable[str]) -> None:
        """Remove tags; keys that do not exist are ignored."""
        without = environment.c.tags.op("-", return_type=postgresql.JSONB())(
            sa.cast(list(keys), postgresql.ARRAY(sa.Text))
        )
        self._change_tags(name, without)

    def record(self, name: str | None, kind: str, sentence: str, detail: Mapping[str, Any], now: datetime) -> None:
        """Add an event that changes no status; an event without a name is about Aerodrome itself."""
        with self._engine.begin() as connection:
            _record(connection, name, kind, sentence, detail, now)

    def events(self, name: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """The newest events of an environment, oldest first, without audit entries; events outlive environments."""
        own = sa.and_(event.c.environment == name, event.c.allowed.is_(None))
        newest = sa.select(*OF_AN_EVENT).where(own).order_by(event.c.id.desc()).limit(limit)
        with self._engine.begin() as connection:
            found = connection.execute(newest).mappings().all()
        return [dict(row) for row in reversed(found)]

    def _change_tags(self, name: str, tags: sa.ColumnElement[Any]) -> None:
        with self._engine.begin() as connection:
            statement = sa.update(environment).where(environment.c.name == name).values(tags=tags)
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError(f"Environment {name} not found.")


def _locked(connection: sa.Connection, name: str) -> Environment:
    """The environment, locked: nobody else changes it until the transaction ends."""
    row = connection.execute(sa.select(environment).where(environment.c.name == name).with_for_update()).one_or_none()
    if row is None:
        raise NotFoundError(f"Environment {name} not found.")
    return rows.environment(row)


def _check_seed(connection: sa.Connection, seed: Seed | None) -> None:
    """Refuse a seed that is gone; nobody removes it until the transaction ends. Whoever removes it locks as we do."""
    if seed is None:
        return
    own = sa.select(environment).where(environment.c.identifier == seed.identifier).with_for_update()
    row = connection.execute(own).one_or_none()
    here = sa.and_(snapshot.c.identifier == seed.identifier, snapshot.c.number == seed.number)
    is_kept = connection.execute(sa.select(snapshot.c.number).where(here)).one_or_none() is not None
    history.check_seed(seed, rows.environment(row) if row else None, is_kept=is_kept)


def _write(connection: sa.Connection, name: str, values: Mapping[str, Any]) -> None:
    connection.execute(sa.update(environment).where(environment.c.name == name).values(**values))


def _add_revision(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    connection.execute(sa.insert(revision).values(**values))


def _settle_revision(connection: sa.Connection, before: Environment, outcome: Outcome, now: datetime) -> None:
    change = before.change
    if change is None:
        return
    here = sa.and_(revision.c.identifier == before.identifier, revision.c.number == change.revision)
    failure = before.failure if outcome is Outcome.FAILED else None
    connection.execute(
        sa.update(revision)
        .where(here)
        .values(
            outcome=outcome,
            settled_at=now,
            failure=rows.failure_document(failure),
            report=list(change.report),
        )
    )


def _record(
    connection: sa.Connection, name: str | None, kind: str, sentence: str, detail: Mapping[str, Any], now: datetime
) -> None:
    connection.execute(
        sa.insert(event).values(
            at=now, environment=name, kind=kind, sentence=texts.text(sentence), detail=texts.document(dict(detail))
        )
    )
    if name is not None:
        connection.execute(sa.select(sa.func.pg_notify(CHANNEL, name)))
