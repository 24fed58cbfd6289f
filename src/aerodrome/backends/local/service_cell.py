"""The cell that keeps Redis and the sidecar: of no Airflow version, so it runs under our own interpreter.

`service_orders` starts it; from then on it is asked like every other cell. It outlives every revision, and the control
plane.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from aerodrome.backends.local import cell_client, warm
from aerodrome.backends.local.paths import EnvironmentPaths
from aerodrome.services import daemon

START_LIMIT = 60.0
"""Seconds until it answers, on a loaded machine; a tenth of one is usual."""


def start(paths: EnvironmentPaths) -> None:
    """Start it unless it runs; returns when it answers."""
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
    daemon.start(described)
    daemon.wait_until(described, lambda: cell_client.answers(paths.services.socket), timeout=START_LIMIT)
