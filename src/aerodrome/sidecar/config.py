"""What one sidecar is told: the JSON file that the control plane writes for it, checked once.

`process` reads it at start; everything else receives the dataclasses below. It reads no environment variable and no
settings of the control plane: the file (0600) is the whole contract between the two.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aerodrome.errors import BrokenError
from aerodrome.sidecar.object_keys import MOST_BYTES
from aerodrome.sidecar.room import TaskLogs

CONFIG_LIMIT = 64 * 1024
"""Bytes; a real file has about one thousand."""

LONGEST_INTERVAL = 3600
"""Seconds; arbitrary."""

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
"""Levels of LoggingConfiguration, and Python's numbers for them."""

CODE = "SIDECAR_CONFIGURATION"

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """One set of AWS keys; never shown by `repr`."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    """None for long-term keys."""


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """The environment's metadata database."""

    host: str
    """A host name, or the folder of a unix socket."""
    dbname: str
    user: str
    password: str = field(repr=False)
    port: int = 5432
    options: tuple[tuple[str, str], ...] = ()
    """More of libpq's connection parameters, such as sslmode."""


@dataclass(frozen=True, slots=True)
class PriorityParse:
    """How this Airflow line is asked to parse one file now."""

    sql: str
    """A statement with one `%s` for the file."""
    style: Literal["relative", "absolute"]
    """Whether `%s` is the path below the DAGs folder, or the whole path."""


@dataclass(frozen=True, slots=True)
class LogsConfig:
    """Which logs are shipped, and from where."""

    levels: Mapping[str, int]
    """By category that is on (a member of LoggingConfiguration): Python's number of the lowest level."""
    units: Path
    """The folder of what units print, with one for each revision."""
    tasks: Path
    """Airflow's own log folder, where hostile code may write."""
    positions: Path
    """The file that says how far each log file has been shipped."""


@dataclass(frozen=True, slots=True)
class MeasuredConfig:
    """Where an environment's load can be seen."""

    memory: Path | None
    """The environment's control group of memory, with one for each cell and in it for each unit; None = there is none.
    """
    queue_sql: str
    """One row: queued tasks, running tasks, seconds that the oldest has been queued."""


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """Where metrics come in."""

    socket: Path
    """In a folder that is ours alone to write to."""
    group: int | None
    """The group whose processes may send, beside our own user's; None = none."""
    line: int
    """Of Airflow: how it calls its metrics."""
    every: int
    """Seconds between two publications: a minute, where each request costs."""
    measured: MeasuredConfig | None
    """What is measured besides; None = nothing: the real CloudWatch takes nothing in the namespace of a service."""


@dataclass(frozen=True, slots=True)
class SidecarConfig:
    """What one sidecar has to do."""

    environment: str
    region: str
    bucket: str
    dag_prefix: str
    """Ends in `/`, or is empty: the whole bucket."""
    dags_dir: Path
    dags_bytes: int
    """Of all files that are brought there."""
    dags_seen_at: Path
    """Where Airflow finds the same folder."""
    aws_endpoint_url: str | None
    """None means the real AWS."""
    sts_endpoint_url: str | None
    """Where the role is assumed; None means where the other AWS services are."""
    role_arn: str
    session_name: str
    source: AccessKeys | None
    """The keys that assume the role; None means botocore's ambient chain."""
    credentials_port: int
    credentials_token_file: Path
    credentials_users: tuple[int, ...] | None
    """The uids that may ask for credentials, beside root and the sidecar's own; None = nobody has said."""
    database: DatabaseConfig | None
    """None means that no row is ever inserted."""
    priority_parse: PriorityParse | None
    """None where this Airflow has no such table (before 2.10)."""
    status_file: Path
    logs: LogsConfig | None
    """None: nothing is shipped."""
    metrics: MetricsConfig | None
    """None: nothing is published."""
    collector: Path | None
    """The file that says where spans go (`otlp.addresses`); None: nowhere, ever."""
    task_logs: TaskLogs | None
    """None: nothing of them is ever removed."""
    interval: float
    """Seconds from the start of one round to the start of the next, unless something is announced before."""
    announced_at: Path | None
    """The socket on which the AWS door says that an object has changed; None = nobody says it."""


def load(path: Path) -> SidecarConfig:
    """Read and check the file.

    Raises:
        BrokenError: the file is missing, others may read it, or a field is wrong; the message never has its value.
    """
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise BrokenError(f"{path} can be read by others: it must have mode 0600", code=CODE)
            text = file.read(CONFIG_LIMIT + 1)
    except OSError as error:
        raise BrokenError(f"cannot read the sidecar's configuration {path}: {error.strerror}", code=CODE) from error
    if len(text) > CONFIG_LIMIT:
        raise BrokenError(f"{path} is larger than {CONFIG_LIMIT} bytes", code=CODE)
    try:
        document = json.loads(text)
    except ValueError:
        # Not chained: the decoder's error carries the document, and the document carries keys.
        raise BrokenError(f"{path} is not JSON", code=CODE) from None
    return parse(document)


