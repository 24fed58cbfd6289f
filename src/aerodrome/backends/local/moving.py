"""An environment's metadata database on its way to another Airflow version or back to a snapshot: jobs and swaps.

The database that runs is never migrated. A copy is, twice: once for the rehearsal, from an archive that is written
while the environment works, and once when everybody is out; that second copy takes the place of the original, which
becomes the snapshot. All names of databases of an environment are made here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aerodrome import trees
from aerodrome.airflow import metadata as airflow_metadata
from aerodrome.airflow import migrate, versions
from aerodrome.airflow import units as airflow_units
from aerodrome.airflow.migrate import Migration
from aerodrome.airflow.versions import Version
from aerodrome.backends.contract import Step
from aerodrome.backends.local import archives, metadata, places, releasing
from aerodrome.backends.local.jobs import Job
from aerodrome.backends.local.places import Owner
from aerodrome.backends.local.releasing import Bench, Stand
from aerodrome.errors import BrokenError
from aerodrome.model.change import Change
from aerodrome.model.environment import Environment
from aerodrome.model.observed import Work
from aerodrome.model.release import Deployed
from aerodrome.release import sandbox
from aerodrome.release.built_releases import Built
from aerodrome.release.installation import Installation
from aerodrome.release.sandbox import Limits
from aerodrome.release.verification import Secrets
from aerodrome.services import databases, folders
from aerodrome.services.clusters import Cluster
from aerodrome.services.queues import Queues

CODE = "MIGRATION_FAILED"
MEMORY = 4 * 2**30
"""Bytes that a migration may take; it reads a history row by row, but not always."""

TAIL_LINES = 20

MOST_SHOWN = 10
"""Names within one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One environment's database and what becomes of it."""

    cluster: Cluster
    environment: Environment
    change: Change
    running: Deployed
    source: Installation
    """What the database is of now: of the seed, where there is one."""

    target: Installation
    built: Built | None
    """The target's release; None = the bare version."""

    queues: Queues
    snapshots: Path
    """The folder of all archives."""

    owner: Owner
    password: str = field(repr=False)
    fernet_key: str = field(repr=False)
    bench: Bench

    @property
    def live(self) -> str:
        return metadata.name_of(self.environment)

    @property
    def coming(self) -> str:
        """The database that is to be the live one."""
        return coming(self.environment.identifier)

    @property
    def snapshot(self) -> str:
        """What the live one becomes."""
        return snapshot(self.environment.identifier, self.change.revision)


def coming(identifier: str) -> str:
    return f"next_{identifier}"


def rehearsal(identifier: str) -> str:
    return f"try_{identifier}"


def snapshot(identifier: str, number: int) -> str:
    return f"snap_{identifier}_{number}"


def archive(snapshots: Path, identifier: str, number: int) -> Path:
    """The archive of a snapshot."""
    return snapshots / identifier / f"{number}.dump"


def have_copies(cluster: Cluster, identifier: str, number: int | None) -> bool:
    """Whether an unfinished change has left databases, or the live one closed; `number` is its snapshot's."""
    names = [coming(identifier), rehearsal(identifier)] + ([] if number is None else [snapshot(identifier, number)])
    return any(databases.database_exists(cluster, name) for name in names) or databases.is_closed(
        cluster, f"env_{identifier}"
    )


def have_any(cluster: Cluster, snapshots: Path, identifier: str) -> bool:
    """Whether an environment has left copies or snapshots, or archives of them."""
    return (snapshots / identifier).exists() or bool(all_of(cluster, identifier))


def all_of(cluster: Cluster, identifier: str) -> tuple[str, ...]:
    """The databases that are copies and snapshots of an environment."""
    return tuple(name for prefix in _prefixes(identifier) for name in databases.databases(cluster, prefix))


def _prefixes(identifier: str) -> tuple[str, str, str]:
    """What the names of its copies and snapshots begin with."""
    return coming(identifier), rehearsal(identifier), f"snap_{identifier}_"


def seed(job: Job, cluster: Cluster, environment: Environment, password: str, origin: Origin, version: Version) -> Work:
    """Make the first database of an environment from a snapshot; it gets its name when it is whole."""
    live, name = metadata.name_of(environment), coming(environment.identifier)
    databases.ensure_role(cluster, live, password)
    databases.drop_database(cluster, name)
    fill(cluster, name, live, password, origin, job.check)
    forget_workers(cluster, name, live, password, version)
    databases.rename_database(cluster, name, live)
    return Work(step=Step.SEED, done=True)


