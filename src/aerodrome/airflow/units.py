"""What all unit specifications share: the shape, and the environment of a process, built from an allow-list.

The adapters say which units there are; the cell runs them. No secret may enter here: secrets are in the configuration
files that AIRFLOW_CONFIG names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypedDict

from aerodrome.airflow import options
from aerodrome.airflow.context import Context
from aerodrome.model.release import PATH_VARIABLE

UMASK = 0o077
"""Files that a unit writes are for its user alone."""

SHARED_UMASK = 0o007
"""What DAG code writes, and logs of tasks, are for the environment's group: its two users."""

GRACE = 30
"""Seconds between the stop signal and SIGKILL; schedulers and web servers need a few."""

WORKER_GRACE = 90
"""Seconds; MWAA waits as long for a worker that still runs tasks. Scaling drains a worker before it stops it."""

CONTROL = "control.cfg"
"""The configuration of the roles that we trust: database, keys."""

WORKER = "worker.cfg"
"""The configuration of the processes that run user code as tasks."""


SHARED = "shared.cfg"
"""What all roles share, without a secret: units are forked from a process that imported Airflow with this
configuration.
"""

CONSUMING = "consuming"
"""The file with the host names of the workers that take tasks, a line each; workers look into it all the time."""

TRACES_TIMEOUT = "2"
"""Seconds for which a task that has ended waits, at most, until its spans are taken."""

READ_EARLY = ("BLIS_", "DYLD_", "GOTO_", "LD_", "MALLOC_", "MKL_", "NUMEXPR_", "OMP_", "OPENBLAS_", "REMAP_SIGTERM")
"""Variables that begin so are read by the dynamic loader and C libraries when a program starts or is imported."""


class PreludeDocument(TypedDict):
    """A script to run, with this environment, in the process that the units are then forked from; it returns."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    uid: int | None
    saved_uid: int | None
    gid: int | None


WEB = "web"
"""The unit that serves UI and REST, in every line."""

_WORKER_HOST = re.compile(r"(worker-[0-9]{1,4})\.([0-9]{1,9})")

DAG_CODE = frozenset({"dag-processor", "triggerer"})
"""Roles that hold secrets and have processes run DAG code."""

MAKES_LOG_FOLDERS = frozenset({"triggerer", "dag-processor"})
"""Roles with secrets that make folders in which DAG code logs, too: in this version, or after a downgrade."""


class CommandDocument(TypedDict):
    """One command of Airflow's command line, as the cell runs it once; and what all other processes have too."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    umask: int
    uid: int | None
    gid: int | None


class StopDocument(TypedDict):
    """How a unit is stopped."""

    signal: str
    grace: int


class CompanionDocument(CommandDocument):
    """A process beside the unit's own, as the cell reads it."""

    how: Literal["fork", "exec"]


class UnitDocument(CompanionDocument):
    """One long-running process, as the cell reads it (JSON)."""

    name: str
    log: str
    ready: str
    listen: int | None
    after: list[str]
    stop: StopDocument
    visible: bool
    companion: CompanionDocument | None


def unit(
    context: Context,
    name: str,
    role: list[str],
    *,
    component: str,
    config: str = CONTROL,
    grace: int = GRACE,
    listen: int | None = None,
) -> UnitDocument:
    """The unit that runs boot.py in `role` (its name and arguments); `listen` is a port that the cell holds for it."""
    process = _process(context, role, component=component, config=config)
    return {
        "name": name,
        **process,
        "log": str(context.unit_logs / f"{name}.log"),
        "ready": "notify",
        "listen": listen,
        "after": [],
        "stop": {"signal": "SIGTERM", "grace": grace},
        # Airflow looks for the processes that it forks. Where one user has everything, no unit has a secret from it.
        "visible": context.control_uid is None,
        "companion": None,
    }


def apart(context: Context, made: UnitDocument) -> UnitDocument:
    """The unit, with a companion that DAG code is forked from: it has the other user and knows no secret.

    Where there is one user for everything, the unit itself forks it.
    """
    if context.control_uid is None:
        return made
    [role] = (word for word in made["argv"] if word in DAG_CODE)
    companion = _process(context, ["dag-code", role], component=made["env"]["MWAA_AIRFLOW_COMPONENT"], config=WORKER)
    return {**made, "argv": [*made["argv"], "--apart"], "companion": companion}


