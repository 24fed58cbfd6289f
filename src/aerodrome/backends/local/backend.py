"""The local backend: what exists on this machine, and the steps that change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aerodrome.airflow.context import INSIDE
from aerodrome.backends.contract import Step
from aerodrome.backends.local import cells, configuration, leftovers, metadata, places, ports, warm
from aerodrome.backends.local.configuration import Place
from aerodrome.backends.local.installing import Installer
from aerodrome.errors import BrokenError, RetryError
from aerodrome.identity.vault import Vault
from aerodrome.model.environment import Environment
from aerodrome.model.observed import Observed, Unit
from aerodrome.release.installation import Installation
from aerodrome.services import accounts, daemon
from aerodrome.services.clusters import Cluster
from aerodrome.settings import EnvironmentPaths, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the control plane provides to every environment."""

    settings: Settings
    cluster: Callable[[], Cluster]
    vault: Vault
    key_set: Mapping[str, Any]
    aws_endpoint_url: str | None
    mwaa_endpoint_url: str


class LocalBackend:
    """Cells on this machine; holds to backends.contract.Backend."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._settings = surroundings.settings
        self._installer = Installer(surroundings.settings, self._finish_installation)
        self._reported: dict[tuple[str, str], float] = {}
        """Workers' deaths that Airflow was told of; forgotten with this process, for telling twice does no harm."""

    def observe(self, environment: Environment) -> Observed:
        paths = self._paths(environment)
        status = cells.ask(paths.cell_socket, {"op": "status"})
        alive = status is not None
        units = cells.units(status) if status is not None else ()
        return Observed(
            installation=self._installer.progress(environment.spec.airflow_version),
            # What a living cell works with need not be looked up again and again.
            database=alive or metadata.exists(self._around.cluster(), environment),
            files=alive or places.are_prepared(paths),
            traces=not places.are_gone(paths),
            cell=alive,
            leftovers=not alive and leftovers.exist(paths),
            bereaved=bool(self._unreported_deaths(environment, units)),
            units=units,
            # A cell reports every unit it was told to run, whatever state each is in.
            expected_units=frozenset(unit.name for unit in units),
        )

    def act(self, environment: Environment, step: Step) -> None:
        paths = self._paths(environment)
        owner = places.owner_of(environment.number, first_uid=self._settings.first_uid)
        match step:
            case Step.INSTALL:
                self._installer.ensure(environment.spec.airflow_version)
            case Step.DATABASE:
                password = self._around.vault.open(environment.sealed_secrets).database_password
                metadata.ensure_database(self._around.cluster(), environment, self._installed(environment), password)
            case Step.FILES:
                places.prepare(paths, owner)
            case Step.CELL:
                place = self._place(environment)
                configuration.write(place)
                warm.spawn(self._settings.paths, place.installation, paths.cell_config)
            case Step.REPORT_LOST_TASKS:
                self._report_lost_tasks(environment)
            case Step.STOP_CELL:
                cells.ask(paths.cell_socket, {"op": "shutdown"})
            case Step.END_LEFTOVERS:
                leftovers.end(paths, owner)
            case Step.DROP_DATABASE:
                metadata.drop(self._around.cluster(), environment)
            case Step.REMOVE_FILES:
                leftovers.end(paths, owner)
                places.remove(paths)

    def tail(self, environment: Environment, unit: str) -> tuple[str, ...]:
        return daemon.tail(self._paths(environment).unit_logs / f"{unit}.log", lines=12)

    def units(self, environment: Environment) -> tuple[Unit, ...]:
        """The units as the cell reports them; none when there is no cell or it gives no answer."""
        try:
            status = cells.ask(self._paths(environment).cell_socket, {"op": "status"}, seconds=2.0)
        except RetryError:
            return ()
        return cells.units(status) if status is not None else ()

    def web_socket(self, environment: Environment) -> str:
        """Where the environment's web server listens."""
        return str(self._paths(environment).web_socket)

    def warm_up(self, version: str) -> None:
        """Start the warm process of an installed version, so that the next creation need not wait for it."""
        installation = self._installer.find(version)
        if installation is not None:
            self._open_ways(installation)
            warm.start(self._settings.paths, installation)

    def close(self) -> None:
        """Break off what runs in this process; cells and warm processes go on."""
        self._installer.cancel()

    def _unreported_deaths(self, environment: Environment, units: tuple[Unit, ...]) -> dict[str, float]:
        """Workers that died since Airflow was last told, and when."""
        return {
            unit.name: unit.exited_at
            for unit in units
            if unit.name.startswith("worker-")
            and unit.exited_at is not None
            and self._reported.get((environment.identifier, unit.name), 0.0) < unit.exited_at
        }

    def _report_lost_tasks(self, environment: Environment) -> None:
        deaths = self._unreported_deaths(environment, self.units(environment))
        metadata.age_heartbeats(
            self._around.cluster(),
            environment,
            {worker: datetime.fromtimestamp(at, UTC) for worker, at in deaths.items()},
        )
        self._reported |= {(environment.identifier, worker): at for worker, at in deaths.items()}

    def _finish_installation(self, installation: Installation) -> None:
        self._open_ways(installation)
        warm.start(self._settings.paths, installation)
        metadata.ensure_template(self._around.cluster(), installation)

    def _open_ways(self, installation: Installation) -> None:
        """As root: let the environments' own uids pass through to the interpreter and to our code inside Airflow."""
        if places.owner_of(0, first_uid=1).uid is None:
            return
        for path in (installation.python, installation.python.resolve(), INSIDE / "boot.py"):
            accounts.open_way_to(path)

    def _installed(self, environment: Environment) -> Installation:
        installation = self._installer.find(environment.spec.airflow_version)
        if installation is None:
            raise RetryError(f"Airflow {environment.spec.airflow_version} is not installed yet")
        return installation

    def _place(self, environment: Environment) -> Place:
        if not environment.sealed_secrets:
            raise BrokenError(f"the ledger holds no secrets of {environment.name}", code="SECRETS_MISSING")
        return Place(
            settings=self._settings,
            environment=environment,
            paths=self._paths(environment),
            owner=places.owner_of(environment.number, first_uid=self._settings.first_uid),
            ports=self._ports(environment),
            installation=self._installed(environment),
            cluster=self._around.cluster(),
            aws_endpoint_url=self._around.aws_endpoint_url,
            mwaa_endpoint_url=self._around.mwaa_endpoint_url,
            secrets=self._around.vault.open(environment.sealed_secrets),
            key_set=self._around.key_set,
        )

    def _ports(self, environment: Environment) -> ports.Ports:
        """The ports of the last start, if units still use them or nobody else does; else new ones."""
        paths = self._paths(environment)
        last = ports.remembered(paths.ports)
        if last is not None:
            still_ours = leftovers.exist(paths)
            if still_ours or (ports.is_free(last.execution) and ports.is_free(last.credentials)):
                return last
        return ports.choose(environment.number, ports.is_free)

    def _paths(self, environment: Environment) -> EnvironmentPaths:
        return self._settings.paths.environment(environment.name, environment.identifier)
