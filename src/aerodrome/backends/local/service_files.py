"""The files that Redis, the sidecar and their cell read. They have their own cell: they outlive every revision."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from aerodrome import private_files
from aerodrome.airflow import metadata as airflow_metadata
from aerodrome.airflow import versions
from aerodrome.aws.credentials import Credentials
from aerodrome.backends import ownership
from aerodrome.backends.control_plane import SESSION_NAME
from aerodrome.backends.local import disk_images
from aerodrome.backends.local.environment import LocalEnvironment
from aerodrome.cell import cgroups
from aerodrome.model import announcements, arns
from aerodrome.model.orders import Keep, ServicesOrder
from aerodrome.release import airflow_home
from aerodrome.services import redis
from aerodrome.settings import EMBEDDED

SIDECAR = "sidecar"

COLLECTOR = "collector"
"""What a sidecar's configuration has that takes traces."""

METRICS_EVERY = 10
"""Seconds between two publications of metrics to the embedded CloudWatch; elsewhere requests cost, and MWAA has 60."""


def write(environment: LocalEnvironment, order: ServicesOrder) -> None:
    """Write every file that Redis, the sidecar and their cell read."""
    paths, owner = environment.paths, environment.owner
    plane = environment.control_plane
    private_files.write(paths.key_set, json.dumps(plane.key_set), mode=ownership.READABLE)
    private_files.write(paths.redis_config, _broker(environment), owner=owner)
    environment.write_credentials_token()
    private_files.write(paths.sidecar_config, sidecar(environment, order))
    units = [*_redis_unit(environment), _sidecar_unit(environment)]
    private_files.write(paths.services.units, json.dumps({"units": units}))
    config = environment.cell_config(paths.services, paths.unit_logs / "cell.log", kept(order, units))
    config["images"] = disk_images.documents(disk_images.of_services(paths, owner, environment.control))
    private_files.write(paths.services.config, json.dumps(config))


def share_broker(environment: LocalEnvironment) -> None:
    """Have the Redis of a services' cell that runs let both users in, also when that cell starts it again.

    An Aerodrome that knew of one user may have written its configuration.
    """
    path, wanted = environment.paths.redis_config, _broker(environment)
    if path.is_file() and path.read_text(encoding="utf-8") != wanted:
        private_files.write(path, wanted, owner=environment.owner)


def _broker(environment: LocalEnvironment) -> str:
    paths, shared = environment.paths, environment.control is not None
    return redis.configuration(socket=paths.redis_socket, folder=paths.redis_files, shared_group=shared)


def kept(order: ServicesOrder, units: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the services' units that the order keeps."""
    return [unit for unit in units if order.keep is not Keep.BUCKET or unit["name"] == SIDECAR]


def sidecar(environment: LocalEnvironment, order: ServicesOrder) -> str:
    """The sidecar's own configuration."""
    paths, plane, database = environment.paths, environment.control_plane, environment.database
    request = airflow_metadata.parse_request(versions.lookup(order.airflow_version))
    document = {
        "environment": environment.tenant.name,
        "region": plane.settings.region,
        "bucket": arns.bucket_name(order.bucket_arn),
        "dag_prefix": order.dag_s3_path,
        "dags_dir": str(paths.dags),
        "dags_bytes": plane.settings.dags_bytes,
        "dags_seen_at": str(airflow_home.path_of(airflow_home.DAGS, paths.dags)),
        "aws_endpoint_url": plane.aws_endpoint_url,
        "role_arn": order.execution_role_arn,
        "session_name": SESSION_NAME,
        "sts_endpoint_url": plane.sts_endpoint_url,
        "source_credentials": _written(plane.role_source(environment.tenant)),
        "credentials_port": environment.credentials_port,
        "credentials_token_file": str(paths.credentials_token),
        # The builder's too: startup scripts have the execution role's credentials.
        "credentials_users": [
            user.uid for user in (environment.owner, environment.control, environment.builder) if user is not None
        ],
        "database": {
            "host": database.host,
            "dbname": database.name,
            "user": database.user,
            "password": database.password,
        },
        "priority_parse": {"sql": request.text, "style": request.style} if request else None,
        "status_file": str(paths.sidecar_status),
        "logs": _logs(environment, order),
        "metrics": _metrics(environment, order),
        COLLECTOR: str(plane.settings.paths.collector),
        "task_logs": {"folder": str(paths.logs), "most": disk_images.sizes(plane.settings).logs},
        "interval": 1.0,
        "announced_at": _announced_at(environment, order),
    }
    return json.dumps(document)


def takes_traces(environment: LocalEnvironment) -> bool:
    """Whether the sidecar knows of traces: that of an earlier Aerodrome does not, and may run for long."""
    path = environment.paths.sidecar_config
    return path.is_file() and COLLECTOR in json.loads(path.read_text(encoding="utf-8"))


def _logs(environment: LocalEnvironment, order: ServicesOrder) -> dict[str, Any] | None:
    """Which logs are shipped; None where they would fill the memory of an emulator without a log store."""
    settings, paths = environment.control_plane.settings, environment.paths
    if settings.aws_endpoint_url == EMBEDDED and not settings.guards_aws:
        return None
    return {
        "levels": dict(order.log_levels),
        "units": str(paths.unit_logs),
        "tasks": str(paths.logs),
        "positions": str(paths.log_positions),
    }


def _metrics(environment: LocalEnvironment, order: ServicesOrder) -> dict[str, Any] | None:
    """Where metrics are taken from units; None where they would fill the memory of an emulator without a log store."""
    settings = environment.control_plane.settings
    if settings.aws_endpoint_url == EMBEDDED and not settings.guards_aws:
        return None
    return {
        "socket": str(environment.paths.metrics_socket),
        "group": environment.owner.gid if environment.owner else None,
        "line": versions.lookup(order.airflow_version).line,
        "every": METRICS_EVERY if settings.aws_endpoint_url == EMBEDDED else 60,
        "measured": _measured(environment) if settings.aws_endpoint_url == EMBEDDED else None,
    }


def _measured(environment: LocalEnvironment) -> dict[str, Any]:
    group = environment.groups.of_environment(environment.tenant.identifier)
    return {
        "memory": group.folders.get(cgroups.MEMORY) if group is not None else None,
        "queue_sql": airflow_metadata.queue_load().text,
    }


def _announced_at(environment: LocalEnvironment, order: ServicesOrder) -> str | None:
    """Where the sidecar hears of changes in the bucket: through our own door alone."""
    settings, bucket = environment.control_plane.settings, arns.bucket_name(order.bucket_arn)
    if not settings.guards_aws:
        return None
    return str(announcements.socket(settings.paths.announced, bucket, environment.tenant.identifier))


def _redis_unit(environment: LocalEnvironment) -> list[dict[str, Any]]:
    if environment.control_plane.settings.redis_url != EMBEDDED:
        return []
    paths, owner = environment.paths, environment.owner
    return [
        redis.unit(
            program=redis.find_program(),
            config=paths.redis_config,
            socket=paths.redis_socket,
            folder=paths.redis_files,
            log=paths.unit_logs / "redis.log",
            uid=owner.uid if owner else None,
            gid=owner.gid if owner else None,
        )
    ]


def _sidecar_unit(environment: LocalEnvironment) -> dict[str, Any]:
    """The sidecar's unit. It runs as ourselves, because it holds keys that the environment must not see."""
    paths = environment.paths
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
        "listen": environment.credentials_port,
        "after": [],
        "stop": {"signal": "SIGTERM", "grace": 5},
    }


def _written(keys: Credentials | None) -> dict[str, str] | None:
    if keys is None:
        return None
    return {"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key}