def _process(context: Context, role: list[str], *, component: str, config: str) -> CompanionDocument:
    """The process that runs boot.py in `role`: who it is and what it finds."""
    control = config == CONTROL and context.control_uid is not None
    env = environment(context, component=component, config=context.configuration / config)
    script = [str(context.inside / "boot.py"), *role]
    cold = must_start_cold(env)
    return {
        "how": "exec" if cold else "fork",
        "argv": [str(context.interpreter), *script] if cold else script,
        "env": env,
        "cwd": str(context.control_home if control else context.airflow_home),
        "umask": UMASK if context.gid is None or (control and role[0] not in MAKES_LOG_FOLDERS) else SHARED_UMASK,
        "uid": context.control_uid if control else context.uid,
        "gid": context.gid,
    }


def command(web: Mapping[str, Any], words: Sequence[str]) -> CommandDocument:
    """The command `words` (without `airflow`), run as the web server's unit runs: MWAA runs commands there too."""
    script = next(word for word in web["argv"] if word.endswith("boot.py"))
    return {
        "argv": [script, "cli", *words],
        "env": web["env"],
        "cwd": web["cwd"],
        "umask": web["umask"],
        "uid": web["uid"],
        "gid": web["gid"],
    }


def prelude(context: Context) -> PreludeDocument:
    """Imports Airflow once for all units of the environment: shorter starts, shared memory.

    The process that ran it must be replaced when the configuration changes. A unit that finds the shared file changed
    starts by exec instead.
    """
    return {
        "argv": [str(context.inside / "boot.py"), "prelude"],
        "env": environment(context, component="scheduler", config=context.configuration / SHARED),
        "cwd": str(context.airflow_home if context.control_home is None else context.control_home),
        # DAG code must not reach the process that those with secrets are forked from.
        "uid": context.uid if context.control_uid is None else context.control_uid,
        "saved_uid": None if context.control_uid is None else context.uid,
        "gid": context.gid,
    }


def schedulers(context: Context) -> tuple[UnitDocument, ...]:
    """`scheduler`, `scheduler-2`, …; they share the work by locks on rows of the database."""
    return tuple(
        unit(context, numbered("scheduler", number), ["scheduler"], component="scheduler")
        for number in range(1, context.schedulers + 1)
    )


def web_servers(context: Context, role: list[str]) -> tuple[UnitDocument, ...]:
    """`web`, `web-2`, …, each on a socket of its own; `role` is what boot.py runs."""
    return tuple(
        unit(
            context,
            numbered(WEB, number),
            [*role, "--socket", str(web_socket(context.web_socket, number))],
            component="webserver",
        )
        for number in range(1, context.web_servers + 1)
    )


def numbered(name: str, number: int) -> str:
    """The name of one of several units that do the same; the first has no number."""
    return name if number == 1 else f"{name}-{number}"


def web_socket(first: Path, number: int) -> Path:
    """The socket of a web server beside that of the first."""
    return first.with_name(f"{numbered(first.stem, number)}{first.suffix}")


def is_web_server(name: str) -> bool:
    """Whether a unit of that name is a web server."""
    return name == WEB or name.startswith(f"{WEB}-")


def workers(context: Context, *, config: str, concurrency: int, role: str = "worker") -> tuple[UnitDocument, ...]:
    """A unit for each worker; each has a host name of its own, which Celery and `task_instance.hostname` use."""
    return tuple(
        unit(
            context,
            name,
            [role, "--hostname", hostname(name, context.revision), "--concurrency", str(concurrency)],
            component="worker",
            config=config,
            grace=WORKER_GRACE,
        )
        for name in (f"worker-{number}" for number in context.workers)
    )


def consuming(context: Context) -> str:
    """The text of the file that tells workers whether they take tasks."""
    taking = (number for number in context.workers if number not in context.draining)
    return "".join(hostname(f"worker-{number}", context.revision) + "\n" for number in taking)


def hostname(worker: str, revision: int) -> str:
    """The host name that a worker takes, and that Airflow writes into `task_instance.hostname`."""
    return f"{worker}.{revision}"


def worker_of(host: str) -> tuple[int, str] | None:
    """The revision and the worker that have the host name; None = it is no worker's."""
    found = _WORKER_HOST.fullmatch(host)
    return (int(found[2]), found[1]) if found else None


