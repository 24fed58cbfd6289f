"""Carries out orders for the services' cell of an environment, and keeps its queue with its database.

A queue belongs to one database, and to the Airflow version of that database. While another database is in place, the
queue is put aside; it comes back with its own database. Redis does not run while queues are exchanged.
"""

from __future__ import annotations

from aerodrome import private_files
from aerodrome.backends.local import (
    cell_client,
    cell_states,
    disk_images,
    environment_folders,
    leftovers,
    ports,
    recorded_orders,
    service_cell,
    service_files,
)
from aerodrome.backends.local.cell_states import CellStates
from aerodrome.backends.local.environment import LocalEnvironment
from aerodrome.backends.local.environments import LocalEnvironments
from aerodrome.backends.local.paths import CellPaths, EnvironmentPaths
from aerodrome.errors import BrokenError, RetryError
from aerodrome.model.orders import AT_ONCE, Keep, ServicesOrder
from aerodrome.model.tenant import Tenant


class ServiceOrders:
    """Carries out orders for the services of environments."""

    def __init__(self, environments: LocalEnvironments, states: CellStates) -> None:
        self._environments = environments
        self._states = states

    def carry_out(self, tenant: Tenant, order: ServicesOrder) -> None:
        """Begin to carry the order out."""
        paths = self._environments.paths(tenant)
        if order.keep is Keep.NOTHING:
            self._end(tenant, paths, order)
            return
        is_alive = self._states.is_alive(paths.services)
        known = recorded_orders.read(paths.services)
        if is_alive and known == order:
            return
        number = _queue(paths)
        if number is not None and number != order.queue:
            self._change_queue(tenant, paths, number, order.queue, is_alive=is_alive)
        environment = self._environments.prepared(tenant)
        if number != order.queue:
            private_files.write(paths.queue, str(order.queue))
        recorded_orders.forget(paths.services)
        if is_alive:
            _tell(environment, order, is_known=known is not None)
            if known is None or known.keep is not order.keep:
                _keep(paths.services, order)
        else:
            self._environments.limit(tenant)
            _start(environment, order)
        recorded_orders.write(paths.services, order)

    def end_everything(self, tenant: Tenant) -> None:
        """Kill every process of the environment.

        Raises:
            RetryError: some process has not ended yet after its SIGKILL.
        """
        paths = self._environments.paths(tenant)
        revisions = environment_folders.revisions(paths)
        every = [paths.services, *(part for revision in revisions for part in paths.parts(revision))]
        groups = self._environments.groups
        owners = self._environments.owner(tenant), self._environments.control(tenant)
        leftovers.end(every, *owners, top=groups.top(), whole=groups.of_environment(tenant.identifier))

    def forget_queues_before(self, tenant: Tenant, revision: int) -> None:
        """Remove the queues that were put aside, if the present queue belongs to a revision after this one.

        Otherwise a queue that was put aside may still come back.
        """
        number = _queue(self._environments.paths(tenant))
        if number is not None and number > revision:
            self._environments.queues(tenant).forget_aside()

    def _end(self, tenant: Tenant, paths: EnvironmentPaths, order: ServicesOrder) -> None:
        cell = paths.services
        if order.patience == AT_ONCE or not self._states.is_leaving(cell):
            self.end_everything(tenant)
        if cell.config.exists():
            recorded_orders.write(cell, order)

    def _change_queue(
        self, tenant: Tenant, paths: EnvironmentPaths, number: int, wanted: int, *, is_alive: bool
    ) -> None:
        """Put the present queue aside, or bring an earlier one back; safe to repeat until the new number is noted.

        Raises:
            RetryError: Redis has not ended yet.
        """
        if is_alive:
            cell_client.ask(paths.services.socket, {"op": "shutdown"})
            raise RetryError("waiting for Redis to end, because its queue is replaced", delay=0.2)
        leftovers.end([paths.services], None, top=self._environments.groups.top())
        queues = self._environments.queues(tenant)
        if wanted > number:
            queues.set_aside(wanted)
        else:
            queues.put_back(number)


def _queue(paths: EnvironmentPaths) -> int | None:
    """The number of the present queue; None = nobody has written it down."""
    try:
        return int(paths.queue.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _tell(environment: LocalEnvironment, order: ServicesOrder, *, is_known: bool) -> None:
    """Restart the sidecar if its configuration changed, or if its order is not known: we may have died in between."""
    paths = environment.paths
    text = service_files.sidecar(environment, order)
    is_same = paths.sidecar_config.is_file() and paths.sidecar_config.read_text(encoding="utf-8") == text
    if is_same and is_known:
        return
    private_files.write(paths.sidecar_config, text)
    if cell_client.ask(paths.services.socket, {"op": "restart", "unit": service_files.SIDECAR}) is None:
        raise RetryError("the services' cell is gone")


def _keep(cell: CellPaths, order: ServicesOrder) -> None:
    """Let those services run that the order keeps; nothing happens to those that run already."""
    units = service_files.kept(order, cell_states.units(cell))
    if not units:
        raise RetryError(f"no file says which units the cell at {cell.run} has")
    if cell_client.ask(cell.socket, {"op": "apply", "units": units}) is None:
        raise RetryError("the services' cell is gone")


def _prepare_logs(environment: LocalEnvironment) -> None:
    """See to a sound disk image for the logs; where cells run without one, it is made when all have ended."""
    paths = environment.paths
    if environment.owner is None or disk_images.trouble():
        return
    cells = [each for revision in environment_folders.revisions(paths) for each in paths.parts(revision)]
    is_alone = not any(leftovers.exist(cell) or leftovers.process_of(cell) is not None for cell in cells)
    if is_alone or paths.logs_image.exists():
        disk_images.prepare_logs(paths, disk_images.sizes(environment.control_plane.settings).logs)


def _start(environment: LocalEnvironment, order: ServicesOrder) -> None:
    _prepare_logs(environment)
    service_files.write(environment, order)
    try:
        service_cell.start(environment.paths)
    except BrokenError as error:
        if error.code != "SERVICE_ENDED" or ports.is_free(environment.credentials_port):
            raise
        # Somebody was faster; the next try chooses another port.
        raise RetryError(f"another program has taken port {environment.credentials_port}") from error
