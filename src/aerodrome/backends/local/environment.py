"""One environment on this machine: what the files of its cells are made from, beside the orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aerodrome import private_files
from aerodrome.airflow import units as airflow_units
from aerodrome.airflow.context import Database
from aerodrome.backends import ownership
from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.databases import names
from aerodrome.backends.local import groups, trust
from aerodrome.backends.local.groups import Groups
from aerodrome.backends.local.paths import CellPaths, EnvironmentPaths
from aerodrome.identity.vault import EnvironmentSecrets
from aerodrome.model.tenant import Tenant
from aerodrome.services import redis
from aerodrome.settings import EMBEDDED
from aerodrome.unix_users import UnixUser


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEnvironment:
    """An environment's folders, user, secrets and port on this machine."""

    tenant: Tenant
    control_plane: ControlPlane
    paths: EnvironmentPaths
    owner: UnixUser | None
    """Whom its DAG code runs as; None = ourselves."""

    control: UnixUser | None
    """Whom those units run as that hold secrets which DAG code must not learn; None = `owner`."""

    builder: UnixUser | None
    """Whom its packages and startup script run as before they are tried; None = ourselves."""

    groups: Groups
    secrets: EnvironmentSecrets = field(repr=False)
    credentials_port: int
    """Loopback port on which the sidecar hands out the execution role's credentials."""

    @property
    def redis(self) -> redis.Endpoints:
        """Celery's URLs."""
        url = self.control_plane.settings.redis_url
        if url == EMBEDDED:
            return redis.embedded(self.paths.redis_socket)
        return redis.external(url, self.tenant.identifier)

    @property
    def database(self) -> Database:
        """How its units reach the metadata database."""
        name = names.live(self.tenant.identifier)
        return names.reached(self.control_plane.cluster(), name, self.secrets.database_password)

    @property
    def credentials_uri(self) -> str:
        """Where units get the execution role's credentials."""
        return f"http://127.0.0.1:{self.credentials_port}/credentials"

    @property
    def traces_uri(self) -> str:
        """Where units send spans to."""
        return f"http://127.0.0.1:{self.credentials_port}/v1/traces"

    @property
    def defaults(self) -> dict[str, str]:
        """Environment variables that its code gets unless its startup script sets them."""
        return trust.variables(self.paths.trust)

    def variables(self, version: str) -> dict[str, str]:
        """Environment variables that its code gets when it is only tried on that Airflow version."""
        plane = self.control_plane
        cloud = airflow_units.Cloud(
            region=plane.settings.region,
            account_id=plane.settings.account_id,
            version=version,
            aws_endpoint_url=plane.aws_endpoint_url,
            mwaa_endpoint_url=plane.mwaa_endpoint_url,
            iam_endpoint_url=plane.iam_endpoint_url,
            sts_endpoint_url=plane.sts_endpoint_url,
            credentials_uri=self.credentials_uri,
            credentials_token_file=self.paths.credentials_token,
        )
        return {"AIRFLOW_ENV_NAME": self.tenant.name, **airflow_units.aws(cloud)}

    def write_trust(self) -> None:
        """Write the file that the variables of `defaults` name."""
        text = trust.bundle(self.control_plane.settings.paths.authority)
        private_files.write(self.paths.trust, text, mode=ownership.READABLE)

    def write_credentials_token(self) -> None:
        """Write the file that both users of the environment show to the sidecar."""
        mode = private_files.MODE if self.owner is None else ownership.GROUP_READABLE
        private_files.write(self.paths.credentials_token, self.secrets.credentials_token, owner=self.owner, mode=mode)

    def cell_config(
        self, cell: CellPaths, log: Path, units: list[dict[str, Any]], revision: int | None = None, place: int = 0
    ) -> dict[str, Any]:
        """The configuration of the cell of a revision (None = of the services) with these units.

        It has no nursery and no views of folders. The group that it names is made.
        """
        return {
            "environment": self.tenant.name,
            "views": [],
            "linkless": [],
            "socket": str(cell.socket),
            "state": str(cell.state),
            "pid_file": str(cell.pid_file),
            "log": str(log),
            "units": units,
            "prelude": None,
            "group": groups.document(self.groups.for_cell(self.tenant.identifier, revision, place)),
        }