def write_archive(job: Job, move: Move) -> Work:
    """Dump the live database beside everybody who uses it."""
    identifier = move.environment.identifier
    target = archive(move.snapshots, identifier, move.change.revision)
    folders.make(target.parent, folders.PRIVATE)
    job.tell("Writing an archive of the metadata database.")
    size = archives.dump(move.cluster, move.live, move.live, move.password, target, job.check)
    return Work(step=Step.ARCHIVE, done=True, size=size)


def rehearse(job: Job, move: Move) -> Work:
    """Migrate a copy, try the DAGs on it, and remove it."""
    name = rehearsal(move.environment.identifier)
    databases.drop_database(move.cluster, name)
    try:
        job.tell("Making a copy of the metadata database.")
        _copy(job, move, name)
        job.tell("Migrating the copy.")
        report = _migrate(job, move, name)
        with releasing.scratch_folder(move.owner) as scratch:
            stand = Stand(spec=move.change.spec, installation=move.target)
            database = metadata.of(move.cluster, name, move.password, owner=move.live)
            secrets = Secrets(database=airflow_metadata.url(database), fernet_key=move.fernet_key)
            bench = releasing.with_coming_dags(job, move.bench, stand.spec, move.environment.spec, scratch)
            tried = releasing.parse(job, bench, stand, move.built, scratch, secrets)
        releasing.refuse_news(tried, broken=move.bench.broken(), before=None)
    finally:
        databases.drop_database(move.cluster, name)
    return Work(step=Step.REHEARSE, done=True, report=report)


def make_coming(job: Job, move: Move) -> Work:
    """Make the database that is to come, whole or not at all; nobody is in the live one, and nobody gets in."""
    databases.drop_database(move.cluster, move.coming)
    databases.close_database(move.cluster, move.live)
    job.tell("Copying the metadata database.")
    if move.change.seed is None:
        databases.ensure_database(move.cluster, move.coming, move.live, template=move.live)
    else:
        _copy(job, move, move.coming)
    job.tell("Migrating the metadata database.")
    _migrate(job, move, move.coming)
    return Work(step=Step.MIGRATE, done=True)


def swap(move: Move) -> None:
    """Put the database that is to come in its place. Done again at any point, it goes on from there."""
    cluster = move.cluster
    if databases.database_exists(cluster, move.coming):
        if not databases.database_exists(cluster, move.snapshot):
            databases.rename_database(cluster, move.live, move.snapshot)
        databases.rename_database(cluster, move.coming, move.live)
    databases.close_database(cluster, move.snapshot)
    databases.open_database(cluster, move.live)
    # What was queued is of a version that is no more; the database that came knows that (`requeue`).
    move.queues.set_aside(move.change.revision)


def unswap(cluster: Cluster, environment: Environment, change: Change, queues: Queues) -> None:
    """Undo `swap`, and remove every copy. Done again at any point, it goes on from there."""
    identifier, live = environment.identifier, metadata.name_of(environment)
    queues.put_back(change.revision)
    was = snapshot(identifier, change.revision)
    if databases.database_exists(cluster, was):
        databases.drop_database(cluster, live)
        databases.rename_database(cluster, was, live)
    databases.open_database(cluster, live)
    for name in (coming(identifier), rehearsal(identifier)):
        databases.drop_database(cluster, name)


def remove_snapshot(cluster: Cluster, snapshots: Path, identifier: str, number: int) -> None:
    """Remove a snapshot's database and archive."""
    databases.drop_database(cluster, snapshot(identifier, number))
    archives.remove(archive(snapshots, identifier, number))


def remove_all(cluster: Cluster, snapshots: Path, identifier: str) -> None:
    """Remove every copy and snapshot of an environment."""
    for name in all_of(cluster, identifier):
        databases.drop_database(cluster, name)
    trees.remove(snapshots / identifier)