def must_start_cold(env: Mapping[str, str]) -> bool:
    """Whether a process with this environment cannot be a fork, because something reads it before a fork exists."""
    return any(name.startswith(READ_EARLY) for name in env)


def environment(context: Context, *, component: str, config: Path) -> dict[str, str]:
    """The whole environment of a process; nothing is inherited. Our variables win over those of a startup script."""
    exported = context.variables.get(component) or context.variables.get("scheduler") or {}
    ours = _ours(context, component=component, config=config) | aws(Cloud.of(context))
    site = context.site / "bin" if context.site else None
    path = [str(each) for each in (context.interpreter.parent, site, context.programs) if each is not None]
    path += [folder for folder in exported.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":") if folder not in path]
    defaults = {"LANG": "C.UTF-8", "TZ": "UTC", **_traces(context), **context.defaults}
    return {**defaults, **exported, **ours, "PATH": ":".join(path)}


def _traces(context: Context) -> dict[str, str]:
    """Where OpenTelemetry's SDK sends spans, that of DAG code too: to the sidecar, which alone knows the collector."""
    if context.traces_uri is None or not options.has_traces(context.version):
        return {}
    return {
        "OTEL_TRACES_EXPORTER": "otlp_proto_http",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": context.traces_uri,
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": TRACES_TIMEOUT,
        "OTEL_SERVICE_NAME": context.name,
    }


def _ours(context: Context, *, component: str, config: Path) -> dict[str, str]:
    code = context.control_uid is None or config.name == WORKER
    return {
        # What DAG code may write to tells no program what to do that has secrets.
        "HOME": str(context.airflow_home if code else context.control_home),
        "USER": "airflow",
        "LOGNAME": "airflow",
        "TMPDIR": str(context.temporary if code else context.control_temporary),
        PATH_VARIABLE: ":".join(map(str, filter(None, (context.inside, context.site)))),
        "PYTHONUNBUFFERED": "1",
        **({"AERODROME_METRICS": str(context.metrics_socket)} if context.metrics_socket else {}),
        "AIRFLOW_HOME": str(context.airflow_home),
        "AIRFLOW_CONFIG": str(config),
        "AIRFLOW_VERSION": context.version,
        "AIRFLOW_ENV_NAME": context.name,
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "MWAA_AIRFLOW_COMPONENT": component,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Where AWS is, for code of an environment: the fields of the same names in `Context`."""

    region: str
    account_id: str
    version: str
    aws_endpoint_url: str | None
    mwaa_endpoint_url: str | None
    iam_endpoint_url: str | None
    sts_endpoint_url: str | None
    credentials_uri: str | None
    credentials_token_file: Path | None

    @classmethod
    def of(cls, context: Context) -> Cloud:
        """That of an environment."""
        return cls(**{each.name: getattr(context, each.name) for each in fields(cls)})


def aws(cloud: Cloud) -> dict[str, str]:
    """What an AWS SDK needs to find the endpoint and the execution role's credentials."""
    variables = {
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_EXECUTION_ENV": f"Amazon_MWAA_{cloud.version.replace('.', '')}",
        # Without it an SDK that finds no credentials asks the host's own instance role.
        "AWS_EC2_METADATA_DISABLED": "true",
        "CUSTOMER_ACCOUNT_ID": cloud.account_id,
    }
    if cloud.aws_endpoint_url is not None:
        # SDKs would put `env.` and the like before this host name too, as before AWS's own.
        variables["AWS_DISABLE_HOST_PREFIX_INJECTION"] = "true"
    optional = {
        "AWS_ENDPOINT_URL": cloud.aws_endpoint_url,
        "AWS_ENDPOINT_URL_MWAA": cloud.mwaa_endpoint_url,
        "AWS_ENDPOINT_URL_IAM": cloud.iam_endpoint_url,
        "AWS_ENDPOINT_URL_STS": cloud.sts_endpoint_url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": cloud.credentials_uri,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": cloud.credentials_token_file,
    }
    return variables | {name: str(value) for name, value in optional.items() if value is not None}


def triggerer_wanted(context: Context) -> bool:
    """MWAA's `mwaa.triggerer_enabled` (default True)."""
    return context.options.get("mwaa.triggerer_enabled", "True").strip().lower() not in {"false", "f", "0"}
