"""What all unit specifications share: the environment of a process, built from an allow-list, and the shape itself.

The adapters say which units there are; the cell runs them. No secret may enter here: secrets lie in the configuration
files that AIRFLOW_CONFIG points to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict

from aerodrome.airflow.context import Context

UMASK = 0o077
"""Whatever a unit writes belongs to its user alone."""

GRACE = 30
"""Seconds between the stop signal and SIGKILL; schedulers and web servers need a few."""

WORKER_GRACE = 90
"""Seconds; MWAA's own patience with a worker that still runs tasks. Scaling drains a worker before it stops it."""

CONTROL = "control.cfg"
"""The configuration of the roles that we trust: database, keys."""

WORKER = "worker.cfg"
"""The configuration of the processes that run user code as tasks."""


SHARED = "shared.cfg"
"""What all roles share, without a secret: the configuration that Airflow is imported with before units are forked."""


class Prelude(TypedDict):
    """A script to run, with this environment, in the process that the units are then forked from; it returns."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    uid: int | None
    gid: int | None


class Stop(TypedDict):
    """How a unit is stopped."""

    signal: str
    grace: int


class Unit(TypedDict):
    """One long-running process, as the cell reads it (JSON)."""

    name: str
    how: Literal["fork", "exec"]
    argv: list[str]
    env: dict[str, str]
    cwd: str
    umask: int
    uid: int | None
    gid: int | None
    log: str
    ready: str
    after: list[str]
    stop: Stop


def unit(
    context: Context,
    name: str,
    role: list[str],
    *,
    component: str,
    config: str = CONTROL,
    after: tuple[str, ...] = (),
    grace: int = GRACE,
) -> Unit:
    """The unit that runs boot.py in `role` (its name and arguments)."""
    return {
        "name": name,
        "how": "fork",
        "argv": [str(context.inside / "boot.py"), *role],
        "env": environment(context, component=component, config=context.airflow_home / config),
        "cwd": str(context.airflow_home),
        "umask": UMASK,
        "uid": context.uid,
        "gid": context.gid,
        "log": str(context.unit_logs / f"{name}.log"),
        "ready": "notify",
        "after": list(after),
        "stop": {"signal": "SIGTERM", "grace": grace},
    }


def prelude(context: Context) -> Prelude:
    """Imports Airflow once for all units of the environment: shorter starts, shared memory.

    The process that ran it must be replaced when the configuration changes; a unit that finds the shared file changed
    starts by exec instead.
    """
    return {
        "argv": [str(context.inside / "boot.py"), "prelude"],
        "env": environment(context, component="scheduler", config=context.airflow_home / SHARED),
        "cwd": str(context.airflow_home),
        "uid": context.uid,
        "gid": context.gid,
    }


def workers(context: Context, *, config: str, concurrency: int) -> tuple[Unit, ...]:
    """`worker-1` to `worker-n`; each has a host name of its own, which Celery and `task_instance.hostname` carry."""
    own_redis = context.key_prefix is None
    return tuple(
        unit(
            context,
            name,
            ["worker", "--hostname", name, "--concurrency", str(concurrency)],
            component="worker",
            config=config,
            after=("redis",) if own_redis else (),
            grace=WORKER_GRACE,
        )
        for name in (f"worker-{number}" for number in range(1, context.workers + 1))
    )


def environment(context: Context, *, component: str, config: Path) -> dict[str, str]:
    """The whole environment of a process: nothing is inherited."""
    variables = {
        "HOME": str(context.home),
        "USER": "airflow",
        "LOGNAME": "airflow",
        "PATH": f"{context.interpreter.parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": str(context.inside),
        "PYTHONUNBUFFERED": "1",
        "AIRFLOW_HOME": str(context.airflow_home),
        "AIRFLOW_CONFIG": str(config),
        "AIRFLOW_VERSION": context.version,
        "AIRFLOW_ENV_NAME": context.name,
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "MWAA_AIRFLOW_COMPONENT": component,
    }
    return variables | aws(context)


def aws(context: Context) -> dict[str, str]:
    """What an AWS SDK needs to find the endpoint and the execution role's credentials."""
    variables = {
        "AWS_REGION": context.region,
        "AWS_DEFAULT_REGION": context.region,
        "AWS_EXECUTION_ENV": f"Amazon_MWAA_{context.version.replace('.', '')}",
        # Without it an SDK that finds no credentials asks the host's own instance role.
        "AWS_EC2_METADATA_DISABLED": "true",
        "CUSTOMER_ACCOUNT_ID": context.account_id,
    }
    optional = {
        "AWS_ENDPOINT_URL": context.aws_endpoint_url,
        "AWS_ENDPOINT_URL_MWAA": context.mwaa_endpoint_url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": context.credentials_uri,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": context.credentials_token_file,
    }
    return variables | {name: str(value) for name, value in optional.items() if value is not None}


def triggerer_wanted(context: Context) -> bool:
    """MWAA's `mwaa.triggerer_enabled` (default True)."""
    return context.options.get("mwaa.triggerer_enabled", "True").strip().lower() not in {"false", "f", "0"}
