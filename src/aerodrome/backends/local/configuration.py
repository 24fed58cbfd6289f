"""What one environment's cells and units are told: Airflow's files, the sidecar's, Redis's, and the lists of units.

Redis and the sidecar have a cell of their own (`write_services`), for they outlive every revision; Airflow's units have
one for each revision (`write_cell`). Secrets go into files of mode 0600 only; the rest computes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aerodrome.airflow import metadata as airflow_metadata
from aerodrome.airflow import units as shared_units
from aerodrome.airflow import versions
from aerodrome.airflow.context import Context
from aerodrome.aws import credentials
from aerodrome.aws.credentials import Credentials
from aerodrome.backends.local import metadata, places, trust
from aerodrome.backends.local.places import Owner
from aerodrome.identity import tokens
from aerodrome.identity.vault import EnvironmentSecrets
from aerodrome.model import arns, classes, web_address
from aerodrome.model.environment import Environment
from aerodrome.model.spec import Spec
from aerodrome.release import airflow_home, startup_variables
from aerodrome.release.airflow_home import Parts
from aerodrome.release.built_releases import Built
from aerodrome.release.installation import Installation
from aerodrome.services import redis
from aerodrome.services.clusters import Cluster
from aerodrome.settings import EMBEDDED, CellPaths, EnvironmentPaths, Settings

SIDECAR = "sidecar"
SESSION_NAME = "AmazonMWAA-airflow"
"""The session name of the execution role, as MWAA's is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Everything that an environment's configuration on this machine is made from."""

    settings: Settings
    environment: Environment
    spec: Spec
    """The configuration: the environment's own, or that of the change."""

    paths: EnvironmentPaths
    owner: Owner
    cluster: Cluster
    aws_endpoint_url: str | None
    mwaa_endpoint_url: str
    secrets: EnvironmentSecrets = field(repr=False)
    gateway_ports: web_address.Ports
    service_key: tuple[str, str] = field(repr=False)
    """Access key id and secret of the environment's own part towards our STS."""

    key_set: Mapping[str, Any]
    credentials_port: int

    @property
    def endpoints(self) -> redis.Endpoints:
        """Celery's URLs."""
        if self.settings.redis_url == EMBEDDED:
            return redis.embedded(self.paths.redis_socket)
        return redis.external(self.settings.redis_url, self.environment.identifier)

    @property
    def credentials_uri(self) -> str:
        """Where units get the execution role's credentials."""
        return f"http://127.0.0.1:{self.credentials_port}/credentials"

    @property
    def iam_endpoint_url(self) -> str | None:
        """Where IAM and STS are: ours beside the embedded emulator; None where the AWS endpoint has its own."""
        return self.mwaa_endpoint_url if self.settings.aws_endpoint_url == EMBEDDED else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A revision's units: what they run and where."""

    place: Place
    revision: int
    installation: Installation
    built: Built | None
    """None = the bare version."""

    execution_port: int
    takes_over: bool
    """Whether its cell was first started beside another that serves."""


def context(rig: Rig) -> Context:
    """The environment as the airflow room wants to know it."""
    place = rig.place
    environment, paths, spec = place.environment, place.paths, place.spec
    endpoints, seen = place.endpoints, replace(environment, spec=spec)
    return Context(
        name=environment.name,
        region=place.settings.region,
        account_id=place.settings.account_id,
        version=rig.installation.version,
        interpreter=rig.installation.python,
        programs=rig.installation.programs,
        home=paths.airflow_home(rig.revision),
        airflow_home=airflow_home.seen(paths.airflow_home(rig.revision), _parts(rig)).path,
        configuration=paths.configuration / str(rig.revision),
        dags=airflow_home.path_of(airflow_home.DAGS, paths.dags),
        plugins=airflow_home.path_of(airflow_home.PLUGINS, rig.built.plugins if rig.built else paths.plugins),
        site=rig.built.site if rig.built else None,
        logs=airflow_home.path_of(airflow_home.LOGS, paths.logs),
        unit_logs=paths.unit_logs / str(rig.revision),
        run=paths.unit_sockets,
        temporary=paths.temporary,
        web_socket=paths.web_socket(rig.revision),
        jwks=paths.key_set,
        database=metadata.of(place.cluster, metadata.name_of(environment), place.secrets.database_password),
        broker_url=endpoints.broker_url,
        result_backend_url=endpoints.result_backend,
        key_prefix=endpoints.key_prefix or None,
        fernet_key=place.secrets.fernet_key,
        jwt_secret=place.secrets.jwt_secret,
        secret_key=place.secrets.secret_key,
        execution_port=rig.execution_port,
        gateway_issuer=tokens.ISSUER,
        gateway_audience=tokens.audience(environment.name),
        base_url=f"https://{web_address.web_address(seen, place.settings, place.gateway_ports)}",
        aws_endpoint_url=place.aws_endpoint_url,
        mwaa_endpoint_url=place.mwaa_endpoint_url,
        iam_endpoint_url=place.iam_endpoint_url,
        credentials_uri=place.credentials_uri,
        credentials_token_file=paths.credentials_token,
        options=spec.airflow_configuration_options,
        tasks_per_worker=classes.CLASSES[spec.environment_class].tasks_per_worker,
        defaults=defaults(place),
        variables=_exported(rig),
        revision=rig.revision,
        takes_over=rig.takes_over,
        workers=spec.min_workers,
        max_workers=spec.max_workers,
        uid=place.owner.uid,
        gid=place.owner.gid,
    )


