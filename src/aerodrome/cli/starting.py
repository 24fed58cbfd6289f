"""What `up` does: the control plane as a detached process, which starts all else.

It imports little, so that nobody waits for rooms that only the control plane needs.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from aerodrome.cli import operator_client
from aerodrome.errors import BrokenError
from aerodrome.services import daemon, program, uid_register
from aerodrome.settings import Settings

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
    """Start the control plane detached and wait until its API answers; one that runs already is left alone.

    After an update of Aerodrome, one of the earlier version is ended first. What environments run goes on.
    One that was killed, or told to end, may be there still for a moment: then another one is started after it.

    Raises:
        BrokenError: it ended at once, or its API does not answer.
    """
    uid_register.discard_copied_run(settings.paths)
    described = replace(control_plane(settings), code=program.code())
    if daemon.is_of_other_code(described):
        daemon.stop(described)
    before = daemon.find(described)
    running = daemon.start(described)
    try:
        _wait(settings, described)
    except BrokenError as error:
        if running != before or error.code != "SERVICE_ENDED":
            raise
        running = daemon.start(described)
        _wait(settings, described)
    return State(settings.url(int(settings.paths.port_file.read_text())), adopted=running == before)


def _wait(settings: Settings, described: daemon.Daemon) -> None:
    daemon.wait_until(described, lambda: operator_client.is_up(settings), timeout=START_LIMIT)
