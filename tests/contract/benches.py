"""Backends on a bench: the public one in memory, and the local one with folders and database of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
from cryptography.fernet import Fernet

import uids
from aerodrome import trees
from aerodrome.backends.contract import OF_A_CELL, Backend, Step
from aerodrome.backends.local import shutdown
from aerodrome.backends.local.backend import LocalBackend, Surroundings
from aerodrome.backends.memory import MemoryBackend, Place
from aerodrome.errors import RetryError
from aerodrome.identity.vault import EnvironmentSecrets, Vault
from aerodrome.model.change import Change, Kind, Strategy
from aerodrome.model.environment import Environment, LastUpdate, Progress
from aerodrome.model.lifecycle import Status
from aerodrome.model.observed import Installation, Observed, Work
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec
from aerodrome.model.web_address import Ports
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster
from aerodrome.settings import Settings
from product import wait_for

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REVISION = 1
"""Of the creation."""

VAULT = Vault(Fernet.generate_key())
NOTHING = Observed(installation=Installation(done=False), database=False, files=False, traces=False)


@dataclass
class Bench:
    """A backend, and how its cell dies without an order."""

    backend: Backend
    environment: Environment
    kill_cell: Callable[[], None]
    alter_database: Callable[[], None]
    """Do to its database, which is made for that, what its code can do."""

    lose_release: Callable[[Deployed], None]
    """Take away the folder of the release that it runs."""

    def act(self, *steps: Step) -> None:
        for step in steps:
            self.backend.act(self.environment, step, REVISION if step in OF_A_CELL else None)

    def can(self, step: Step) -> bool:
        """Whether the step could be taken now; on a machine that is busy it may have to be tried again."""
        try:
            self.act(step)
        except RetryError:
            return False
        return True

    def see(self) -> Observed:
        return self.backend.observe(self.environment)

    def deploy(self) -> None:
        """Build the change's release, and write it down as the controller does."""
        self.act(Step.RELEASE)

        def built() -> Work | None:
            work = self.see().work
            return work if work is not None and work.done else None

        change = self.environment.change
        assert change is not None
        deployed = wait_for("the release is built", built).deployed
        assert deployed is not None
        change = replace(change, deployed=replace(deployed, cell=change.revision))
        self.environment = replace(self.environment, change=change)

    def sees(self, what: Callable[[Observed], bool]) -> bool:
        """Whether it is so by now; a cell that is busy, or dies while it is asked, gives no answer at all."""
        try:
            seen = self.see()
        except RetryError:
            return False
        return not any(each.silent_for for each in (seen.services, *seen.cells.values())) and what(seen)

    def refuses(self, step: Step) -> bool:
        """Whether the step waits for something else."""
        try:
            self.act(step)
        except RetryError:
            return True
        return False


def an_environment(spec: Spec) -> Environment:
    return Environment(
        name="one",
        identifier="c0117ac7",
        arn="arn:aws:airflow:us-east-1:000000000000:environment/one",
        number=1,
        spec=spec,
        tags={},
        status=Status.CREATING,
        created_at=NOW,
        last_update=LastUpdate(status="PENDING", created_at=NOW, source="user"),
        progress=Progress(phase="queued", detail="", phase_started_at=NOW),
        change=Change(kind=Kind.CREATE, spec=spec, revision=REVISION, strategy=Strategy.GRACEFUL, requested_at=NOW),
        sealed_secrets=VAULT.seal(EnvironmentSecrets.generate()),
    )


def in_memory(environment: Environment) -> Bench:
    backend = MemoryBackend()

    def kill_cell() -> None:
        box = backend.places[environment.name].cells[REVISION]
        box.alive, box.leftovers = False, True

    def alter_database() -> None:
        place = backend.places.setdefault(environment.name, Place())
        place.databases["live"] = environment.spec.airflow_version
        place.altered = ("the role's password",)

    def lose_release(deployed: Deployed) -> None:
        backend.places.setdefault(environment.name, Place()).lost = deployed.identifier

    return Bench(backend, environment, kill_cell, alter_database, lose_release)


@contextlib.contextmanager
def on_this_machine(environment: Environment, cluster: Cluster, versions: Path | None) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="aero-") as folder:
        data = Path(folder)
        data.chmod(0o711)
        if versions is not None:
            (data / "versions").symlink_to(versions)
        settings = Settings(data=data, first_uid=uids.block())
        backend = LocalBackend(
            Surroundings(
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
        paths = settings.paths.environment(environment.name, environment.identifier)

        def kill_cell() -> None:
            cell = psutil.Process(int(paths.cell(REVISION).pid_file.read_text()))
            os.kill(cell.pid, signal.SIGKILL)

        def alter_database() -> None:
            name, password = f"env_{environment.identifier}", VAULT.open(environment.sealed_secrets).database_password
            databases.ensure_role(cluster, name, password)
            databases.ensure_database(cluster, name, name)
            with psycopg.connect(cluster.dsn(name, name, password), autocommit=True) as theirs:
                theirs.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
                theirs.execute(f"ALTER ROLE {name} PASSWORD 'theirs'")

        def lose_release(deployed: Deployed) -> None:
            trees.remove(settings.paths.releases / str(deployed.content))

        try:
            yield Bench(backend, environment, kill_cell, alter_database, lose_release)
        finally:
            backend.close()
            shutdown.stop_all(settings.paths, report=lambda _: None)
            databases.drop_database(cluster, f"env_{environment.identifier}")
            databases.drop_role(cluster, f"env_{environment.identifier}")