def variables(place: Place, version: str) -> dict[str, str]:
    """What code of the environment finds in its environment when it is tried, and not run."""
    cloud = shared_units.Cloud(
        region=place.settings.region,
        account_id=place.settings.account_id,
        version=version,
        aws_endpoint_url=place.aws_endpoint_url,
        mwaa_endpoint_url=place.mwaa_endpoint_url,
        iam_endpoint_url=place.iam_endpoint_url,
        credentials_uri=place.credentials_uri,
        credentials_token_file=place.paths.credentials_token,
    )
    return {"AIRFLOW_ENV_NAME": place.environment.name, **shared_units.aws(cloud)}


def defaults(place: Place) -> dict[str, str]:
    """What code of the environment finds in its environment unless its startup script says something else."""
    return trust.variables(place.paths.trust)


def write_trust(place: Place) -> None:
    """Write the file that `defaults` leads to."""
    text = trust.bundle(place.settings.paths.authority)
    places.write(place.paths.trust, text, Owner(None, None), mode=places.READABLE)


def write_cell(rig: Rig) -> None:
    """Write every file that a revision's cell and its units read."""
    place = rig.place
    found, cell = context(rig), place.paths.cell(rig.revision)
    adapter = versions.lookup(rig.installation.version).adapter
    places.prepare_cell(place.paths, rig.revision, place.owner)
    write_trust(place)
    seen = airflow_home.lay_out(found.home, _parts(rig), place.owner.user)
    for path, text in adapter.configuration(found).items():
        places.write(path, text, place.owner)
    units = [dict(unit) for unit in adapter.units(found)]
    started = {
        "units": units,
        "once": sorted(adapter.ONCE),
        "needed_by_tasks": sorted(adapter.NEEDED_BY_TASKS),
        "version": rig.installation.version,
        "lock": rig.installation.lock,
        "private": rig.built.identifier if rig.built and rig.built.private else None,
        "takes_over": rig.takes_over,
    }
    ours = Owner(None, None)
    places.write(cell.units, json.dumps(started), ours)
    cell.draining.unlink(missing_ok=True)
    prelude = {
        **shared_units.prelude(found),
        "name": "nursery",
        "how": "fork",
        "umask": shared_units.UMASK,
        "log": str(found.unit_logs / "nursery.log"),
        "ready": "started",
        "after": [],
        "stop": {"signal": "SIGTERM", "grace": 5},
    }
    places.write(cell.config, json.dumps(_cell(place, cell, found.unit_logs, units, prelude, seen.views)), ours)


def write_services(place: Place) -> None:
    """Write every file that Redis, the sidecar and their cell read."""
    paths, owner, ours = place.paths, place.owner, Owner(None, None)
    places.write(paths.key_set, json.dumps(place.key_set), ours, mode=places.READABLE)
    places.write(paths.redis_config, redis.configuration(socket=paths.redis_socket, spool=paths.spool), owner)
    places.write(paths.credentials_token, place.secrets.credentials_token, owner)
    places.write(paths.sidecar_config, sidecar(place), ours)
    units = [*_redis_unit(place), _sidecar_unit(place)]
    places.write(paths.services.units, json.dumps({"units": units}), ours)
    places.write(paths.services.config, json.dumps(_cell(place, paths.services, paths.unit_logs, units)), ours)


