"""What `up`, `down` and `purge` do: they start and stop the control plane, and ask it nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aerodrome.backends import purging
from aerodrome.backends.local import groups, shutdown
from aerodrome.backends.purging import Found
from aerodrome.cli import operator_client
from aerodrome.errors import RetryError
from aerodrome.keeper import Keeper
from aerodrome.services import daemon, uid_register
from aerodrome.settings import EMBEDDED, Settings

START_LIMIT = 90.0
"""Seconds until the API must answer; PostgreSQL's first start makes a cluster, which takes a few."""

GRACE = 30.0
"""Seconds that the control plane may take to finish the steps under way."""

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "PYENV_ROOT", "XDG_DATA_HOME")
"""What the detached control plane takes over from the shell; also every variable that begins with one of `PREFIXES`."""

PREFIXES = ("UV_", "PIP_", "SSL_", "AWS_", "HTTP_", "HTTPS_", "NO_", "http_", "https_", "no_")


@dataclass(frozen=True, slots=True)
class State:
    """What `up` found or made."""

    api: str
    adopted: bool


def control_plane(settings: Settings) -> daemon.Daemon:
    """The control plane as a detached process."""
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(PREFIXES)}
    return daemon.Daemon(
        name="control plane",
        argv=(sys.executable, "-I", "-m", "aerodrome.runtime"),
        env=inherited | settings.variables(),
        cwd=Path("/"),
        log=settings.paths.logs / "control-plane.log",
        pid_file=settings.paths.run / "control-plane.pid",
        grace=GRACE,
    )


def up(settings: Settings) -> State:
    """Start the control plane detached and wait until its API answers; one that runs already is left alone."""
    uid_register.discard_copied_run(settings.paths)
    described = control_plane(settings)
    adopted = daemon.is_running(described)
    daemon.start(described)
    daemon.wait_until(described, lambda: operator_client.is_up(settings), timeout=START_LIMIT)
    return State(settings.url(int(settings.paths.port_file.read_text())), adopted)


def down(settings: Settings, *, report: Callable[[str], None] = lambda _: None) -> None:
    """Stop the control plane, every environment, then the services, whoever started them."""
    uid_register.discard_copied_run(settings.paths)
    report("Stopping the control plane …")
    daemon.stop(control_plane(settings))
    shutdown.stop_all(settings.paths, report=report)
    report("Stopping the services …")
    Keeper(settings).stop()
    groups.remove_all(settings.paths)


def purge(settings: Settings, *, keep_external: bool = False, report: Callable[[str], None] = lambda _: None) -> Found:
    """Stop everything and remove the data folder and the run folder, and what is on external servers.

    Returns what there was on those servers: it is gone, or with `keep_external` still there.

    Raises:
        RetryError: an external server does not answer; then nothing was removed.
    """
    uid_register.discard_copied_run(settings.paths)
    report("Stopping the control plane …")
    daemon.stop(control_plane(settings))
    shutdown.stop_all(settings.paths, report=report)
    found = Found()
    if purging.is_external(settings) and settings.paths.keys.exists():
        found = _on_external_servers(settings, keep=keep_external, report=report)
    report("Stopping the services …")
    Keeper(settings).stop()
    groups.remove_all(settings.paths)
    for folder in (settings.paths.run, settings.paths.data):
        if folder.exists():
            shutil.rmtree(folder)
    uid_register.sweep()
    return found


def what_else(settings: Settings) -> str:
    """What a purge removes besides the data folder, as the rest of a sentence."""
    servers = {"PostgreSQL": settings.database_url, "Redis": settings.redis_url}
    named = [name for name, url in servers.items() if url != EMBEDDED]
    return f", and what is Aerodrome's in your {' and your '.join(named)}" if named else ""


def _on_external_servers(settings: Settings, *, keep: bool, report: Callable[[str], None]) -> Found:
    try:
        cluster = Keeper(settings).cluster()
        found = purging.look(settings, cluster)
        if not keep:
            report("Removing what lies on external servers …")
            purging.remove(cluster, found)
    except RetryError as error:
        if keep:
            return purging.UNSEEN
        raise RetryError(
            f"{error}. The data folder is kept. Purge again when it answers, or leave what lies there: "
            "aerodrome purge --keep-external"
        ) from error
    return found
