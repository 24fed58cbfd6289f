"""The metadata databases of all environments on one PostgreSQL; fulfils `contract.Databases`."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import structlog

from aerodrome.airflow import metadata as queries
from aerodrome.airflow import units, versions
from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.databases import making, metadata, migrating, names, swapping
from aerodrome.backends.databases.counting import TaskCounts
from aerodrome.backends.databases.migrating import EnvironmentDatabases, MigrationTarget
from aerodrome.backends.jobs import Job, Jobs
from aerodrome.backends.releases import building
from aerodrome.backends.releases.installing import Installer
from aerodrome.backends.releases.trials import TrialEnvironments, Trials
from aerodrome.errors import BrokenError, RetryError
from aerodrome.model import limits
from aerodrome.model.change import Seed
from aerodrome.model.observed import Ahead, DatabaseSeen, TasksSeen, Work
from aerodrome.model.orders import (
    Archive,
    DatabaseOrder,
    DropDatabase,
    MakeDatabase,
    MendDatabase,
    Migrate,
    MigrationOrder,
    QueueAgain,
    Rehearse,
    ReportDeaths,
    SeedDatabase,
    Swap,
    SwapBack,
)
from aerodrome.model.release import Deployed
from aerodrome.model.tenant import Tenant
from aerodrome.release.installation import Installation
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster
from aerodrome.settings import EMBEDDED

LOOK_EVERY = 15.0
"""Seconds between two looks into an environment's database; a look costs three connections and two queries."""

SIZE_EVERY = 60.0
"""Seconds between two questions for a database's size, for which PostgreSQL looks at each of its files."""

LONG = (SeedDatabase, Archive, Rehearse, Migrate)

