"""The environments on this machine: their folders, users and ports, found by their tenants."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from aerodrome import private_files
from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.local import cell_client, environment_folders, leftovers, paths, ports, recorded_orders
from aerodrome.backends.local.environment import LocalEnvironment
from aerodrome.backends.local.groups import Groups
from aerodrome.backends.local.paths import CellPaths, EnvironmentPaths
from aerodrome.backends.local.users import Users
from aerodrome.model import classes
from aerodrome.model.classes import EnvironmentClass
from aerodrome.model.orders import CellOrder
from aerodrome.model.tenant import Tenant
from aerodrome.services import folders
from aerodrome.services.queues import Queues
from aerodrome.settings import EMBEDDED
from aerodrome.unix_users import UnixUser


class LocalEnvironments:
    """Knows where an environment has everything; makes its folders and chooses its ports."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.control_plane = control_plane
        self._settings = control_plane.settings
        self._users = Users(control_plane.settings)
        self.groups = Groups(control_plane.settings.paths)
        self._choosing = threading.Lock()
        """Held while a port is chosen: two environments must not find the same one free."""

    def paths(self, tenant: Tenant) -> EnvironmentPaths:
        return paths.of(self._settings.paths, tenant.name, tenant.identifier)

    def owner(self, tenant: Tenant) -> UnixUser | None:
        """The user whom its units run as."""
        return self._users.owner_of(tenant.number)

    def control(self, tenant: Tenant) -> UnixUser | None:
        """Whom those of its units run as that hold secrets; None = `owner`, for there is no other user."""
        return self._users.control_of(tenant.number)

    def builder(self, tenant: Tenant) -> UnixUser | None:
        """The user whom its packages and startup script run as before they are tried."""
        return self._users.builder_of(tenant.number)

    def queues(self, tenant: Tenant) -> Queues:
        url = None if self._settings.redis_url == EMBEDDED else self._settings.redis_url
        return Queues(identifier=tenant.identifier, folder=self.paths(tenant).redis_files, url=url)

    def prepared(self, tenant: Tenant) -> LocalEnvironment:
        """The environment; its folders are made if they do not exist."""
        secrets, found = self.control_plane.secrets(tenant), self.paths(tenant)
        if not environment_folders.are_prepared(found):
            environment_folders.prepare(found, self.owner(tenant), self.control(tenant))
        return LocalEnvironment(
            tenant=tenant,
            control_plane=self.control_plane,
            paths=found,
            owner=self.owner(tenant),
            builder=self.builder(tenant),
            control=self.control(tenant),
            groups=self.groups,
            secrets=secrets,
            credentials_port=self.port(tenant, found.services),
        )

    def limit(self, tenant: Tenant, *orders: CellOrder) -> None:
        """Set what the environment may have with its cells, to some of which these orders are about to be given."""
        self.groups.limit(tenant.identifier, self._cells(tenant, orders))

    def weigh(self, tenant: Tenant) -> None:
        """Set the environment's part of the processors alone: an order that is about to be given may have set more."""
        self.groups.weigh(tenant.identifier, self._cells(tenant))

    def _cells(self, tenant: Tenant, orders: Iterable[CellOrder] = ()) -> list[tuple[EnvironmentClass, int]]:
        """The classes and numbers of workers of the environment's cells."""
        found = self.paths(tenant)
        known = {each.revision: each for each in orders}
        for revision in environment_folders.revisions(found):
            for part in found.parts(revision):
                order = recorded_orders.read(part)
                if isinstance(order, CellOrder):
                    known.setdefault(revision, order)
        return [
            (classes.CLASSES[order.environment_class], len({*order.workers, *order.draining}))
            for order in known.values()
        ]

    def port(self, tenant: Tenant, cell: CellPaths) -> int:
        """The port of the last start, if its units still use it or nobody does; otherwise a new one, noted at once."""
        with self._choosing:
            last = ports.remembered(cell.port)
            if last is not None and (leftovers.exist(cell) or cell_client.answers(cell.socket) or ports.is_free(last)):
                return last
            taken = ports.noted(self._settings.paths.run)
            chosen = ports.choose(
                self._settings.data, tenant.number, lambda port: port not in taken and ports.is_free(port)
            )
            if not cell.run.is_dir():  # the services' cell is in the environment's run folder, which units pass through
                folders.make(cell.run, folders.PRIVATE)
            private_files.write(cell.port, str(chosen))
            return chosen
