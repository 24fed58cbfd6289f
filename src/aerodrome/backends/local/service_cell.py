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
from aerodrome.services import daemon

START_LIMIT = 60.0
"""Seconds that it may take to answer on a loaded machine; a tenth of a second is usual."""


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