def sidecar(place: Place) -> str:
    """The sidecar's own configuration."""
    environment, paths, spec = place.environment, place.paths, place.spec
    request = airflow_metadata.parse_request(versions.lookup(spec.airflow_version))
    database = metadata.of(place.cluster, metadata.name_of(environment), place.secrets.database_password)
    document = {
        "environment": environment.name,
        "region": place.settings.region,
        "bucket": arns.bucket_name(spec.source_bucket_arn),
        "dag_prefix": spec.dag_s3_path,
        "dags_dir": str(paths.dags),
        "dags_seen_at": str(airflow_home.path_of(airflow_home.DAGS, paths.dags)),
        "aws_endpoint_url": place.aws_endpoint_url,
        "role_arn": spec.execution_role_arn,
        "session_name": SESSION_NAME,
        "sts_endpoint_url": place.iam_endpoint_url,
        "source_credentials": _written(source_credentials(place)),
        "credentials_port": place.credentials_port,
        "credentials_token_file": str(paths.credentials_token),
        "database": {
            "host": database.host,
            "dbname": database.name,
            "user": database.user,
            "password": database.password,
        },
        "priority_parse": {"sql": request.text, "style": request.style} if request else None,
        "status_file": str(paths.sidecar_status),
        "interval": 1.0,
    }
    return json.dumps(document)


def _parts(rig: Rig) -> Parts:
    """What the units of a revision find below AIRFLOW_HOME."""
    paths = rig.place.paths
    brought = rig.built.parts if rig.built else Parts(plugins=paths.plugins)
    return replace(brought, dags=paths.dags, logs=paths.logs)


def _cell(
    place: Place,
    cell: CellPaths,
    logs: Path,
    units: list[dict[str, Any]],
    prelude: dict[str, Any] | None = None,
    views: Sequence[tuple[Path, Path]] = (),
) -> dict[str, Any]:
    return {
        "environment": place.environment.name,
        "views": [[str(folder), str(path)] for folder, path in views],
        "socket": str(cell.socket),
        "state": str(cell.state),
        "pid_file": str(cell.pid_file),
        "log": str(logs / "cell.log"),
        "units": units,
        "prelude": prelude,
    }


def _exported(rig: Rig) -> Mapping[str, Mapping[str, str]]:
    """What the startup script exported and no configuration option sets as well."""
    if rig.built is None:
        return {}
    options = rig.place.spec.airflow_configuration_options
    exported = rig.built.startup().variables
    return {component: startup_variables.under_options(each, options) for component, each in exported.items()}


def _redis_unit(place: Place) -> list[dict[str, Any]]:
    if place.settings.redis_url != EMBEDDED:
        return []
    paths = place.paths
    return [
        redis.unit(
            program=redis.find_program(),
            config=paths.redis_config,
            socket=paths.redis_socket,
            spool=paths.spool,
            log=paths.unit_logs / "redis.log",
            uid=place.owner.uid,
            gid=place.owner.gid,
        )
    ]


def _sidecar_unit(place: Place) -> dict[str, Any]:
    """The sidecar runs as ourselves: it holds keys that the environment must not see."""
    paths = place.paths
    return {
        "name": SIDECAR,
        "how": "exec",
        "argv": [sys.executable, "-I", "-m", "aerodrome.sidecar", "--config", str(paths.sidecar_config)],
        "env": {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(Path.home())},
        "cwd": str(paths.run),
        "umask": 0o077,
        "uid": None,
        "gid": None,
        "log": str(paths.unit_logs / "sidecar.log"),
        "ready": "notify",
        "listen": place.credentials_port,
        "after": [],
        "stop": {"signal": "SIGTERM", "grace": 5},
    }


def source_credentials(place: Place) -> Credentials | None:
    """The keys that assume the execution role; None = what botocore finds on the host, for the real AWS."""
    if place.settings.aws_endpoint_url == EMBEDDED:
        key_id, secret = place.service_key
        return Credentials(access_key_id=key_id, secret_access_key=secret)
    return credentials.configured(place.settings)


def _written(keys: Credentials | None) -> dict[str, str] | None:
    if keys is None:
        return None
    return {"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key}
