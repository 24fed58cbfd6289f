"""The local backend: what exists on this machine, and the steps that change it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog

from aerodrome.airflow import units as airflow_units
from aerodrome.airflow import versions
from aerodrome.airflow.context import INSIDE
from aerodrome.backends.contract import COMMAND_TIMEOUT, CommandResult, Step
from aerodrome.backends.local import (
    cells,
    commands,
    configuration,
    fetching,
    leftovers,
    metadata,
    moving,
    places,
    ports,
    releasing,
    service_cell,
    steering,
    warm,
)
from aerodrome.backends.local.configuration import Place, Rig
from aerodrome.backends.local.installing import Installer
from aerodrome.backends.local.jobs import Job, Jobs
from aerodrome.backends.local.moving import Move
from aerodrome.backends.local.places import Owner
from aerodrome.backends.local.releasing import Bench, Stand
from aerodrome.errors import BrokenError, CallerError, RetryError
from aerodrome.identity.vault import Vault
from aerodrome.model import web_address
from aerodrome.model.change import Change, Seed, Strategy
from aerodrome.model.environment import Environment, Failure
from aerodrome.model.lifecycle import Status
from aerodrome.model.observed import Cell, Observed, Unit, Work
from aerodrome.model.release import Deployed, Patch
from aerodrome.model.spec import Spec
from aerodrome.release import built_releases, collect, install, installation, interpreter_hook, locks
from aerodrome.release.built_releases import Built, is_whole
from aerodrome.release.failures import RELEASE_MISSING
from aerodrome.release.installation import Installation
from aerodrome.services import accounts, daemon, folders
from aerodrome.services.clusters import Cluster
from aerodrome.services.queues import Queues
from aerodrome.settings import EMBEDDED, CellPaths, EnvironmentPaths, Settings

REBUILD_PAUSE = 60.0
"""Seconds until a lost release that could not be built again is tried anew."""

LOOK_EVERY = 15.0
"""Seconds between two looks into an environment's database, which cost two connections and one question."""

LOOKED_INTO = frozenset({Status.AVAILABLE, Status.UPDATE_FAILED, Status.UNAVAILABLE, Status.UPDATING})
"""Statuses in which units are to work with the database as it is; where it moves, its doors are closed on purpose."""

NEED_DATABASE = frozenset({
    Step.MEND_DATABASE, Step.SERVICES, Step.CELL, Step.RELEASE, Step.ARCHIVE, Step.REHEARSE, Step.RETIRE,
    Step.REPORT_LOST_TASKS,
})  # fmt: skip
"""Steps that fail where the environment's code has shut its database or its role to us; MIGRATE and SWAP open it."""