def fill(cluster: Cluster, name: str, owner: str, password: str, origin: Origin, tick: Callable[[], None]) -> None:
    """Make the database `name` of a snapshot: a copy of its database, or of what its archive holds.

    The copy of another's database would be that one's in all its parts, and to hand them over (REASSIGN OWNED) would
    hand over the original too; an archive holds no owners.
    """
    template = snapshot(origin.identifier, origin.number)
    if owner == f"env_{origin.identifier}" and databases.database_exists(cluster, template):
        databases.ensure_database(cluster, name, owner, template)
        return
    source = archive(origin.snapshots, origin.identifier, origin.number)
    if not source.is_file():
        raise BrokenError(f"the archive of snapshot {origin.number} is gone", code="SNAPSHOT_MISSING")
    databases.ensure_database(cluster, name, owner)
    archives.restore(cluster, name, owner, password, source, tick)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A snapshot on this machine."""

    identifier: str
    number: int
    snapshots: Path


def _copy(job: Job, move: Move, name: str) -> None:
    """A copy of the seed, or of the live database as it was archived."""
    seed = move.change.seed
    origin = Origin(
        identifier=seed.identifier if seed else move.environment.identifier,
        number=seed.number if seed else move.change.revision,
        snapshots=move.snapshots,
    )
    fill(move.cluster, name, move.live, move.password, origin, job.check)


def _migrate(job: Job, move: Move, name: str) -> tuple[str, ...]:
    """Bring a copy to the target's schema; what a person should know of it."""
    source, target = versions.lookup(move.source.version), versions.lookup(move.target.version)
    database = metadata.of(move.cluster, name, move.password, owner=move.live)
    lost = (*_runs_without_place(move, name, source, target), *_roles_without_effect(move, name, source, target))
    if source.number != target.number:
        with releasing.scratch_folder(move.owner) as scratch:
            planned = migrate.moves(
                (source, move.source.python),
                (target, move.target.python),
                folder=Path(scratch),
                database=database,
                fernet_key=move.fernet_key,
            )
            for each in planned:
                _run(job, move, name, each)
    forget_workers(move.cluster, name, move.live, move.password, target)
    if source.number == target.number:
        return ()
    return (f"The metadata database moves from Airflow {source.number} to {target.number}.", *lost)


def _runs_without_place(move: Move, name: str, source: Version, target: Version) -> tuple[str, ...]:
    question = airflow_metadata.runs_without_place(source, target)
    if question is None:
        return ()
    [(count,)] = metadata.execute(move.cluster, name, move.password, question, owner=move.live)
    sentence = (
        f"{count} runs have no logical date and no place in Airflow {target.number}: the snapshot alone keeps them."
    )
    return (sentence,) if count else ()


def _roles_without_effect(move: Move, name: str, source: Version, target: Version) -> tuple[str, ...]:
    question = airflow_metadata.roles_without_effect(source, target)
    if question is None:
        return ()
    found = [str(role) for (role,) in metadata.execute(move.cluster, name, move.password, question, owner=move.live)]
    shown = ", ".join(found[:MOST_SHOWN]) + (", …" if len(found) > MOST_SHOWN else "")
    sentence = (
        f"Airflow {target.number} has no roles but those that IAM grants. Without effect there: {shown}. "
        "Whoever has one of them gets the rights of the role that IAM grants, in every DAG."
    )
    return (sentence,) if found else ()


def forget_workers(cluster: Cluster, name: str, owner: str, password: str, version: Version) -> None:
    """Tell a copy that no worker of it lives, and that nothing is queued with any broker."""
    statements = (airflow_metadata.requeue(), *airflow_metadata.age_heartbeats(version, "%"))
    metadata.execute(cluster, name, password, *statements, owner=owner)


def _run(job: Job, move: Move, name: str, planned: Migration) -> None:
    """Run migrations as the environment's own user: what the database holds is code of its users (pickles among it)."""
    metadata.execute(move.cluster, name, move.password, *planned.statements, owner=move.live)
    places.make_for(planned.home, move.owner)
    for path, text in planned.configuration.items():
        places.write(path, text, move.owner)
    for command in planned.commands:
        ended = sandbox.run(
            command,
            environ=planned.environment,
            cwd=planned.home,
            limits=Limits(migrate.MOVE_TIMEOUT, memory=MEMORY),
            user=move.owner.user,
            umask=airflow_units.UMASK,
            tick=job.check,
        )
        if ended.code != 0:
            how = f"ended with exit code {ended.code}" if ended.in_time else "took too long"
            shown = " ".join(command[command.index("airflow") :] if "airflow" in command else command)
            raise BrokenError(f"Airflow's `{shown}` {how}", code=CODE, tail=ended.tail[-TAIL_LINES:])
