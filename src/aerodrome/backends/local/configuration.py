"""What one environment's cell and units are told: Airflow's files, the sidecar's, Redis's, and the list of units.

`write` puts it all on disk, secrets in files of mode 0600 only; the rest computes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aerodrome.airflow import metadata as airflow_metadata
from aerodrome.airflow import units as shared_units
from aerodrome.airflow import versions
from aerodrome.airflow.context import Context
from aerodrome.aws import credentials
from aerodrome.backends.local import metadata, places
from aerodrome.backends.local.places import Owner
from aerodrome.backends.local.ports import Ports
from aerodrome.identity import tokens
from aerodrome.identity.vault import EnvironmentSecrets
from aerodrome.model import arns, classes
from aerodrome.model.environment import Environment
from aerodrome.release.installation import Installation
from aerodrome.services import redis
from aerodrome.services.clusters import Cluster
from aerodrome.settings import EMBEDDED, EnvironmentPaths, Settings

SIDECAR = "sidecar"
SESSION_NAME = "AmazonMWAA-airflow"
"""The session name of the execution role, as MWAA's is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Everything that an environment's configuration on this machine is made from."""

    settings: Settings
    environment: Environment
    paths: EnvironmentPaths
    owner: Owner
    ports: Ports
    installation: Installation
    cluster: Cluster
    aws_endpoint_url: str | None
    mwaa_endpoint_url: str
    secrets: EnvironmentSecrets = field(repr=False)
    key_set: Mapping[str, Any]

    @property
    def endpoints(self) -> redis.Endpoints:
        """Celery's URLs."""
        if self.settings.redis_url == EMBEDDED:
            return redis.embedded(self.paths.redis_socket)
        return redis.external(self.settings.redis_url, self.environment.identifier)


def context(place: Place) -> Context:
    """The environment as the airflow room wants to know it."""
    environment, paths, spec = place.environment, place.paths, place.environment.spec
    endpoints = place.endpoints
    return Context(
        name=environment.name,
        region=place.settings.region,
        account_id=place.settings.account_id,
        version=spec.airflow_version,
        interpreter=place.installation.python,
        home=paths.airflow,
        airflow_home=paths.airflow,
        dags=paths.dags,
        plugins=paths.plugins,
        logs=paths.logs,
        unit_logs=paths.unit_logs,
        run=paths.unit_sockets,
        web_socket=paths.web_socket,
        jwks=paths.key_set,
        database=metadata.of(place.cluster, metadata.name_of(environment), place.secrets.database_password),
        broker_url=endpoints.broker_url,
        result_backend_url=endpoints.result_backend,
        key_prefix=endpoints.key_prefix or None,
        fernet_key=place.secrets.fernet_key,
        jwt_secret=place.secrets.jwt_secret,
        secret_key=place.secrets.secret_key,
        execution_port=place.ports.execution,
        gateway_issuer=tokens.ISSUER,
        gateway_audience=tokens.audience(environment.name),
        base_url=f"https://{environment.web_host(place.settings.region)}",
        aws_endpoint_url=place.aws_endpoint_url,
        mwaa_endpoint_url=place.mwaa_endpoint_url,
        credentials_uri=f"http://127.0.0.1:{place.ports.credentials}/credentials",
        credentials_token_file=paths.credentials_token,
        options=spec.airflow_configuration_options,
        tasks_per_worker=classes.CLASSES[spec.environment_class].tasks_per_worker,
        workers=spec.min_workers,
        max_workers=spec.max_workers,
        uid=place.owner.uid,
        gid=place.owner.gid,
    )


def units(place: Place) -> list[dict[str, Any]]:
    """The specifications of all units, Redis and the sidecar first."""
    airflow = versions.lookup(place.environment.spec.airflow_version).adapter.units(context(place))
    return [*_redis_unit(place), _sidecar_unit(place), *map(dict, airflow)]


def write(place: Place) -> None:
    """Write every file that the cell and its units read."""
    paths, owner, ours = place.paths, place.owner, Owner(None, None)
    for path, text in (
        versions.lookup(place.environment.spec.airflow_version).adapter.configuration(context(place)).items()
    ):
        places.write(path, text, owner)
    places.write(paths.key_set, json.dumps(place.key_set), owner)
    places.write(paths.redis_config, redis.configuration(socket=paths.redis_socket, spool=paths.spool), owner)
    places.write(paths.credentials_token, place.secrets.credentials_token, owner)
    places.write(paths.ports, json.dumps(asdict(place.ports)), ours)
    places.write(paths.sidecar_config, json.dumps(_sidecar(place)), ours)
    cell = {
        "environment": place.environment.name,
        "socket": str(paths.cell_socket),
        "state": str(paths.cell_state),
        "pid_file": str(paths.cell_pid_file),
        "log": str(paths.unit_logs / "cell.log"),
        "units": units(place),
        "prelude": _prelude(place),
    }
    places.write(paths.cell_config, json.dumps(cell), ours)


def _prelude(place: Place) -> dict[str, Any]:
    """What the cell's nursery runs: Airflow's imports, once for all units."""
    return {
        **shared_units.prelude(context(place)),
        "name": "nursery",
        "how": "fork",
        "umask": shared_units.UMASK,
        "log": str(place.paths.unit_logs / "nursery.log"),
        "ready": "started",
        "after": [],
        "stop": {"signal": "SIGTERM", "grace": 5},
    }


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
        "after": [],
        "stop": {"signal": "SIGTERM", "grace": 5},
    }


def _sidecar(place: Place) -> dict[str, Any]:
    environment, paths, spec = place.environment, place.paths, place.environment.spec
    request = airflow_metadata.parse_request(versions.lookup(spec.airflow_version))
    database = metadata.of(place.cluster, metadata.name_of(environment), place.secrets.database_password)
    return {
        "environment": environment.name,
        "region": place.settings.region,
        "bucket": arns.bucket_name(spec.source_bucket_arn),
        "dag_prefix": spec.dag_s3_path,
        "dags_dir": str(paths.dags),
        "aws_endpoint_url": place.aws_endpoint_url,
        "role_arn": spec.execution_role_arn,
        "session_name": SESSION_NAME,
        "source_credentials": _source_credentials(place.settings),
        "credentials_port": place.ports.credentials,
        "credentials_token_file": str(paths.credentials_token),
        "database": {
            "host": database.host,
            "dbname": database.name,
            "user": database.user,
            "password": database.password,
        },
        "priority_parse": {"sql": request.text, "style": request.style},
        "status_file": str(paths.sidecar_status),
        "interval": 1.0,
    }


def _source_credentials(settings: Settings) -> dict[str, str] | None:
    """The keys that assume the execution role; None = what botocore finds on the host, for the real AWS."""
    keys = credentials.configured(settings)
    if keys is None:
        return None
    return {"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key}
