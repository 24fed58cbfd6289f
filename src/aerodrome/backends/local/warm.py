"""The warm processes: one for each installed Airflow version; all cells of that version are forks of it."""

from __future__ import annotations

import os
from pathlib import Path

import aerodrome.cell
from aerodrome.airflow import preloading
from aerodrome.backends.local import cell_client
from aerodrome.errors import RetryError
from aerodrome.release.installation import Installation
from aerodrome.services import daemon
from aerodrome.settings import Paths

PROGRAM = Path(aerodrome.cell.__file__).with_name("warm.py")

_SHORT = 12
"""Letters of a release's name in its socket's name; a lock's hash is shorter."""

START_LIMIT = 60.0
"""Seconds that the imports may take on a loaded machine; two seconds are usual."""


ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8", "TZ": "UTC"}
"""Environment variables of warm processes and cells; units get their own."""


def describe(paths: Paths, installation: Installation) -> daemon.Daemon:
    """The warm process of an installation."""
    name = _name(installation)
    log = paths.logs / f"warm-{name}.log"
    argv = [str(installation.python), "-I", str(PROGRAM), "--socket", str(_socket(paths, installation))]
    argv += ["--modules", str(_modules(installation)), "--log", str(log)]
    return daemon.Daemon(
        name=f"warm process of Airflow {installation.version}",
        argv=tuple(argv),
        env=ENVIRONMENT,
        cwd=Path("/"),
        log=log,
        pid_file=paths.run / f"warm-{name}.pid",
    )


def start(paths: Paths, installation: Installation) -> None:
    """Start the warm process unless it runs; returns at once."""
    described = describe(paths, installation)
    if _is_of_before(described):
        daemon.stop(described)  # no unit dies with it
    daemon.start(described)


def spawn(paths: Paths, installation: Installation, config: Path) -> int:
    """Let the warm process fork a cell that follows `config`; returns the cell's process id."""
    described = describe(paths, installation)
    socket = _socket(paths, installation)
    if _is_of_before(described) or daemon.is_stopped(described):
        daemon.stop(described)  # no unit dies with it, and while it is stopped every start would wait
    daemon.start(described)
    daemon.wait_until(described, lambda: cell_client.answers(socket), timeout=START_LIMIT)
    answer = cell_client.ask(socket, {"op": "spawn", "config": str(config)}, seconds=START_LIMIT)
    if installation.own is not None:
        daemon.stop(described)  # it was only for this cell, which outlives it
    if answer is None:
        raise RetryError(f"the {described.name} ended before it had forked a cell")
    return int(answer["pid"])


def stop(paths: Paths, identifier: str) -> None:
    """End the warm process of the installation of that name; its cells go on."""
    daemon.stop(
        daemon.Daemon(
            name=f"warm-{identifier}",
            argv=(),
            env={},
            cwd=Path("/"),
            log=Path(os.devnull),
            pid_file=paths.run / f"warm-{identifier}.pid",
            grace=5.0,
        )
    )


def stop_all(paths: Paths) -> None:
    """End the warm processes of all versions."""
    for pid_file in paths.run.glob("warm-*.pid"):
        stop(paths, pid_file.name.removeprefix("warm-").removesuffix(".pid"))


def _is_of_before(described: daemon.Daemon) -> bool:
    """Whether it was started before another Aerodrome was installed: its cells would not know what they are told."""
    try:
        started = described.pid_file.stat().st_ctime
    except FileNotFoundError:
        return False
    # The time when a file came here; the time of its last change may be that of its package.
    return any(file.stat().st_ctime > started for file in PROGRAM.parent.glob("*.py"))


def _name(installation: Installation) -> str:
    return installation.folder.name if installation.own is None else installation.own.parent.name


def _modules(installation: Installation) -> Path:
    """The list of modules to import; empty for a release's own environment, part of whose packages are elsewhere."""
    return Path(os.devnull) if installation.own else preloading.file(installation.version)


def _socket(paths: Paths, installation: Installation) -> Path:
    # Only the lock's hash names it, because socket paths must be short.
    return paths.run / f"w{_name(installation).rpartition('-')[2][:_SHORT]}.sock"
