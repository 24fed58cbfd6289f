"""Backends to try: the public one in memory, and the local one with folders and database of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import psycopg
from cryptography.fernet import Fernet

from aerodrome import trees
from aerodrome.backends.contract import Backend
from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.local import backend as local_backend
from aerodrome.backends.local import groups, leftovers, shutdown
from aerodrome.backends.local import paths as local_paths
from aerodrome.backends.memory import FakeEnvironment, MemoryBackend
from aerodrome.errors import RetryError
from aerodrome.identity.vault import EnvironmentSecrets, Vault
from aerodrome.model import classes
from aerodrome.model.observed import Cell, CellState, DatabaseSeen, Observed, RuntimeSeen, Work
from aerodrome.model.orders import (
    Build,
    CellOrder,
    DatabaseOrder,
    Install,
    MakeDatabase,
    Order,
    ReleaseOrder,
    RuntimeOrder,
    ServicesOrder,
)
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec
from aerodrome.model.tenant import Tenant
from aerodrome.model.web_address import Ports
from aerodrome.services import databases, uid_register
from aerodrome.services.clusters import Cluster
from aerodrome.settings import Settings
from product import wait_for

REVISION = 1
"""Of the creation."""

VAULT = Vault(Fernet.generate_key())
NOWHERE = RuntimeSeen()
NO_DATABASE = DatabaseSeen()


@dataclass
class Bench:
    """A backend, what is ordered of it, and how its cell dies without an order."""

    backend: Backend
    tenant: Tenant
    spec: Spec
    kill_cell: Callable[[], None]
    alter_database: Callable[[], None]
    """Do to its database, which is made for that, what its code can do."""

    lose_release: Callable[[Deployed], None]
    """Take away the folder of the release that it runs."""

    lose_zone: Callable[[int], None]
    """Kill everything of its cell in the zone at that place at once."""

    running: Deployed | None = None
    unsettled: bool = False

    @property
    def services(self) -> ServicesOrder:
        """The order for its services."""
        spec = self.spec
        return ServicesOrder(
            bucket_arn=spec.source_bucket_arn,
            dag_s3_path=spec.dag_s3_path,
            execution_role_arn=spec.execution_role_arn,
            airflow_version=spec.airflow_version,
            queue=REVISION,
        )

    @property
    def cell(self) -> CellOrder:
        """The order for its cell."""
        version, lock = self.version()
        unknown = Deployed(identifier="f00d", version=version, lock=lock)
        spec = self.spec
        return CellOrder(
            revision=REVISION,
            deployed=self.running or unknown,
            options=spec.airflow_configuration_options,
            web_access=spec.webserver_access_mode,
            tasks_per_worker=classes.CLASSES[spec.environment_class].tasks_per_worker,
            most_workers=spec.max_workers,
            workers=(1,),
            schedulers=2,
            web_servers=2,
        )

    @property
    def install(self) -> Install:
        version, lock = self.version()
        return Install(version=version, lock=lock)

    @property
    def database(self) -> MakeDatabase:
        version, lock = self.version()
        return MakeDatabase(version=version, lock=lock, options=self.spec.airflow_configuration_options)

    def version(self) -> tuple[str, str]:
        """The Airflow version that the spec asks for, and its lock."""
        found = self._releases("", None)
        return found.version, found.lock

    def act(self, *orders: Order) -> None:
        for order in orders:
            self.act_for(self.tenant, order)

    def act_for(self, tenant: Tenant, order: Order) -> None:
        if isinstance(order, RuntimeOrder):
            self.backend.runtime.carry_out(tenant, order)
        elif isinstance(order, DatabaseOrder):
            self.backend.databases.carry_out(tenant, order)
        else:
            assert isinstance(order, ReleaseOrder)
            self.backend.releases.carry_out(tenant, order)

    def can(self, order: Order) -> bool:
        """Whether it could be carried out now; on a machine that is busy it may have to be given again."""
        try:
            self.act(order)
        except RetryError:
            return False
        return True

    def see(self) -> Observed:
        return self.look(self.tenant)

    def look(self, tenant: Tenant) -> Observed:
        runtime = self.backend.runtime.look(tenant)
        is_used = runtime.services.alive and any(cell.alive for cell in runtime.cells.values())
        database = self.backend.databases.look(
            tenant, revision=REVISION, running=self.running, is_used=is_used, is_unsettled=self.unsettled
        )
        running = self.running
        releases = self._releases(running.lock if running else "", running)
        return Observed(runtime=runtime, database=database, releases=releases)

    def build(self) -> None:
        """Build the release, and keep it as the controller does."""
        version, lock = self.version()
        self.act(Build(revision=REVISION, spec=self.spec, version=version, lock=lock, before=None))

        def built() -> Work | None:
            work = self.see().work(Build)
            return work if work is not None and work.done else None

        deployed = wait_for("the release is built", built).deployed
        assert deployed is not None
        self.running = replace(deployed, cell=REVISION)

    def sees(self, what: Callable[[Observed], bool]) -> bool:
        """Whether it is so by now; a cell that is busy, or dies while it is asked, gives no answer at all."""
        try:
            seen = self.see()
        except RetryError:
            return False
        cells: tuple[Cell, ...] = (seen.services, *seen.cells.values())
        return not any(each.state is CellState.SILENT for each in cells) and what(seen)

    def refuses(self, order: Order) -> bool:
        """Whether the order waits for something else."""
        try:
            self.act(order)
        except RetryError:
            return True
        return False

    def _releases(self, lock: str, running: Deployed | None):
        return self.backend.releases.look(
            self.tenant, revision=REVISION, version=self.spec.airflow_version, lock=lock, running=running
        )


@dataclass(kw_only=True)
class LocalBench(Bench):
    """One on this machine."""

    settings: Settings


def a_tenant() -> Tenant:
    return Tenant(
        name="one",
        identifier="c0117ac7",
        arn="arn:aws:airflow:us-east-1:000000000000:environment/one",
        number=1,
        sealed_secrets=VAULT.seal(EnvironmentSecrets.generate()),
    )


def in_memory(spec: Spec) -> Bench:
    tenant, state = a_tenant(), MemoryBackend()

    def kill_cell() -> None:
        cell = state.environments[tenant.name].cells[REVISION]
        cell.alive, cell.leftovers = False, True

    def alter_database() -> None:
        known = state.environments.setdefault(tenant.name, FakeEnvironment())
        known.databases["live"] = spec.airflow_version
        known.altered = ("the role's password",)

    def lose_release(deployed: Deployed) -> None:
        state.environments.setdefault(tenant.name, FakeEnvironment()).lost = deployed.identifier

    def lose_zone(place: int) -> None:
        state.environments[tenant.name].cells[REVISION].lose(place)

    return Bench(state.parts, tenant, spec, kill_cell, alter_database, lose_release, lose_zone)


@contextlib.contextmanager
def on_this_machine(spec: Spec, cluster: Cluster, versions: Path | None) -> Iterator[LocalBench]:
    tenant = a_tenant()
    with tempfile.TemporaryDirectory(prefix="aero-") as folder:
        data = Path(folder)
        data.chmod(0o711)
        if versions is not None:
            (data / "versions").symlink_to(versions)
        settings = Settings(data=data)
        backend = local_backend.made(
            ControlPlane(
                settings=settings,
                cluster=lambda: cluster,
                vault=VAULT,
                key_set={"keys": []},
                aws_endpoint_url="http://127.0.0.1:1",
                mwaa_endpoint_url="http://127.0.0.1:1",
                gateway_ports=Ports(public=1, private=1),
                service_key=lambda _name, _identifier: ("AKIA", "secret"),
            )
        )
        paths = local_paths.of(settings.paths, tenant.name, tenant.identifier)
        name = f"env_{tenant.identifier}"

        def kill_cell() -> None:
            cell = psutil.Process(int(paths.cell(REVISION).pid_file.read_text()))
            os.kill(cell.pid, signal.SIGKILL)

        def alter_database() -> None:
            password = VAULT.open(tenant.sealed_secrets).database_password
            databases.ensure_role(cluster, name, password)
            databases.ensure_database(cluster, name, name)
            with psycopg.connect(cluster.dsn(name, name, password), autocommit=True) as theirs:
                theirs.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
                theirs.execute(f"ALTER ROLE {name} PASSWORD 'theirs'")

        def lose_release(deployed: Deployed) -> None:
            trees.remove(settings.paths.releases / str(deployed.content))

        def lose_zone(place: int) -> None:
            leftovers.end([paths.cell(REVISION, place)], None, top=groups.known(settings.paths))

        try:
            yield LocalBench(
                backend, tenant, spec, kill_cell, alter_database, lose_release, lose_zone, settings=settings
            )
        finally:
            backend.close()
            shutdown.stop_all(settings.paths, report=lambda _: None)
            databases.drop_database(cluster, name)
            databases.drop_role(cluster, name)
    uid_register.sweep()
