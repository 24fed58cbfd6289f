"""The files that a revision's cell and its units read: Airflow's configuration, and the list of units.

Only files of mode 0600 hold secrets.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from aerodrome import private_files
from aerodrome.airflow import startup_variables, versions
from aerodrome.airflow import units as airflow_units
from aerodrome.airflow.context import Context
from aerodrome.airflow.units import UnitDocument
from aerodrome.backends import ownership
from aerodrome.backends.local import disk_images, environment_folders, groups, service_files
from aerodrome.backends.local.disk_images import Sizes
from aerodrome.backends.local.environment import LocalEnvironment
from aerodrome.backends.local.paths import CellPaths, part
from aerodrome.cell import mounts
from aerodrome.identity import tokens
from aerodrome.model import classes, limits, web_address, zones
from aerodrome.model.orders import CellOrder
from aerodrome.release import airflow_home
from aerodrome.release.airflow_home import Parts
from aerodrome.release.built_releases import Built
from aerodrome.release.installation import Installation
from aerodrome.unix_users import UnixUser


@dataclass(frozen=True, kw_only=True)
class CellFiles:
    """The files of the cell that follows an order."""

    environment: LocalEnvironment
    order: CellOrder
    installation: Installation
    built: Built | None
    """The release; None = the bare version."""

    execution_port: int
    """Loopback port of the execution API of Airflow 3, in this zone."""

    place: int = 0
    """That of the zone whose part of the cell this is."""

    may_be_apart: bool = True
    """Whether units may have two users; False for a cell that an Aerodrome has started which knew of one."""

    @property
    def cell(self) -> CellPaths:
        """Where they are."""
        return self.environment.paths.cell(self.order.revision, self.place)

    @cached_property
    def units(self) -> list[dict[str, Any]]:
        """The specifications of all units in this zone, also of those that are not kept now."""
        adapter = versions.lookup(self.installation.version).adapter
        own = [
            unit
            for unit in adapter.units(self.context)
            if zones.has(self.order, self.place, *zones.parted(unit["name"]))
        ]
        return [{**unit, **self._named(unit), "limits": self._limits(unit["name"])} for unit in own]

    def _named(self, unit: UnitDocument) -> dict[str, str]:
        """The name and the log of what every zone has one of, as of the zone at this place."""
        if unit["name"] not in zones.IN_EACH:
            return {}
        name = airflow_units.numbered(unit["name"], self.place + 1)
        return {"name": name, "log": str(self._log(unit["name"]))}

    def _log(self, name: str) -> Path:
        """The file for what a process prints that every zone has one of."""
        return self.context.unit_logs / f"{airflow_units.numbered(name, self.place + 1)}.log"

    def _limits(self, unit: str) -> dict[str, int]:
        """What the environment class gives to a unit, as far as this machine can."""
        found, machine = classes.CLASSES[self.order.environment_class], self.environment.groups.memory
        allowed = limits.of_unit(found, unit, machine)
        whole = limits.of_environment([(found, self.order.most_workers)], machine)
        return {
            "processes": allowed.processes,
            "memory": allowed.memory,
            "processors": limits.processors_of_unit(found, unit, groups.processors()),
            "user_processes": whole.processes,
            "file": self._sizes.temporary,
        }

    @property
    def _sizes(self) -> Sizes:
        return disk_images.sizes(self.environment.control_plane.settings)

    def write(self, kept: Collection[str]) -> None:
        """Write every file that the cell and its units read; the cell begins with the units that are `kept`."""
        environment, context, revision = self.environment, self.context, self.order.revision
        environment_folders.prepare_cell(
            environment.paths, revision, environment.owner, self._control, place=self.place
        )
        if environment.owner is not None and not disk_images.trouble():
            disk_images.prepare_temporary(environment.paths, revision, self._sizes.temporary)
        environment.write_trust()
        environment.write_credentials_token()
        seen = airflow_home.lay_out(context.home, self._parts, environment.owner)
        if context.control_home is not None:
            airflow_home.link(context.control_home, self._parts)
        for path, text in self._configuration.items():
            self._write(path, text)
        cell, units = self.cell, self.units
        private_files.write(cell.units, json.dumps({"units": units}))
        config = environment.cell_config(
            cell, self._log("cell"), [unit for unit in units if unit["name"] in kept], revision, self.place
        )
        config["views"] = [[str(folder), str(path)] for folder, path in seen.views]
        if environment.owner is not None:
            shown = disk_images.of_cell(environment.paths, revision, environment.owner, self._control)
            config["images"] = disk_images.documents(shown)
            config["writable"] = disk_images.writable(shown, environment.paths) if shown and self._private else None
        config["linkless"] = [str(context.logs)] if self._control is not None else []
        if environment.owner is not None:
            config["private"] = self._private
            config["hides"] = True
        config["prelude"] = {
            **airflow_units.prelude(context),
            "name": "nursery",
            "how": "fork",
            # Airflow 2 makes folders in that of the logs while it is imported.
            "umask": airflow_units.UMASK if context.gid is None else airflow_units.SHARED_UMASK,
            "log": str(self._log("nursery")),
            "ready": "started",
            "after": [],
            "stop": {"signal": "SIGTERM", "grace": 5},
        }
        private_files.write(cell.config, json.dumps(config))

    def change(self) -> None:
        """Write what a changed order changes for a running cell; configuration that stays the same is not written."""
        for path, text in self._configuration.items():
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                self._write(path, text)
        private_files.write(self.cell.units, json.dumps({"units": self.units}))

    @property
    def _private(self) -> str | None:
        """Folder of the units' own /tmp; None if they have everybody's, for something that they need lies there."""
        paths = self.environment.control_plane.settings.paths
        needed = [str(paths.data), str(paths.run), str(paths.versions), self.context.database.host]
        lost = any(mounts.would_lose(each) for each in needed if each.startswith("/"))
        return None if lost else str(self.environment.paths.private)

    def _write(self, path: Path, text: str) -> None:
        """Write a file of Airflow's; DAG code reads all but the one with secrets."""
        control = self._control
        if control is None:
            private_files.write(path, text, owner=self.environment.owner)
        else:
            mode = private_files.MODE if path.name == airflow_units.CONTROL else ownership.GROUP_READABLE
            private_files.write(path, text, owner=control, mode=mode)

    @cached_property
    def _control(self) -> UnixUser | None:
        """Whom the units with secrets run as; None where tasks need those secrets too, or there is no such user."""
        has_secrets = versions.lookup(self.installation.version).adapter.HIDES_SECRETS
        return self.environment.control if has_secrets and self.may_be_apart else None

    @property
    def _configuration(self) -> Mapping[Path, str]:
        adapter, context = versions.lookup(self.installation.version).adapter, self.context
        consuming = {context.configuration / airflow_units.CONSUMING: airflow_units.consuming(context)}
        return {**adapter.configuration(context), **consuming}

    @cached_property
    def context(self) -> Context:
        """The environment in the form that the room `airflow` takes."""
        environment, order, built = self.environment, self.order, self.built
        paths, plane, tenant = environment.paths, environment.control_plane, environment.tenant
        settings, owner, secrets = plane.settings, environment.owner, environment.secrets
        address = web_address.of(tenant.identifier, order.web_access, settings, plane.gateway_ports)
        home, control = paths.airflow_home(order.revision), self._control
        socket = paths.web_socket if control is None else paths.control_web_socket
        return Context(
            name=tenant.name,
            region=settings.region,
            account_id=settings.account_id,
            version=self.installation.version,
            interpreter=self.installation.python,
            programs=self.installation.programs,
            home=home,
            airflow_home=airflow_home.seen(home, self._parts).path,
            configuration=paths.configuration / part(order.revision, self.place),
            dags=airflow_home.path_of(airflow_home.DAGS, paths.dags),
            plugins=airflow_home.path_of(airflow_home.PLUGINS, built.plugins if built else paths.plugins),
            site=built.site if built else None,
            logs=airflow_home.path_of(airflow_home.LOGS, paths.logs),
            unit_logs=paths.unit_logs / str(order.revision),
            run=paths.unit_sockets,
            temporary=paths.temporary,
            web_socket=socket(order.revision),
            metrics_socket=paths.metrics_socket,
            traces_uri=self._traces_uri,
            jwks=paths.key_set,
            database=environment.database,
            broker_url=environment.redis.broker_url,
            result_backend_url=environment.redis.result_backend,
            key_prefix=environment.redis.key_prefix or None,
            fernet_key=secrets.fernet_key,
            jwt_secret=secrets.jwt_secret,
            secret_key=secrets.secret_key,
            execution_port=self.execution_port,
            gateway_issuer=tokens.ISSUER,
            gateway_audience=tokens.audience(tenant.name),
            base_url=f"https://{address}",
            aws_endpoint_url=plane.aws_endpoint_url,
            mwaa_endpoint_url=plane.mwaa_endpoint_url,
            iam_endpoint_url=plane.iam_endpoint_url,
            sts_endpoint_url=plane.sts_endpoint_url,
            credentials_uri=environment.credentials_uri,
            credentials_token_file=paths.credentials_token,
            options=order.options,
            tasks_per_worker=order.tasks_per_worker,
            defaults=environment.defaults,
            variables=self._exported,
            revision=order.revision,
            takes_over=order.deployed.takes_over,
            workers=order.workers,
            draining=order.draining,
            max_workers=order.most_workers,
            schedulers=order.schedulers,
            web_servers=max(1, order.web_servers),
            uid=owner.uid if owner else None,
            gid=owner.gid if owner else None,
            control_uid=control.uid if control else None,
            control_home=paths.control_home(order.revision) if control else None,
            control_temporary=paths.control_temporary if control else None,
        )

    @property
    def _traces_uri(self) -> str | None:
        is_on = self.environment.control_plane.settings.otlp_endpoint and service_files.takes_traces(self.environment)
        return self.environment.traces_uri if is_on else None

    @property
    def code(self) -> tuple[Path, ...]:
        """The folders with modules of the user's that Airflow may import by itself."""
        parts = self._parts
        config = None if parts.home is None else parts.home / airflow_home.CONFIG
        return tuple(each for each in (parts.dags, parts.plugins, config) if each is not None)

    @property
    def _parts(self) -> Parts:
        """What the units of a revision find below AIRFLOW_HOME."""
        paths, built = self.environment.paths, self.built
        brought = built.parts if built else Parts(plugins=paths.plugins)
        return replace(brought, dags=paths.dags, logs=paths.logs)

    @property
    def _exported(self) -> Mapping[str, Mapping[str, str]]:
        """The variables that the startup script exported, without those that a configuration option sets."""
        if self.built is None:
            return {}
        options = self.order.options
        exported = self.built.startup().variables
        return {component: startup_variables.under_options(each, options) for component, each in exported.items()}