def parse(document: object) -> SidecarConfig:
    """Check a decoded document.

    Raises:
        BrokenError: a field is missing or wrong.
    """
    if not isinstance(document, dict):
        raise _wrong("(document)", "an object")
    prefix = _text(document, "dag_prefix", empty=True).strip("/")
    return SidecarConfig(
        environment=_text(document, "environment"),
        region=_text(document, "region"),
        bucket=_text(document, "bucket"),
        dag_prefix=f"{prefix}/" if prefix else "",
        dags_dir=_path(document, "dags_dir"),
        dags_bytes=_dags_bytes(document),
        dags_seen_at=_path(document, "dags_seen_at" if "dags_seen_at" in document else "dags_dir"),
        aws_endpoint_url=_url(document, "aws_endpoint_url"),
        sts_endpoint_url=_url(document, "sts_endpoint_url"),
        role_arn=_text(document, "role_arn"),
        session_name=_text(document, "session_name"),
        source=_source(document),
        credentials_port=_port(document, "credentials_port"),
        credentials_token_file=_path(document, "credentials_token_file"),
        credentials_users=_users(document),
        database=_database(document),
        priority_parse=_priority_parse(document),
        status_file=_path(document, "status_file"),
        logs=_logs(document),
        metrics=_metrics(document),
        collector=None if document.get("collector") is None else _path(document, "collector"),
        task_logs=_task_logs(document),
        interval=_seconds(document, "interval", default=1.0),
        announced_at=None if document.get("announced_at") is None else _path(document, "announced_at"),
    )


def _users(document: Json) -> tuple[int, ...] | None:
    value = document.get("credentials_users")
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(each) is int and each >= 0 for each in value):
        raise _wrong("credentials_users", "a list of user ids or null")
    return tuple(value)


def _source(document: Json) -> AccessKeys | None:
    entry = _object(document, "source_credentials")
    return None if entry is None else AccessKeys(_text(entry, "access_key_id"), _text(entry, "secret_access_key"))


def _database(document: Json) -> DatabaseConfig | None:
    entry = _object(document, "database")
    if entry is None:
        return None
    options = _object(entry, "options") or {}
    return DatabaseConfig(
        host=_text(entry, "host"),
        dbname=_text(entry, "dbname"),
        user=_text(entry, "user"),
        password=_text(entry, "password"),
        port=_port(entry, "port") if "port" in entry else 5432,
        options=tuple((name, _text(options, name)) for name in sorted(options)),
    )


def _priority_parse(document: Json) -> PriorityParse | None:
    entry = _object(document, "priority_parse")
    if entry is None:
        return None
    sql, style = _text(entry, "sql"), _text(entry, "style")
    if sql.count("%s") != 1:
        raise _wrong("priority_parse.sql", "a statement with one %s")
    if style == "relative":
        return PriorityParse(sql, "relative")
    if style == "absolute":
        return PriorityParse(sql, "absolute")
    raise _wrong("priority_parse.style", "'relative' or 'absolute'")


def _logs(document: Json) -> LogsConfig | None:
    entry = _object(document, "logs")
    if entry is None:
        return None
    levels = _object(entry, "levels") or {}
    unknown = {str(level) for level in levels.values()} - set(LEVELS)
    if unknown:
        raise _wrong("logs.levels", f"one of {', '.join(LEVELS)} for each category")
    return LogsConfig(
        levels={category: LEVELS[str(level)] for category, level in levels.items()},
        units=_path(entry, "units"),
        tasks=_path(entry, "tasks"),
        positions=_path(entry, "positions"),
    )


def _metrics(document: Json) -> MetricsConfig | None:
    entry = _object(document, "metrics")
    if entry is None:
        return None
    group, line, every = entry.get("group"), entry.get("line"), entry.get("every")
    if not (group is None or (type(group) is int and group >= 0)):
        raise _wrong("metrics.group", "a group id or null")
    if type(line) is not int:
        raise _wrong("metrics.line", "a number")
    if type(every) is not int or not 1 <= every <= 60:  # noqa: PLR2004 - a minute
        raise _wrong("metrics.every", "a number from 1 to 60")
    measured = _object(entry, "measured")
    return MetricsConfig(
        socket=_path(entry, "socket"),
        group=group,
        line=line,
        every=every,
        measured=None if measured is None else _measured(measured),
    )


def _measured(entry: Json) -> MeasuredConfig:
    memory = None if entry.get("memory") is None else _path(entry, "memory")
    return MeasuredConfig(memory=memory, queue_sql=_text(entry, "queue_sql"))


def _dags_bytes(document: Json) -> int:
    most = document.get("dags_bytes", MOST_BYTES)
    if not isinstance(most, int) or isinstance(most, bool) or most <= 0:
        raise _wrong("dags_bytes", "a number of bytes")
    return most


def _task_logs(document: Json) -> TaskLogs | None:
    entry = _object(document, "task_logs")
    if entry is None:
        return None
    most = entry.get("most")
    if type(most) is not int or most <= 0:
        raise _wrong("task_logs.most", "a number of bytes")
    return TaskLogs(folder=_path(entry, "folder"), most=most)


def _object(document: Json, name: str) -> Json | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _wrong(name, "an object or null")
    return value


def _text(document: Json, name: str, *, empty: bool = False) -> str:
    value = document.get(name)
    if not isinstance(value, str) or "\0" in value or not (value or empty):
        raise _wrong(name, "a text")
    return value


def _path(document: Json, name: str) -> Path:
    path = Path(_text(document, name))
    if not path.is_absolute():
        raise _wrong(name, "an absolute path")
    return path


def _url(document: Json, name: str) -> str | None:
    if document.get(name) is None:
        return None
    url = _text(document, name)
    if not url.startswith(("http://", "https://")):
        raise _wrong(name, "an http:// or https:// URL, or null")
    return url.rstrip("/")


def _port(document: Json, name: str) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**16:
        raise _wrong(name, "a TCP port from 1 to 65535")
    return value


def _seconds(document: Json, name: str, *, default: float) -> float:
    value = document.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= LONGEST_INTERVAL:
        raise _wrong(name, f"a number of seconds, more than 0 and at most {LONGEST_INTERVAL}")
    return float(value)


def _wrong(name: str, expected: str) -> BrokenError:
    return BrokenError(f"the sidecar's configuration field {name!r} must be {expected}", code=CODE)
