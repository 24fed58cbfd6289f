"""Cells on this machine; fulfils `contract.Runtime`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aerodrome.airflow import units as airflow_units
from aerodrome.backends.contract import COMMAND_TIMEOUT, CommandResult, ShownCell
from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.jobs import Jobs
from aerodrome.backends.local import (
    cell_client,
    cell_states,
    commands,
    environment_folders,
    recorded_orders,
    users,
    warm,
    web_loads,
)
from aerodrome.backends.local.cell_orders import CellOrders
from aerodrome.backends.local.cell_states import CellStates
from aerodrome.backends.local.environments import LocalEnvironments
from aerodrome.backends.local.fair_weights import FairWeights
from aerodrome.backends.local.paths import CellPaths, EnvironmentPaths
from aerodrome.backends.local.service_orders import ServiceOrders
from aerodrome.backends.local.unit_sockets import LinkedWebServer, WebServers
from aerodrome.backends.releases import build_logs
from aerodrome.backends.releases.installing import Installer
from aerodrome.backends.releases.trials import TrialEnvironment
from aerodrome.model.observed import NO_CELL, Cell, CellState, QueueSeen, RuntimeSeen, WebLoad, across
from aerodrome.model.orders import CellOrder, Point, Remove, RuntimeOrder, ServicesOrder
from aerodrome.model.tenant import Tenant
from aerodrome.release import installation, url_credentials
from aerodrome.release.installation import Installation
from aerodrome.services import daemon
from aerodrome.services.queue_lengths import QueueLengths
from aerodrome.settings import EMBEDDED

TAIL_LINES = 12


class LocalRuntime:
    """The cells of all environments."""

    def __init__(self, control_plane: ControlPlane, installer: Installer, jobs: Jobs) -> None:
        self._settings = control_plane.settings
        self._paths = control_plane.settings.paths
        self._installer = installer
        self._jobs = jobs
        """Long work uses an environment's user and folders, so it ends before those are removed."""
        self._environments = LocalEnvironments(control_plane)
        self._states = CellStates()
        self._web_servers = WebServers()
        url = control_plane.settings.redis_url
        self._lengths = QueueLengths(None if url == EMBEDDED else url)
        self._cells = CellOrders(self._environments, installer, self._states)
        self._services = ServiceOrders(self._environments, self._states)

    def fair_weights(self, tenants: Callable[[], Iterable[Tenant]]) -> FairWeights:
        """What weighs the environments, `tenants` is all of them; it has not begun."""
        return FairWeights(self._environments.groups, self._environments.weigh, tenants)

    def look(self, tenant: Tenant, *, is_leaving: bool = False) -> RuntimeSeen:
        paths = self._environments.paths(tenant)
        found = {
            revision: self._seen(paths, revision, is_leaving=is_leaving)
            for revision in environment_folders.revisions(paths)
        }
        services = self._states.look(paths.services, is_leaving=is_leaving)
        return RuntimeSeen(
            exists=not environment_folders.are_gone(paths),
            services=services,
            cells={
                # A refused start has left its folder.
                revision: replace(cell, state=CellState.ENDED) if cell.state is CellState.ABSENT else cell
                for revision, cell in found.items()
            },
            served=environment_folders.served(paths),
            queue=self._queue(tenant, found) if services.alive and not is_leaving else None,
            dags_at=environment_folders.dags_at(paths),
        )

    def _seen(self, paths: EnvironmentPaths, revision: int, *, is_leaving: bool) -> Cell:
        """The cell of a revision, from its parts in all zones."""
        parts = [self._states.look(each, is_leaving=is_leaving) for each in paths.parts(revision)]
        order = parts[0].order
        lacking = (len(order.zones) if isinstance(order, CellOrder) else 0) - len(parts)
        return across([*parts, *[NO_CELL] * lacking]) if len(parts) + lacking > 1 else parts[0]

    def _queue(self, tenant: Tenant, cells: Mapping[int, Cell]) -> QueueSeen | None:
        """How many messages wait, and how many each worker has taken."""
        workers = [(revision, unit.name) for revision, cell in cells.items() for unit in cell.workers]
        hosts = [airflow_units.hostname(name, revision) for revision, name in workers]
        found = self._lengths.of(tenant.identifier, self._environments.paths(tenant).redis_socket, hosts)
        if found is None:
            return None
        return QueueSeen(waiting=found.waiting, held=dict(zip(workers, found.taken.values(), strict=True)))

    def show(self, tenant: Tenant) -> tuple[ShownCell, Mapping[int, ShownCell]]:
        paths = self._environments.paths(tenant)
        found = {
            revision: _together([cell_states.shown(each) for each in paths.parts(revision)])
            for revision in environment_folders.revisions(paths)
        }
        return cell_states.shown(paths.services), found

    def carry_out(self, tenant: Tenant, order: RuntimeOrder) -> None:
        paths = self._environments.paths(tenant)
        match order:
            case CellOrder():
                # A web server that is about to end gets no new request.
                self._lead(paths, order)
                self._cells.carry_out(tenant, order)
            case ServicesOrder():
                self._services.carry_out(tenant, order)
            case Point():
                environment_folders.point(paths.web, environment_folders.web_socket(paths, order.revision))
            case Remove(revision=None):
                self._jobs.cancel(tenant.identifier)
                self._services.end_everything(tenant)
                for revision in environment_folders.revisions(paths):
                    self._forget(paths, revision)
                self._environments.queues(tenant).remove()
                environment_folders.remove(paths)
                self._environments.groups.remove(tenant.identifier)
            case Remove(revision=int() as revision):
                self._forget(paths, revision)
                environment_folders.remove_cell(paths, revision)
                self._environments.groups.remove_cell(tenant.identifier, revision)
                self._environments.limit(tenant)
                self._services.forget_queues_before(tenant, revision)

    def waiting(self, tenant: Tenant) -> int | None:
        found = self._lengths.of(tenant.identifier, self._environments.paths(tenant).redis_socket, ())
        return None if found is None else found.waiting

    def web_server(self, tenant: Tenant) -> LinkedWebServer:
        return self._web_servers.behind(self._environments.paths(tenant).web)

    def web_load(self, tenant: Tenant, revision: int) -> WebLoad | None:
        paths = self._environments.paths(tenant)
        if environment_folders.served(paths) != revision:
            return None
        processor = web_loads.processor(paths.parts(revision))
        if processor is None:
            return None
        return WebLoad(connections=self._web_servers.connections(paths.web), processor=processor)

    def _lead(self, paths: EnvironmentPaths, order: CellOrder) -> None:
        if order.web_servers > 0:
            for first in _first_web_sockets(paths, order.revision):
                self._web_servers.lead(first, order.web_servers)

    def _forget(self, paths: EnvironmentPaths, revision: int) -> None:
        for first in _first_web_sockets(paths, revision):
            self._web_servers.forget(first)

    def run_command(
        self, tenant: Tenant, revision: int, argv: Sequence[str], *, timeout: float = COMMAND_TIMEOUT
    ) -> CommandResult:
        paths = self._environments.paths(tenant)
        first, *others = paths.parts(revision)
        cell = next((each for each in (first, *others) if others and cell_client.answers(each.socket)), first)
        return commands.run(paths, cell, argv, timeout=timeout)

    def tail(self, tenant: Tenant, unit: str, revision: int | None = None) -> tuple[str, ...]:
        logs = self._environments.paths(tenant).unit_logs
        log = (logs if revision is None else logs / str(revision)) / f"{unit}.log"
        return tuple(map(url_credentials.hide, daemon.tail(log, lines=TAIL_LINES)))  # the API tells them

    def trial_environment(self, tenant: Tenant, version: str) -> TrialEnvironment:
        """What an environment's code finds when it is built for that Airflow version, or tried on it."""
        environment = self._environments.prepared(tenant)
        environment.write_trust()
        return TrialEnvironment(
            dags=environment.paths.dags,
            owner=environment.owner,
            control=environment.control,
            builder=self._environments.builder(tenant),
            cache=environment.paths.package_cache,
            lender=functools.partial(warm.lender, self._settings),
            build_logs=environment.paths.unit_logs / build_logs.FOLDER,
            variables=environment.variables(version),
            defaults=environment.defaults,
        )

    # What belongs to an installed version: its warm process

    def warm_up(self, version: str) -> None:
        """Start the warm process of an installed version, so that the next creation does not wait for it."""
        found = self._installer.find(version)
        if found is not None:
            self._installer.ensure_programs()
            installation.mark_used(found)
            self.version_installed(found)

    def versions_in_use(self) -> Collection[tuple[str, str]]:
        orders = (recorded_orders.read(CellPaths(each.parent)) for each in self._paths.run.glob("*/*/order.json"))
        return {(order.deployed.version, order.deployed.lock) for order in orders if isinstance(order, CellOrder)}

    def version_installed(self, installed: Installation) -> None:
        users.open_ways(installed)
        warm.start(self._settings, installed)

    def version_removed(self, identifier: str) -> None:
        warm.stop(self._paths, identifier)


def _together(parts: Sequence[ShownCell]) -> ShownCell:
    """The cell of a revision from what is shown of its parts."""
    if len(parts) == 1:
        return parts[0]
    processes = {name: process for each in parts for name, process in each.processes.items()}
    return ShownCell(cell=across([each.cell for each in parts]), processes=processes)


def _first_web_sockets(paths: EnvironmentPaths, revision: int) -> tuple[Path, Path]:
    """Where the first web server of a revision may listen: by itself, or beside DAG code."""
    return paths.control_web_socket(revision), paths.web_socket(revision)