log = structlog.get_logger("aerodrome.backends")


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look into a database has found; see `DatabaseSeen`."""

    at: float = -math.inf
    ran: Deployed | None = None
    """The release that ran then."""

    altered: tuple[str, ...] = ()
    damage: str = ""
    connections: int | None = None
    exhausted: int | None = None
    outgrown: int | None = None


NEVER = _Found()
"""A look that has not taken place."""


class PostgresDatabases:
    """The databases, by their environments' identifiers."""

    def __init__(
        self, control_plane: ControlPlane, installer: Installer, jobs: Jobs, environments: TrialEnvironments
    ) -> None:
        self._control_plane = control_plane
        self._installer = installer
        self._jobs = jobs
        self._environments = environments
        self._looks: dict[str, _Found] = {}
        """What was found when each environment's database was last looked into."""
        self._connections: dict[str, int | None] = {}
        """How many connections each was ordered to have at most; None = the server does not let us set that."""
        self._sizes: dict[str, tuple[float, int | None]] = {}
        """When each environment's database was last asked for its size, and `DatabaseSeen.outgrown` then."""
        self._left: dict[str, tuple[str, ...]] = {}
        """What could not be put back in each environment's database; an external server may forbid it."""
        self._counts = TaskCounts()

    def look(
        self,
        tenant: Tenant,
        *,
        revision: int,
        running: Deployed | None,
        is_used: bool,
        is_unsettled: bool,
        messages: int | None = 0,
    ) -> DatabaseSeen:
        owned = self._owned(tenant, is_used=is_used) if is_unsettled else {}
        exists = is_used or (names.live(tenant.identifier) in owned if is_unsettled else self._exists(tenant))
        is_counted = is_used and not is_unsettled and bool(tenant.sealed_secrets)
        found = self._look_into(tenant, running) if exists and not is_unsettled else NEVER
        identifier = tenant.identifier
        return DatabaseSeen(
            exists=exists,
            unfinished=is_unsettled and names.has_unfinished(owned, identifier, revision),
            others=is_unsettled and names.has_others(owned, self._snapshots, identifier),
            altered=found.altered,
            damage=found.damage,
            connections=found.connections,
            exhausted=found.exhausted,
            outgrown=found.outgrown,
            tasks=self._tasks(tenant, running.version, messages) if running is not None and is_counted else None,
            work=self._jobs.seen(identifier, revision, LONG),
        )

    def ahead(self, tenant: Tenant, *, version: str, since: datetime) -> Ahead:
        cluster, name, password = self._control_plane.cluster(), names.live(tenant.identifier), self._password(tenant)
        try:
            return metadata.ahead(cluster, name, password, versions.lookup(version), since)
        except psycopg.OperationalError as error:
            raise RetryError(f"the metadata database of {tenant.name} cannot be asked what is due") from error

    def carry_out(self, tenant: Tenant, order: DatabaseOrder) -> None:
        cluster, identifier = self._control_plane.cluster(), tenant.identifier
        match order:
            case MakeDatabase():
                installed = self._installer.installed(order.version, order.lock)
                making.make_database(cluster, identifier, self._password(tenant), installed, order.options)
            case SeedDatabase() | Archive() | Rehearse() | Migrate():
                self._jobs.begin(identifier, order.revision, type(order), partial(self._work, tenant, order))
            case Swap():
                swapping.swap(cluster, identifier, order.revision)
            case SwapBack():
                self._jobs.cancel(identifier)
                self._looks.pop(identifier, None)  # the database of the other version was looked into
                swapping.swap_back(cluster, identifier, order.revision)
            case MendDatabase():
                self._mend(tenant, order.connections)
            case DropDatabase():
                self._jobs.cancel(identifier)
                swapping.remove_all(cluster, self._snapshots, identifier)
                for known in (self._looks, self._connections, self._sizes, self._left):
                    known.pop(identifier, None)
                self._counts.forget(identifier)
            case ReportDeaths():
                self._report_deaths(tenant, order)
            case QueueAgain():
                self._queue_again(tenant, order)

    def remove_snapshot(self, identifier: str, number: int) -> None:
        swapping.remove_snapshot(self._control_plane.cluster(), self._snapshots, identifier, number)

    def import_errors(self, tenant: Tenant, version: str) -> frozenset[str]:
        """The DAG files that an environment of that Airflow version reports as failing now."""
        dags = self._environments.trial_environment(tenant, version).dags
        name, password = names.live(tenant.identifier), self._password(tenant)
        return metadata.import_errors(self._control_plane.cluster(), name, password, versions.lookup(version), dags)

    # What belongs to an installed version: its template

    def versions_in_use(self) -> Collection[tuple[str, str]]:
        return ()

    def version_installed(self, installed: Installation) -> None:
        making.ensure_template(self._control_plane.cluster(), installed)

    def version_removed(self, identifier: str) -> None:
        making.drop_template(self._control_plane.cluster(), identifier)

    @property
    def _snapshots(self) -> Path:
        return self._control_plane.settings.paths.snapshots

    def _password(self, tenant: Tenant) -> str:
        """The password of the environment's database role."""
        return self._control_plane.secrets(tenant).database_password

    def _exists(self, tenant: Tenant) -> bool:
        cluster = self._control_plane.cluster()
        with _unless_unreachable(cluster):
            return databases.database_exists(cluster, names.live(tenant.identifier))

    def _owned(self, tenant: Tenant, *, is_used: bool) -> Mapping[str, bool]:
        """The environment's databases → whether each lets anybody in. Without units, a lost server is an error."""
        cluster = self._control_plane.cluster()
        with contextlib.nullcontext() if is_used else _unless_unreachable(cluster):
            return names.owned(cluster, tenant.identifier)

    def _look_into(self, tenant: Tenant, running: Deployed | None) -> _Found:
        """What the environment's code has altered and damaged there; the answer may be `LOOK_EVERY` seconds old."""
        last = self._looks.get(tenant.identifier, NEVER)
        # A change of version replaces the database before it is done: what the former version missed says nothing.
        if not tenant.sealed_secrets or (last.ran == running and time.monotonic() - last.at <= LOOK_EVERY):
            return last
        cluster, name, password = self._control_plane.cluster(), names.live(tenant.identifier), self._password(tenant)
        try:
            left = self._left.get(tenant.identifier, ())
            altered = tuple(each for each in databases.altered(cluster, name, password) if each not in left)
            damage, connections, exhausted = "", *self._look_at_connections(tenant.identifier, name)
            outgrown = self._look_at_size(tenant.identifier, name)
            if not altered and running is not None:
                installed = self._installer.installed(running.version, running.lock)
                damage = metadata.damage(cluster, name, password, installed)
        except (psycopg.OperationalError, RetryError):  # the database or the version is away: other code says so
            altered, damage, connections, exhausted, outgrown = (), "", None, None, None
        found = _Found(time.monotonic(), running, altered, damage, connections, exhausted, outgrown)
        self._looks[tenant.identifier] = found
        return found

    def _look_at_connections(self, identifier: str, name: str) -> tuple[int | None, int | None]:
        """How many it was ordered to have, and how many it has where that is all that it may have."""
        ordered, found = (
            self._connections.get(identifier, -1),
            databases.connections(self._control_plane.cluster(), name),
        )
        if found is None:
            return None, None
        exhausted = found.used if 0 < found.limit <= found.used else None
        is_as_ordered = ordered is None or (ordered > 0 and found.limit == found.allowed(ordered))
        return ordered if is_as_ordered else found.limit, exhausted

    def _look_at_size(self, identifier: str, name: str) -> int | None:
        """`DatabaseSeen.outgrown`; the answer may be `SIZE_EVERY` seconds old."""
        asked_at, outgrown = self._sizes.get(identifier, (-math.inf, None))
        if time.monotonic() - asked_at > SIZE_EVERY:
            settings = self._control_plane.settings
            most = settings.database_bytes
            if settings.database_url == EMBEDDED:
                most = limits.metadata_database(most, shutil.disk_usage(settings.paths.data).total)
            size = databases.size(self._control_plane.cluster(), name)
            outgrown = most if size is not None and size > most else None
            self._sizes[identifier] = (time.monotonic(), outgrown)
        return outgrown

    def _mend(self, tenant: Tenant, connections: int | None) -> None:
        cluster, name, password = self._control_plane.cluster(), names.live(tenant.identifier), self._password(tenant)
        found = databases.mend(cluster, name, password)
        if found:
            left = databases.altered(cluster, name, password)
            self._left[tenant.identifier] = left
            log.warning("database put back", environment=tenant.name, altered=found, left=left)
        if connections is not None:
            self._limit_connections(tenant.identifier, name, connections)
        last = self._looks.get(tenant.identifier, NEVER)
        ordered = self._connections.get(tenant.identifier, last.connections)
        self._looks[tenant.identifier] = _Found(
            time.monotonic(), last.ran, connections=ordered, exhausted=last.exhausted, outgrown=last.outgrown
        )

    def _limit_connections(self, identifier: str, name: str, wanted: int) -> None:
        cluster = self._control_plane.cluster()
        found = databases.connections(cluster, name)
        if found is not None:
            is_set = found.limit == found.allowed(wanted) or databases.limit_connections(
                cluster, name, found.allowed(wanted)
            )
            self._connections[identifier] = wanted if is_set else None

    def _report_deaths(self, tenant: Tenant, order: ReportDeaths) -> None:
        cluster, name, password = self._control_plane.cluster(), names.live(tenant.identifier), self._password(tenant)
        version = versions.lookup(order.version)
        with _unless_damaged(tenant):
            # A successor may have begun with a task that had been deferred: it is no heartbeat of before its start.
            for is_seen, under_way in ((True, queries.UNDER_WAY), (False, timedelta())):
                deaths = {
                    units.hostname(death.worker, death.revision): datetime.fromtimestamp(death.at, UTC)
                    for death in order.deaths
                    if death.is_seen is is_seen
                }
                if deaths:
                    metadata.age_heartbeats(cluster, name, password, version, deaths, under_way)
            if order.gone is not None:
                workers = units.hostname("worker-%", order.gone)
                metadata.age_all_heartbeats(cluster, name, password, version, workers)

    def _queue_again(self, tenant: Tenant, order: QueueAgain) -> None:
        query = queries.queue_again(versions.lookup(order.version), order.queued_for)
        with _unless_damaged(tenant):
            if query is not None:
                cluster, name = self._control_plane.cluster(), names.live(tenant.identifier)
                metadata.execute(cluster, name, self._password(tenant), query)
        self._counts.forget(tenant.identifier)

    def _tasks(self, tenant: Tenant, version: str, messages: int | None) -> TasksSeen | None:
        cluster, name, password = self._control_plane.cluster(), names.live(tenant.identifier), self._password(tenant)
        known = versions.lookup(version)
        return self._counts.of(tenant.identifier, cluster, name, password, known, messages=messages)

    def _work(self, tenant: Tenant, order: SeedDatabase | Archive | Rehearse | Migrate, job: Job) -> Work:
        owned = EnvironmentDatabases(
            cluster=self._control_plane.cluster(),
            identifier=tenant.identifier,
            password=self._password(tenant),
            snapshots=self._snapshots,
        )
        match order:
            case SeedDatabase():
                return migrating.seed_database(job, owned, order.seed, versions.lookup(order.version))
            case Archive():
                return migrating.write_archive(job, owned, order.revision)
            case Rehearse():
                spec, running = order.before
                return migrating.rehearse(
                    owned,
                    self._target(tenant, order),
                    self._trials(job, tenant, order),
                    spec,
                    lambda: self.import_errors(tenant, running.version),
                )
            case Migrate():
                target = self._target(tenant, order)
                return migrating.make_coming(job, owned, target, is_seeded=order.seed is not None)

    def _target(self, tenant: Tenant, order: MigrationOrder) -> MigrationTarget:
        _, running = order.before
        installed = self._installer.installed(order.deployed.version, order.deployed.lock)
        own = Seed(identifier=tenant.identifier, number=order.revision)
        # A snapshot is of the version that it is restored with.
        source = installed if order.seed else self._installer.installed(running.version, running.lock)
        around = self._environments.trial_environment(tenant, order.deployed.version)
        # DAG code of other versions could write what its migration would then execute.
        is_trusted = versions.lookup(source.version).adapter.HIDES_SECRETS
        return MigrationTarget(
            source=source,
            spec=order.spec,
            installation=installed,
            built=building.on_disk(order.deployed, self._control_plane.settings.paths.releases),
            seed=order.seed or own,
            fernet_key=self._control_plane.secrets(tenant).fernet_key,
            user=(around.control if is_trusted else None) or around.owner,
        )

    def _trials(self, job: Job, tenant: Tenant, order: Rehearse) -> Trials:
        return Trials(
            job=job,
            around=self._environments.trial_environment(tenant, order.deployed.version),
            releases=self._control_plane.settings.paths.releases,
            s3=lambda: self._control_plane.s3(tenant, order.spec.execution_role_arn),
        )


@contextlib.contextmanager
def _unless_unreachable(cluster: Cluster) -> Iterator[None]:
    """A server that does not answer is an error of it."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise BrokenError(
            f"PostgreSQL at {cluster.host} does not answer: {error}", code="DATABASE_UNREACHABLE"
        ) from error


@contextlib.contextmanager
def _unless_damaged(tenant: Tenant) -> Iterator[None]:
    """Go on if the database answers with an error: Airflow finds lost tasks by itself too, only later."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None:  # it does not answer
            raise
        log.warning("Airflow not told about lost tasks", environment=tenant.name, error=str(error).splitlines()[0])
