"""Carries out orders for the cells of revisions: starts them, tells them what changed, drains them, ends them.

An order is written down after it has been carried out completely (`recorded_orders`). If the control plane dies before
that, nobody knows the cell's order, and the controller gives it again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from aerodrome.airflow import units as airflow_units
from aerodrome.airflow import versions
from aerodrome.backends.local import cell_client, cell_states, leftovers, recorded_orders, service_files, users, warm
from aerodrome.backends.local.cell_files import CellFiles
from aerodrome.backends.local.cell_states import CellStates
from aerodrome.backends.local.environments import LocalEnvironments
from aerodrome.backends.local.paths import CellPaths
from aerodrome.backends.releases import building
from aerodrome.backends.releases.installing import Installer
from aerodrome.errors import BrokenError, CallerError, RetryError
from aerodrome.model import zones
from aerodrome.model.observed import WORKER
from aerodrome.model.orders import AT_ONCE, CellOrder, Keep
from aerodrome.model.tenant import Tenant
from aerodrome.release import built_releases, installation, interpreter_hook


class CellOrders:
    """Carries out orders for the cells of revisions."""

    def __init__(self, environments: LocalEnvironments, installer: Installer, states: CellStates) -> None:
        self._environments = environments
        self._installer = installer
        self._states = states
        self._settings = environments.control_plane.settings
        self._paths = self._settings.paths

    def carry_out(self, tenant: Tenant, order: CellOrder) -> None:
        """Begin to carry the order out."""
        paths = self._environments.paths(tenant)
        if order.keep is Keep.NOTHING:
            for cell in paths.parts(order.revision):
                self._end(cell, order)
            return
        try:
            parts = {place: paths.cell(order.revision, place) for place in zones.living(order)}
            if order.keep is Keep.TASKS:  # of every part that there is, whether or not somebody knows of it
                parts = dict(enumerate(paths.parts(order.revision)))
            alive = {place: cell for place, cell in parts.items() if self._states.is_alive(cell)}
            for place, cell in parts.items():
                # First those that may not start: an order that has not been carried out is not written down elsewhere.
                if place not in alive:
                    self._bring_back(cell, order) if order.keep is Keep.TASKS else self._start(tenant, order, place)
            for place, cell in alive.items():
                if (known := recorded_orders.read(cell)) != order:
                    self._tell(tenant, order, place, known if isinstance(known, CellOrder) else None)
        except CallerError as error:  # an option whose value cannot be read
            raise BrokenError(str(error), code="CONFIGURATION_INVALID") from error

    def _start(self, tenant: Tenant, order: CellOrder, place: int) -> None:
        files = self._files(tenant, order, place)
        cell, installed = files.cell, files.installation
        recorded_orders.forget(cell)
        self._environments.limit(tenant, order)
        files.write(_kept(order, files.units))
        service_files.share_broker(files.environment)
        users.open_ways(installed)
        installation.mark_used(installed)
        warm.spawn(self._settings, installed, cell.config, context=files.context, code=files.code)
        recorded_orders.write(cell, order)

    def _tell(self, tenant: Tenant, order: CellOrder, place: int, known: CellOrder | None) -> None:
        """Tell a living cell what it shall be from now on; `known` is the order that it was told last."""
        cell = self._environments.paths(tenant).cell(order.revision, place)
        units = cell_states.units(cell)
        if order.keep is not Keep.TASKS and (known is None or not units or not _same_units(order, known)):
            files = replace(self._files(tenant, order, place), may_be_apart=cell_states.is_apart(cell))
            recorded_orders.forget(cell)
            self._environments.limit(tenant, order)
            files.change()
            units = files.units
        if not units:
            raise RetryError(f"no file says which units the cell at {cell.run} has")
        recorded_orders.forget(cell)
        if order.keep is Keep.TASKS:
            _drain(cell, order, units)
        else:
            _apply(cell, units, _kept(order, units))
        recorded_orders.write(cell, order)

    def _bring_back(self, cell: CellPaths, order: CellOrder) -> None:
        """Start a new cell for the units that a dead one has left; it keeps what the dead one was last told to keep."""
        if not leftovers.exist(cell):
            return
        deployed = order.deployed
        installed = self._installer.installed(deployed.version, deployed.lock)
        if deployed.content is not None:  # if the release is gone, this works without the release's own environment
            own = built_releases.folder(deployed.content, self._paths.releases) / installation.VENV
            installed = replace(installed, own=own) if own.is_dir() else installed
        warm.spawn(self._settings, installed, cell.config, context=None)

    def _end(self, cell: CellPaths, order: CellOrder) -> None:
        if not cell.run.is_dir():
            return
        if order.patience == AT_ONCE or not self._states.is_leaving(cell):
            leftovers.end([cell], None, top=self._environments.groups.top())
        recorded_orders.write(cell, order)

    def _files(self, tenant: Tenant, order: CellOrder, place: int) -> CellFiles:
        """The files of the part of the cell at that place; if Airflow or the release is missing, nothing is made."""
        deployed = order.deployed
        installed = self._installer.installed(deployed.version, deployed.lock)
        built = building.on_disk(deployed, self._paths.releases)
        if built is not None and built.private:
            installed = built.on(installed)
            interpreter_hook.add(installed.venv)  # an earlier Aerodrome may have made it without the hook
        environment = self._environments.prepared(tenant)
        port = self._environments.port(tenant, environment.paths.cell(order.revision, place))
        return CellFiles(
            environment=environment, order=order, installation=installed, built=built, execution_port=port, place=place
        )


def _kept(order: CellOrder, units: list[dict[str, Any]]) -> frozenset[str]:
    """The names of the units that run under `Keep.ALL` and `Keep.SHARED`."""
    once = versions.lookup(order.deployed.version).adapter.ONCE if order.keep is Keep.SHARED else frozenset()
    return frozenset(str(unit["name"]) for unit in units if zones.parted(unit["name"])[0] not in once)


def _same_units(order: CellOrder, known: CellOrder) -> bool:
    """Whether both orders describe the same units, whatever they say about what is kept."""
    return replace(order, keep=known.keep, patience=known.patience) == known


def _drain(cell: CellPaths, order: CellOrder, units: list[dict[str, Any]]) -> None:
    """Stop everything but what running tasks need, and the web server that shows them.

    Workers have the order's patience to end.
    """
    needed = versions.lookup(order.deployed.version).adapter.NEEDED_BY_TASKS
    shown = {unit["name"] for unit in units if order.web_servers > 0 and airflow_units.is_web_server(unit["name"])}
    patient = [_with_patience(unit, order.patience) if unit["name"].startswith(WORKER) else unit for unit in units]
    answer = cell_client.ask(cell.socket, {"op": "status"})
    present = {unit.name for unit in cell_client.units(answer)} if answer is not None else set()
    # The patience comes first, because it counts from the moment when a worker is told to stop.
    _apply(cell, patient, present)
    _apply(cell, patient, {name for name in present if name in shown or zones.parted(name)[0] in needed})


def _apply(cell: CellPaths, units: list[dict[str, Any]], names: Collection[str]) -> None:
    kept = [unit for unit in units if unit["name"] in names]
    if cell_client.ask(cell.socket, {"op": "apply", "units": kept}) is None:
        raise RetryError(f"the cell at {cell.run} is gone")


def _with_patience(unit: dict[str, Any], patience: float) -> dict[str, Any]:
    return {**unit, "stop": {**unit["stop"], "grace": patience}}