log = structlog.get_logger("backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the control plane provides to every environment."""

    settings: Settings
    cluster: Callable[[], Cluster]
    vault: Vault
    key_set: Mapping[str, Any]
    aws_endpoint_url: str | None
    mwaa_endpoint_url: str
    gateway_ports: web_address.Ports
    service_key: Callable[[str, str], tuple[str, str]]
    """Name and identifier of an environment → access key id and secret of its own part towards our STS."""


class LocalBackend:
    """Cells on this machine; holds to backends.contract.Backend."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._settings = surroundings.settings
        self._installer = Installer(surroundings.settings, self._finish_installation)
        self._jobs = Jobs()
        self._silences = steering.Silences()
        self._choosing = threading.Lock()
        """Of ports: two environments must not find the same one free."""
        self._looks: dict[str, tuple[float, tuple[str, ...], str]] = {}
        """When each environment's database was last looked into, and what was found."""
        self._left: dict[str, tuple[str, ...]] = {}
        """What could not be set anew in each environment's database, as an external server may forbid it."""
        self._rebuilt: dict[str, float] = {}
        """When a lost release of each environment was last tried to be built again."""
        self._reported: dict[tuple[str, int, str], float] = {}
        """Workers' deaths that Airflow was told of; forgotten with this process, for telling twice does no harm."""

    def observe(self, environment: Environment) -> Observed:
        paths = self._paths(environment)
        is_leaving = environment.status is Status.DELETING
        seen = {
            revision: steering.look(paths.cell(revision), self._silences, is_leaving=is_leaving)
            for revision in places.revisions(paths)
        }
        services = steering.look(paths.services, self._silences, is_leaving=is_leaving)
        works = services.alive and any(cell.alive for cell in seen.values())
        database = works or metadata.exists(self._around.cluster(), environment)
        altered, damage = self._look_into_database(environment) if database else ((), "")
        is_unsettled = environment.status in {Status.ROLLING_BACK, Status.DELETING, Status.CREATING}
        return Observed(
            installation=self._installer.progress(*self._wanted(environment)),
            # What a living cell works with need not be looked up again and again.
            database=database,
            altered=altered,
            damage=damage,
            files=works or places.are_prepared(paths),
            traces=not places.are_gone(paths),
            services=services,
            cells=seen,
            work=self._seen_work(environment),
            content=self._has_content(environment.deployed),
            copies=is_unsettled and self._has_copies(environment),
            patch=self._patch(environment.deployed),
            bereaved=bool(self._unreported_deaths(environment, seen)),
        )

    def act(self, environment: Environment, step: Step, revision: int | None = None) -> None:
        if step in NEED_DATABASE:
            self._mend_database(environment)
        self._take(environment, step, revision)

    def _take(self, environment: Environment, step: Step, revision: int | None) -> None:  # noqa: C901, PLR0912, PLR0915 - a table of what each step does
        paths = self._paths(environment)
        match step, revision:
            case Step.INSTALL, _:
                self._installer.ensure(self._wanted(environment)[0])
            case Step.FILES, _:
                places.prepare(paths, self._owner(environment))
            case Step.SERVICES, _:
                self._start_services(environment)
            case Step.REBUILD | Step.RELEASE | Step.SEED | Step.ARCHIVE | Step.REHEARSE | Step.MIGRATE, _:
                self._begin(environment, step)
            case Step.DATABASE, _:
                self._make_database(environment)
            case Step.CELL, int():
                self._start_cell(environment, revision)
            case Step.QUIET, int():
                steering.quiet(paths.cell(revision))
            case Step.RESUME, int():
                steering.resume(paths.cell(revision))
            case Step.SWITCH, int():
                self._switch(environment, revision)
            case Step.DRAIN, int():
                steering.drain(
                    paths.cell(revision), grace=self._patience(environment), kept=self._still_asked(paths, revision)
                )
            case Step.REVIVE, int():
                self._revive(paths.cell(revision))
            case Step.STOP_CELL, int():
                steering.stop(paths.cell(revision))
            case Step.END_LEFTOVERS, int():
                leftovers.end([paths.cell(revision)], Owner(None, None))
            case Step.END_CELL, _:
                leftovers.end_cell(paths.services if revision is None else paths.cell(revision))
            case Step.RETIRE, int():
                self._retire(environment, revision)
            case Step.REPORT_LOST_TASKS, _:
                self._report_lost_tasks(environment)
            case Step.SWAP, _:
                moving.swap(self._move(environment))
            case Step.UNSWAP, _ if environment.change is not None:
                self._jobs.cancel(environment.identifier)
                moving.unswap(self._around.cluster(), environment, environment.change, self._queues(environment))
            case Step.STOP_SERVICES, _:
                steering.stop(paths.services)
            case Step.END_ALL, _:
                self._end_all(environment)
            case Step.DROP_DATABASE, _:
                self._jobs.cancel(environment.identifier)
                moving.remove_all(self._around.cluster(), self._snapshots, environment.identifier)
                metadata.drop(self._around.cluster(), environment)
            case Step.REMOVE_FILES, _:
                self._jobs.cancel(environment.identifier)
                self._end_all(environment)
                self._queues(environment).remove()
                places.remove(paths)

    def run_command(
        self, environment: Environment, argv: Sequence[str], *, timeout: float = COMMAND_TIMEOUT
    ) -> CommandResult:
        paths = self._paths(environment)
        serving = environment.deployed.cell if environment.deployed else environment.revision
        return commands.run(paths, paths.cell(serving), argv, timeout=timeout)

    def tail(self, environment: Environment, unit: str, revision: int | None = None) -> tuple[str, ...]:
        logs = self._paths(environment).unit_logs
        return daemon.tail((logs if revision is None else logs / str(revision)) / f"{unit}.log", lines=12)

    def cells(self, environment: Environment) -> tuple[Cell, Mapping[int, Cell]]:
        """The services' cell and those of revisions, for a person."""
        paths = self._paths(environment)
        found = {revision: steering.glance(paths.cell(revision)) for revision in places.revisions(paths)}
        return steering.glance(paths.services), found

    def warm_up(self, version: str) -> None:
        """Start the warm process of an installed version, so that the next creation need not wait for it."""
        found = self._installer.find(version)
        if found is not None:
            self._installer.ensure_programs()
            installation.mark_used(found)
            self._open_ways(found)
            warm.start(self._settings.paths, found)

    def remove_snapshot(self, identifier: str, number: int) -> None:
        """Remove a snapshot's database and archive."""
        moving.remove_snapshot(self._around.cluster(), self._snapshots, identifier, number)

    def collect_releases(self, used: Collection[str], now: datetime) -> None:
        """Remove built releases that nobody has used for long."""
        for identifier in collect.collect(self._settings.paths.releases, used, now=now):
            log.info("release removed", content=identifier)

    def collect_versions(self, used: Collection[tuple[str, str]], now: datetime) -> None:
        paths = self._settings.paths
        if paths.versions.is_symlink():
            return  # a folder of several installations of Aerodrome: others may use what we do not
        running = [steering.started(CellPaths(each.parent)) for each in paths.run.glob("*/*/units.json")]
        known = {*used, *((each.version, each.lock) for each in running if each is not None)}
        names = set()
        for version, lock in known:
            with contextlib.suppress(CallerError):  # not on offer any more, so without a present lock
                names.add(locks.identifier(version, lock or locks.of(version).sha256))
        names.add(locks.PROGRAMS.identifier)  # all versions use them
        for identifier in collect.idle_versions(paths.versions, names, now=now):
            with install.alone_at_once(identifier, paths.versions) as ours:
                if ours:
                    warm.stop(paths, identifier)
                    metadata.drop_template(self._around.cluster(), identifier)
                    install.remove(paths.versions.resolve() / identifier)
                    log.info("installed version removed", version=identifier)

    def close(self) -> None:
        """Break off what runs in this process; cells and warm processes go on."""
        self._installer.cancel()
        self._jobs.close()

    # What is wished and known, without effects

    @property
    def _snapshots(self) -> Any:
        return self._settings.paths.snapshots

    def _paths(self, environment: Environment) -> EnvironmentPaths:
        return self._settings.paths.environment(environment.name, environment.identifier)

    def _queues(self, environment: Environment) -> Queues:
        url = None if self._settings.redis_url == EMBEDDED else self._settings.redis_url
        return Queues(identifier=environment.identifier, spool=self._paths(environment).spool, url=url)

    def _owner(self, environment: Environment) -> Owner:
        return places.owner_of(environment.number, first_uid=self._settings.first_uid)

    def _wanted(self, environment: Environment) -> tuple[str, str]:
        """The Airflow version and the lock that must be installed now."""
        change = environment.change
        if change is not None and environment.status is not Status.ROLLING_BACK:
            if change.deployed is not None:
                return change.deployed.version, change.deployed.lock
            lock = locks.of(change.spec.airflow_version)
            return lock.version, lock.sha256
        if environment.deployed is not None:
            return environment.deployed.version, environment.deployed.lock
        lock = locks.of(environment.spec.airflow_version)
        return lock.version, lock.sha256

    def _spec(self, environment: Environment, revision: int | None) -> Spec:
        """The configuration of a revision's cell, or (None) of the services."""
        change = environment.change
        if change is None or environment.status is Status.ROLLING_BACK:
            return environment.spec
        is_served = change.deployed is not None and revision == change.deployed.cell
        is_first = environment.deployed is None or (revision is None and change.swapped)
        return change.spec if is_first or is_served or revision == change.revision else environment.spec

    def _deployed(self, environment: Environment, revision: int) -> Deployed:
        """The release of a revision's cell."""
        change = environment.change
        for each in (change.deployed if change else None, environment.deployed):
            if each is not None and each.cell == revision:
                return each
        raise BrokenError(f"the ledger knows no release of revision {revision}", code="RELEASE_UNKNOWN")

    def _patience(self, environment: Environment) -> float:
        """Seconds that workers which are replaced have for their tasks."""
        change = environment.change
        strategy = change.strategy if change is not None else environment.last_update.strategy
        return steering.FORCED_GRACE if strategy is Strategy.FORCED else steering.GRACEFUL_GRACE

    def _still_asked(self, paths: EnvironmentPaths, revision: int) -> frozenset[str]:
        """The web server that requests go to, before another has replaced it: who waits for tasks sees them."""
        return frozenset({airflow_units.WEB} if places.leads_to(paths.web, paths.web_socket(revision)) else ())

    def _patch(self, running: Deployed | None) -> Patch | None:
        """What Aerodrome would install today for the minor version that runs; None = nothing else."""
        if running is None:
            return None
        newest = locks.of(versions.newest_patch(running.version))
        if (newest.version, newest.sha256) == (running.version, running.lock):
            return None
        return Patch(version=newest.version, lock=newest.sha256)

    def _has_copies(self, environment: Environment) -> bool:
        cluster, change = self._around.cluster(), environment.change
        if environment.status is Status.DELETING:
            return moving.have_any(cluster, self._snapshots, environment.identifier)
        number = change.revision if change is not None and environment.status is Status.ROLLING_BACK else None
        return moving.have_copies(cluster, environment.identifier, number)

    def _installed(self, version: str, lock: str) -> Installation:
        """The version by that lock, or by the present one where that lock's is gone."""
        found = installation.at(version, lock, self._settings.paths.versions) or self._installer.find(version)
        if found is None:
            raise RetryError(f"Airflow {version} is not installed yet")
        return found

    def _built(self, deployed: Deployed) -> Built | None:
        found = releasing.find(deployed, self._settings.paths.releases)
        if found is None and deployed.content is not None:
            raise BrokenError(f"the release {deployed.content} is gone from the disk", code=RELEASE_MISSING)
        return found

    def _has_content(self, deployed: Deployed | None) -> bool:
        content = deployed.content if deployed is not None else None
        return content is None or is_whole(content, self._settings.paths.releases)

    def _seen_work(self, environment: Environment) -> Work | None:
        """The long step under way or done; a rebuild that failed is forgotten after a while, to be tried again."""
        found = self._jobs.seen(environment.identifier, _revision(environment))
        if found is None or found.trouble is None:
            return found
        if time.monotonic() - self._rebuilt.get(environment.identifier, -math.inf) > REBUILD_PAUSE:
            self._jobs.cancel(environment.identifier)
            return None
        return found

    def _place(self, environment: Environment, spec: Spec) -> Place:
        if not environment.sealed_secrets:
            raise BrokenError(f"the ledger holds no secrets of {environment.name}", code="SECRETS_MISSING")
        paths = self._paths(environment)
        return Place(
            settings=self._settings,
            environment=environment,
            spec=spec,
            paths=paths,
            owner=self._owner(environment),
            cluster=self._around.cluster(),
            aws_endpoint_url=self._around.aws_endpoint_url,
            mwaa_endpoint_url=self._around.mwaa_endpoint_url,
            gateway_ports=self._around.gateway_ports,
            secrets=self._around.vault.open(environment.sealed_secrets),
            service_key=self._around.service_key(environment.name, environment.identifier),
            key_set=self._around.key_set,
            credentials_port=self._port(environment, paths.services),
        )

    def _rig(self, environment: Environment, revision: int) -> Rig:
        deployed = self._deployed(environment, revision)
        installed, built = self._installed(deployed.version, deployed.lock), self._built(deployed)
        if built is not None and built.private:
            installed = built.on(installed)
            interpreter_hook.add(installed.venv)  # an earlier Aerodrome may have made it
        return Rig(
            place=self._place(environment, self._spec(environment, revision)),
            revision=revision,
            installation=installed,
            built=built,
            execution_port=self._port(environment, self._paths(environment).cell(revision)),
            takes_over=self._takes_over(environment, revision),
        )

    def _takes_over(self, environment: Environment, revision: int) -> bool:
        """As it was at the cell's first start, for a cell replaces units that it is told otherwise of."""
        started, change = steering.started(self._paths(environment).cell(revision)), environment.change
        if started is not None:
            return started.takes_over
        return change is not None and environment.deployed is not None and not change.swapped

    def _port(self, environment: Environment, cell: CellPaths) -> int:
        """The port of the last start, if units still use it or nobody else does; else a new one, noted at once."""
        with self._choosing:
            last = ports.remembered(cell.port)
            if last is not None and (leftovers.exist(cell) or cells.answers(cell.socket) or ports.is_free(last)):
                return last
            taken = ports.noted(self._settings.paths.run)
            chosen = ports.choose(
                self._settings.data, environment.number, lambda port: port not in taken and ports.is_free(port)
            )
            folders.make(cell.run, folders.PRIVATE)
            places.write(cell.port, str(chosen), Owner(None, None))
            return chosen

    # The steps

    def _make_database(self, environment: Environment) -> None:
        password = self._password(environment)
        wanted = self._installed(*self._wanted(environment))
        metadata.ensure_database(self._around.cluster(), environment, wanted, password)

    def _look_into_database(self, environment: Environment) -> tuple[tuple[str, ...], str]:
        """What the environment has altered and damaged there, as of `LOOK_EVERY` seconds ago at most."""
        at, altered, damage = self._looks.get(environment.identifier, (-math.inf, (), ""))
        if environment.status not in LOOKED_INTO or not environment.sealed_secrets:
            return (), ""
        if time.monotonic() - at > LOOK_EVERY:
            password = self._password(environment)
            cluster, running = self._around.cluster(), environment.deployed
            try:
                left = self._left.get(environment.identifier, ())
                altered = tuple(each for each in metadata.altered(cluster, environment, password) if each not in left)
                damage = ""
                if not altered and running is not None:
                    installed = self._installed(running.version, running.lock)
                    damage = metadata.damage(cluster, environment, installed, password)
            except (psycopg.OperationalError, RetryError):  # the database is away, or the version: others tell that
                altered, damage = (), ""
            self._looks[environment.identifier] = (time.monotonic(), altered, damage)
        return altered, damage

    def _mend_database(self, environment: Environment) -> None:
        cluster, password = self._around.cluster(), self._password(environment)
        found = metadata.mend(cluster, environment, password)
        if found:
            left = metadata.altered(cluster, environment, password)
            self._left[environment.identifier] = left
            log.warning("database set anew", environment=environment.name, altered=found, left=left)
        self._looks[environment.identifier] = (time.monotonic(), (), "")

    def _password(self, environment: Environment) -> str:
        """Of the environment's role in the database."""
        return self._around.vault.open(environment.sealed_secrets).database_password

    def _start_services(self, environment: Environment) -> None:
        place = self._place(environment, self._spec(environment, None))
        configuration.write_services(place)
        try:
            service_cell.start(place.paths)
        except BrokenError as error:
            if error.code != "SERVICE_ENDED" or ports.is_free(place.credentials_port):
                raise
            # Somebody was faster; the next try chooses another port.
            raise RetryError(f"port {place.credentials_port} is somebody else's by now") from error

    def _start_cell(self, environment: Environment, revision: int) -> None:
        rig = self._rig(environment, revision)
        try:
            configuration.write_cell(rig)
        except CallerError as error:  # an option that cannot be read as what it must be
            raise BrokenError(str(error), code="CONFIGURATION_INVALID") from error
        self._open_ways(rig.installation)
        installation.mark_used(rig.installation)
        warm.spawn(self._settings.paths, rig.installation, self._paths(environment).cell(revision).config)

    def _revive(self, cell: CellPaths) -> None:
        started = steering.started(cell)
        if started is None:
            raise RetryError(f"nothing tells what the cell at {cell.run} was started with")
        installed = self._installed(started.version, started.lock)
        if started.private is not None:  # the release's own environment; gone with it, the version's serves as well
            own = built_releases.folder(started.private, self._settings.paths.releases) / installation.VENV
            installed = replace(installed, own=own) if own.is_dir() else installed
        warm.spawn(self._settings.paths, installed, cell.config)

    def _switch(self, environment: Environment, revision: int) -> None:
        paths = self._paths(environment)
        places.point(paths.web, paths.web_socket(revision))
        text = configuration.sidecar(self._place(environment, self._spec(environment, revision)))
        stale = paths.sidecar_config.with_suffix(".stale")  # for we may be killed before the restart
        if paths.sidecar_config.read_text() != text:
            stale.touch()
            places.write(paths.sidecar_config, text, Owner(None, None))
        if stale.exists():
            cells.ask(paths.services.socket, {"op": "restart", "unit": configuration.SIDECAR})
            stale.unlink()

    def _retire(self, environment: Environment, revision: int) -> None:
        paths, change = self._paths(environment), environment.change
        if change is None or not change.swapped:  # else the database goes too, and is of the other version
            hostnames = airflow_units.hostname("worker-%", revision)
            with _unless_damaged(environment):
                metadata.age_all_heartbeats(self._around.cluster(), environment, hostnames, self._password(environment))
        places.remove_cell(paths, revision)
        if environment.status is not Status.ROLLING_BACK:
            self._queues(environment).forget_aside()

    def _end_all(self, environment: Environment) -> None:
        paths = self._paths(environment)
        every = [paths.services, *map(paths.cell, places.revisions(paths))]
        leftovers.end(every, self._owner(environment))

    def _begin_rebuild(self, environment: Environment) -> None:
        running = environment.deployed
        if running is None or running.content is None:
            return
        content = running.content

        def run(job: Job) -> Work:
            try:
                stand = Stand(spec=environment.spec, installation=self._installed(running.version, running.lock))
                return releasing.rebuild(job, self._bench(environment, environment.spec), stand, content)
            except BrokenError as error:
                return Work(
                    step=Step.REBUILD,
                    done=True,
                    trouble=Failure(code=error.code, message=str(error), tail=error.tail),
                )
            finally:
                self._rebuilt[environment.identifier] = time.monotonic()

        self._jobs.begin(environment.identifier, _revision(environment), Step.REBUILD, run)

    def _begin(self, environment: Environment, step: Step) -> None:
        """Begin a long step in the background."""
        change = environment.change
        if step is Step.REBUILD:
            self._begin_rebuild(environment)
            return
        if change is None:
            return

        def run(job: Job) -> Work:
            if step is Step.RELEASE:
                return self._deploy(job, environment, change)
            if step is Step.SEED:
                return self._seed(job, environment, change.seed)
            work = {
                Step.ARCHIVE: moving.write_archive,
                Step.REHEARSE: moving.rehearse,
                Step.MIGRATE: moving.make_coming,
            }
            return work[step](job, self._move(environment))

        self._jobs.begin(environment.identifier, change.revision, step, run)

    def _deploy(self, job: Job, environment: Environment, change: Change) -> Work:
        wanted = Stand(spec=change.spec, installation=self._installed(*self._wanted(environment)))
        running = environment.deployed
        before = None
        if running is not None:
            installed = self._installed(running.version, running.lock)
            before = (Stand(spec=environment.spec, installation=installed), running)
        return releasing.deploy(job, self._bench(environment, change.spec), wanted, before)

    def _seed(self, job: Job, environment: Environment, seed: Seed | None) -> Work:
        if seed is None:
            raise RetryError("there is nothing to make the database from")
        origin = moving.Origin(identifier=seed.identifier, number=seed.number, snapshots=self._snapshots)
        password = self._password(environment)
        version = versions.lookup(self._wanted(environment)[0])
        return moving.seed(job, self._around.cluster(), environment, password, origin, version)

    def _bench(self, environment: Environment, wanted: Spec) -> Bench:
        place = self._place(environment, environment.spec)
        configuration.write_trust(place)
        return Bench(
            name=environment.name,
            identifier=environment.identifier,
            releases=self._settings.paths.releases,
            s3=lambda: fetching.s3(replace(place, spec=wanted)),
            dags=place.paths.dags,
            owner=place.owner,
            builder=places.builder_of(environment.number, first_uid=self._settings.first_uid),
            variables=configuration.variables(place, self._wanted(environment)[0]),
            defaults=configuration.defaults(place),
            broken=lambda: metadata.import_errors(
                place.cluster, environment, place.secrets.database_password, place.paths.dags
            ),
        )

    def _move(self, environment: Environment) -> Move:
        change, running = environment.change, environment.deployed
        if change is None or change.deployed is None or running is None:
            raise RetryError("the database is not to be moved")
        secrets = self._around.vault.open(environment.sealed_secrets)
        target = self._installed(change.deployed.version, change.deployed.lock)
        return Move(
            cluster=self._around.cluster(),
            environment=environment,
            change=change,
            running=running,
            # A snapshot is of the version that it is restored with.
            source=target if change.seed is not None else self._installed(running.version, running.lock),
            target=target,
            built=self._built(change.deployed),
            queues=self._queues(environment),
            snapshots=self._snapshots,
            owner=self._owner(environment),
            password=secrets.database_password,
            fernet_key=secrets.fernet_key,
            bench=self._bench(environment, change.spec),
        )

    def _unreported_deaths(self, environment: Environment, seen: Mapping[int, Cell]) -> dict[tuple[int, Unit], float]:
        """Workers that died since Airflow was last told, and when."""
        return {
            (revision, worker): worker.exited_at
            for revision, cell in seen.items()
            for worker in cell.workers
            if worker.exited_at is not None
            and self._reported.get((environment.identifier, revision, worker.name), 0.0) < worker.exited_at
        }

    def _report_lost_tasks(self, environment: Environment) -> None:
        _, seen = self.cells(environment)
        deaths = self._unreported_deaths(environment, seen)
        died = {
            airflow_units.hostname(worker.name, revision): datetime.fromtimestamp(at, UTC)
            for (revision, worker), at in deaths.items()
        }
        with _unless_damaged(environment):
            metadata.age_heartbeats(self._around.cluster(), environment, died, self._password(environment))
        self._reported |= {
            (environment.identifier, revision, worker.name): at for (revision, worker), at in deaths.items()
        }

    def _finish_installation(self, installed: Installation) -> None:
        self._open_ways(installed)
        warm.start(self._settings.paths, installed)
        metadata.ensure_template(self._around.cluster(), installed)

    def _open_ways(self, installed: Installation) -> None:
        """As root: let the environments' own uids pass through to the interpreter and to our code inside Airflow."""
        if places.owner_of(0, first_uid=1).uid is None:
            return
        beside = installed.programs.with_name(installation.VENV) / "bin" / "python"
        for path in (installed.python, installed.python.resolve(), beside.resolve(), INSIDE / "boot.py"):
            if path.exists():
                accounts.open_way_to(path)


def _revision(environment: Environment) -> int:
    """Whose work is of interest: that of the change under way, or of what has come of the last."""
    return environment.change.revision if environment.change is not None else environment.revision


@contextlib.contextmanager
def _unless_damaged(environment: Environment) -> Iterator[None]:
    """Go on where the database answers with an error: Airflow finds lost tasks by itself, only later."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None:  # it does not answer
            raise
        log.warning("not told of lost tasks", environment=environment.name, error=str(error).splitlines()[0])
