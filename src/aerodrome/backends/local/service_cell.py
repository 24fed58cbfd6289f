"""The services' cell, which keeps Redis and the sidecar. It has no Airflow version, so our own interpreter runs it.

`service_orders` starts it; from then on it takes requests like every other cell. It outlives every revision, and the
control plane.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from aerodrome.backends.local import cell_client, warm
from aerodrome.backends.local.paths import EnvironmentPaths
from aerodrome.errors import BrokenError, RetryError
from aerodrome.services import daemon

START_LIMIT = 60.0
"""Seconds that it may take to answer on a loaded machine; a tenth of a second is usual."""


def start(paths: EnvironmentPaths) -> None:
    """Start it unless it runs; returns when it answers.

    Raises:
        RetryError: the last one was just ending. BrokenError: this one ended at once, or gives no answer.
    """
    log = paths.unit_logs / "services.log"
    argv = [sys.executable, "-I", str(warm.PROGRAM), "--cell", str(paths.services.config)]
    described = daemon.Daemon(
        name="cell of the services",
        argv=(*argv, "--modules", os.devnull, "--log", str(log)),
        env=warm.ENVIRONMENT,
        cwd=Path("/"),
        log=log,
        pid_file=paths.run / "services.pid",
    )
    is_there = daemon.is_running(described)  # just begun by a killed control plane, or told to shut down
    daemon.start(described)
    try:
        daemon.wait_until(described, lambda: cell_client.answers(paths.services.socket), timeout=START_LIMIT)
    except BrokenError as error:
        if is_there and error.code == "SERVICE_ENDED":
            raise RetryError("the cell of the services was just ending", delay=0.2) from error
        raise
