"""Orders for the cell of an environment's services, carried out; and its queue, which must be that of the database.

What is queued is of a version of Airflow and of its database. While another database is in place it is put aside, and
it comes back with its own; Redis does not run meanwhile.
"""

from __future__ import annotations

from aerodrome import private_files
from aerodrome.backends.local import (
    cell_client,
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
from aerodrome.backends.local.paths import EnvironmentPaths
from aerodrome.errors import BrokenError, RetryError
from aerodrome.model.orders import AT_ONCE, Keep, ServicesOrder
from aerodrome.model.tenant import Tenant


class ServiceOrders:
    """Carries out orders for the services of environments."""

    def __init__(self, environments: LocalEnvironments, states: CellStates) -> None:
        self._environments = environments
        self._states = states

    def carry_out(self, tenant: Tenant, order: ServicesOrder) -> None:
        """Begin what makes it so."""
        paths = self._environments.paths(tenant)
        if order.keep is Keep.NOTHING:
            self._end(tenant, paths, order)
            return
        is_alive = self._states.is_alive(paths.services)
        known = recorded_orders.read(paths.services)
        if is_alive and known == order:
            return
        self._environments.prepared(tenant)
        if _queue(paths) != order.queue:
            self._change_queue(tenant, paths, order.queue, is_alive=is_alive)
        environment = self._environments.prepared(tenant)  # whose queue may have been put aside, with its folder
        recorded_orders.forget(paths.services)
        if is_alive:
            _tell(environment, order, is_known=known is not None)
        else:
            _start(environment, order)
        recorded_orders.write(paths.services, order)

    def end_everything(self, tenant: Tenant) -> None:
        """Kill every process of the environment.

        Raises:
            RetryError: something outlived its SIGKILL so far.
        """
        paths = self._environments.paths(tenant)
        every = [paths.services, *map(paths.cell, environment_folders.revisions(paths))]
        leftovers.end(every, self._environments.owner(tenant))

    def forget_queues_before(self, tenant: Tenant, revision: int) -> None:
        """Remove what was put aside, unless the queue is that of the revision or of one before: it may come back."""
        number = _queue(self._environments.paths(tenant))
        if number is not None and number > revision:
            self._environments.queues(tenant).forget_aside()

    def _end(self, tenant: Tenant, paths: EnvironmentPaths, order: ServicesOrder) -> None:
        cell = paths.services
        if order.patience == AT_ONCE or not self._states.is_leaving(cell):
            self.end_everything(tenant)
        if cell.config.exists():
            recorded_orders.write(cell, order)

    def _change_queue(self, tenant: Tenant, paths: EnvironmentPaths, wanted: int, *, is_alive: bool) -> None:
        """Put aside what is queued, or bring back what was; each may be done again at any point.

        Raises:
            RetryError: Redis is just ending.
        """
        number, queues = _queue(paths), self._environments.queues(tenant)
        if number is not None:
            if is_alive:
                cell_client.ask(paths.services.socket, {"op": "shutdown"})
                raise RetryError("waiting for Redis to end, for its queue is to be replaced", delay=0.2)
            leftovers.end([paths.services], None)
            if wanted > number:
                queues.set_aside(wanted)
            else:
                queues.put_back(number)
        private_files.write(paths.queue, str(wanted))


def _queue(paths: EnvironmentPaths) -> int | None:
    """Of which number the queue is; None = nobody has noted it."""
    try:
        return int(paths.queue.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _tell(environment: LocalEnvironment, order: ServicesOrder, *, is_known: bool) -> None:
    """Let the sidecar begin anew with another configuration; also where we may have been killed in between."""
    paths = environment.paths
    text = service_files.sidecar(environment, order)
    is_same = paths.sidecar_config.is_file() and paths.sidecar_config.read_text(encoding="utf-8") == text
    if is_same and is_known:
        return
    private_files.write(paths.sidecar_config, text)
    if cell_client.ask(paths.services.socket, {"op": "restart", "unit": service_files.SIDECAR}) is None:
        raise RetryError("the cell of the services is gone")


def _start(environment: LocalEnvironment, order: ServicesOrder) -> None:
    service_files.write(environment, order)
    try:
        service_cell.start(environment.paths)
    except BrokenError as error:
        if error.code != "SERVICE_ENDED" or ports.is_free(environment.credentials_port):
            raise
        # Somebody was faster; the next try chooses another port.
        raise RetryError(f"port {environment.credentials_port} is somebody else's by now") from error
