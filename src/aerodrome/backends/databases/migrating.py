"""The long work that brings a metadata database to another Airflow version, or back to a snapshot.

The database that runs is never migrated; copies are. The first copy is for the rehearsal: it comes from an archive that
is written while the environment works. The second is made when nobody uses the database any more. It takes the place of
the original (`swapping`), and the original becomes the snapshot.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aerodrome.airflow import metadata as airflow_metadata
from aerodrome.airflow import migrate, versions
from aerodrome.airflow.versions import Version
from aerodrome.backends.databases import airflow_migration, archives, metadata, names
from aerodrome.backends.jobs import Job
from aerodrome.backends.releases import trials
from aerodrome.backends.releases.trials import Candidate, Trials
from aerodrome.errors import BrokenError
from aerodrome.model.change import Seed
from aerodrome.model.observed import Work
from aerodrome.model.orders import Archive, Migrate, Rehearse, SeedDatabase
from aerodrome.model.spec import Spec
from aerodrome.release.built_releases import Built
from aerodrome.release.installation import Installation
from aerodrome.release.verification import Secrets
from aerodrome.services import databases, folders
from aerodrome.services.clusters import Cluster
from aerodrome.unix_users import UnixUser

MOST_CONNECTIONS = 20
"""Of the role that DAG code is tried with in a copy; it takes none from the environments that run."""

MOST_SHOWN = 10
"""Names that one sentence shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentDatabases:
    """The databases of one environment, and its rights in them."""

    cluster: Cluster
    identifier: str
    """The environment's."""

    password: str = field(repr=False)
    snapshots: Path
    """The folder of all archives."""

    @property
    def live(self) -> str:
        """The name of the environment's database, and of the role that owns it and every copy."""
        return names.live(self.identifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationTarget:
    """What a database is migrated to."""

    source: Installation
    """The version that the database, or the seed if there is one, is of now."""

    spec: Spec
    installation: Installation
    built: Built | None
    """The release; None = the bare version."""

    seed: Seed
    """The snapshot that a copy is made from; the change's own snapshot if the environment keeps its database."""

    fernet_key: str = field(repr=False)

    user: UnixUser | None
    """Whom it is migrated as: whom those run as that have read and written it. None = ourselves."""


def seed_database(job: Job, owned: EnvironmentDatabases, seed: Seed, version: Version) -> Work:
    """Make the first database of an environment from a snapshot; the database gets its name when it is whole."""
    cluster, live, name = owned.cluster, owned.live, names.coming(owned.identifier)
    databases.ensure_role(cluster, live, owned.password)
    databases.drop_database(cluster, name)
    fill(owned, name, seed, job.check)
    metadata.forget_workers(cluster, name, live, owned.password, version)
    databases.rename_database(cluster, name, live)
    return Work(order=SeedDatabase, done=True)


def write_archive(job: Job, owned: EnvironmentDatabases, number: int) -> Work:
    """Dump the live database while it is in use."""
    target = names.archive(owned.snapshots, owned.identifier, number)
    folders.make(target.parent, folders.PRIVATE)
    job.tell("Writing an archive of the metadata database.")
    size = archives.dump(owned.cluster, owned.live, owned.live, owned.password, target, job.check)
    return Work(order=Archive, done=True, size=size)


def rehearse(
    owned: EnvironmentDatabases,
    target: MigrationTarget,
    trying: Trials,
    running: Spec,
    broken: Callable[[], frozenset[str]],
) -> Work:
    """Migrate a copy, try the DAGs on it, and remove it.

    `running` is the configuration that runs; `broken` gives the DAG files that the environment itself reports as
    failing.
    """
    job, name = trying.job, names.rehearsal(owned.identifier)
    password = secrets.token_urlsafe()
    _end_rehearsal(owned)
    try:
        job.tell("Making a copy of the metadata database.")
        fill(owned, name, target.seed, job.check)
        job.tell("Migrating the copy.")
        report = _migrate(job, owned, target, name)
        # DAG code finds its variables there, and must not learn the password of the live database.
        databases.ensure_role(owned.cluster, name, password, connection_limit=MOST_CONNECTIONS)
        databases.let_in(owned.cluster, name, name)
        with trials.scratch_folder(trying.around.owner) as scratch:
            candidate = Candidate(spec=target.spec, installation=target.installation)
            database = names.reached(owned.cluster, name, password)
            known = Secrets(database=airflow_metadata.url(database), fernet_key=target.fernet_key)
            with_dags = trying.with_dags_of(target.spec, running, scratch)
            tried = with_dags.parse(candidate, target.built, scratch, known)
        trials.refuse_news(tried, broken=broken(), before=None)
    finally:
        _end_rehearsal(owned)
    return Work(order=Rehearse, done=True, report=report)


def _end_rehearsal(owned: EnvironmentDatabases) -> None:
    name = names.rehearsal(owned.identifier)
    databases.drop_database(owned.cluster, name)
    databases.drop_role(owned.cluster, name)


def make_coming(job: Job, owned: EnvironmentDatabases, target: MigrationTarget, *, is_seeded: bool) -> Work:
    """Make the coming database, whole or not at all. Nobody uses the live one, and it is closed for everybody.

    If `is_seeded`, the coming database is made from the seed, otherwise from the live one.
    """
    coming = names.coming(owned.identifier)
    databases.drop_database(owned.cluster, coming)
    databases.close_database(owned.cluster, owned.live)
    job.tell("Copying the metadata database.")
    if is_seeded:
        fill(owned, coming, target.seed, job.check)
    else:
        databases.ensure_database(owned.cluster, coming, owned.live, template=owned.live)
    job.tell("Migrating the metadata database.")
    _migrate(job, owned, target, coming)
    return Work(order=Migrate, done=True)


def fill(owned: EnvironmentDatabases, name: str, seed: Seed, tick: Callable[[], None]) -> None:
    """Make the database `name` from a snapshot: copy the snapshot's database, or restore its archive.

    A snapshot of another environment is always restored from its archive, which holds no owners. In a copy of the
    database everything would belong to the other environment, and REASSIGN OWNED would hand over the original too.
    """
    cluster, owner = owned.cluster, owned.live
    template = names.snapshot(seed.identifier, seed.number)
    if owned.identifier == seed.identifier and databases.database_exists(cluster, template):
        databases.ensure_database(cluster, name, owner, template)
        return
    source = names.archive(owned.snapshots, seed.identifier, seed.number)
    if not source.is_file():
        raise BrokenError(f"the archive of snapshot {seed.number} is gone", code="SNAPSHOT_MISSING")
    databases.ensure_database(cluster, name, owner)
    archives.restore(cluster, name, owner, owned.password, source, tick)


def _migrate(job: Job, owned: EnvironmentDatabases, target: MigrationTarget, name: str) -> tuple[str, ...]:
    """Bring a copy to the target's schema; returns what a person should know about it."""
    old, new = versions.lookup(target.source.version), versions.lookup(target.installation.version)
    database = names.reached(owned.cluster, name, owned.password, owner=owned.live)
    lost = (*_runs_without_place(owned, name, old, new), *_roles_without_effect(owned, name, old, new))
    if old.number != new.number:
        with trials.scratch_folder(target.user) as scratch:
            planned = migrate.moves(
                (old, target.source.python),
                (new, target.installation.python),
                folder=Path(scratch),
                database=database,
                fernet_key=target.fernet_key,
            )
            for each in planned:
                metadata.execute(owned.cluster, name, owned.password, *each.statements, owner=owned.live)
                airflow_migration.run(each, seconds=migrate.MOVE_TIMEOUT, user=target.user, tick=job.check)
    metadata.forget_workers(owned.cluster, name, owned.live, owned.password, new)
    if old.number == new.number:
        return ()
    return (f"The metadata database moves from Airflow {old.number} to {new.number}.", *lost)


def _runs_without_place(owned: EnvironmentDatabases, name: str, source: Version, target: Version) -> tuple[str, ...]:
    question = airflow_metadata.runs_without_place(source, target)
    if question is None:
        return ()
    [(count,)] = metadata.execute(owned.cluster, name, owned.password, question, owner=owned.live)
    sentence = (
        f"{count} runs have no logical date. Airflow {target.number} cannot keep such runs: only the snapshot has them."
    )
    return (sentence,) if count else ()


def _roles_without_effect(owned: EnvironmentDatabases, name: str, source: Version, target: Version) -> tuple[str, ...]:
    question = airflow_metadata.roles_without_effect(source, target)
    if question is None:
        return ()
    rows = metadata.execute(owned.cluster, name, owned.password, question, owner=owned.live)
    found = [str(role) for (role,) in rows]
    shown = ", ".join(found[:MOST_SHOWN]) + (", …" if len(found) > MOST_SHOWN else "")
    sentence = (
        f"Airflow {target.number} knows only the roles that IAM grants. Without effect there: {shown}. "
        "A user who has one of them gets the rights of the role that IAM grants, in every DAG."
    )
    return (sentence,) if found else ()
