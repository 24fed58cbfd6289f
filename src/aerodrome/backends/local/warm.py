"""The warm processes: one for each installed Airflow version; all cells of that version are forks of it.

Beside it a version may have a primed process, which has imported Airflow too (`airflow.priming`, `cell.primed`). A
cell is a fork of that one where it is ready and nothing speaks against it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

import aerodrome.cell
from aerodrome import private_files
from aerodrome.airflow import preloading, priming
from aerodrome.airflow.context import Context
from aerodrome.backends.local import cell_client
from aerodrome.errors import RetryError
from aerodrome.release import airflow_home
from aerodrome.release.installation import Installation
from aerodrome.services import daemon, folders
from aerodrome.settings import Paths, Settings

PROGRAM = Path(aerodrome.cell.__file__).with_name("warm.py")

_SHORT = 12
"""Letters of a socket's name, because socket paths must be short."""

START_LIMIT = 60.0
"""Seconds that the imports may take on a loaded machine; two seconds are usual."""


ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8", "TZ": "UTC"}
"""Environment variables of warm processes and cells; units get their own."""


log = structlog.get_logger("warm")

_starting = threading.Lock()
"""Two creations must not prepare the same process at the same time."""


def describe(settings: Settings, installation: Installation) -> daemon.Daemon:
    """The warm process of an installation."""
    paths, name = settings.paths, _name(installation)
    output = paths.logs / f"warm-{name}.log"
    argv = [str(installation.python), "-I", str(PROGRAM), "--socket", str(_socket(paths, installation))]
    argv += ["--modules", str(_modules(installation)), "--log", str(output)]
    if _is_primed(settings, installation):
        argv += ["--prime", str(priming.file(_folder(paths, installation)))]
    return daemon.Daemon(
        name=f"warm process of Airflow {installation.version}",
        argv=tuple(argv),
        env=ENVIRONMENT,
        cwd=Path("/"),
        log=output,
        pid_file=paths.run / f"warm-{name}.pid",
    )


def start(settings: Settings, installation: Installation) -> None:
    """Start the warm process unless it runs; returns at once."""
    described = describe(settings, installation)
    with _starting:
        if _is_of_before(described) or daemon.is_stopped(described):
            daemon.stop(described)  # no unit dies with it, and while it is stopped every start would wait
        if _is_primed(settings, installation):
            _prepare(settings.paths, installation, described)
        daemon.start(described)


def spawn(
    settings: Settings, installation: Installation, config: Path, *, context: Context | None, code: Iterable[Path] = ()
) -> int:
    """Let the warm process fork a cell that follows `config`; returns the cell's process id.

    `context` is what its units are told, and `code` the folders with modules of the user's; None = nothing is known of
    them, so it cannot be the primed process.
    """
    described = describe(settings, installation)
    socket = _socket(settings.paths, installation)
    start(settings, installation)
    daemon.wait_until(described, lambda: cell_client.answers(socket), timeout=START_LIMIT)
    if context is not None and _is_primed(settings, installation):
        folder = _folder(settings.paths, installation)
        objection = priming.objection(folder, context, code)
        primed = _primed_socket(settings.paths, installation)
        if not objection and cell_client.answers(primed):
            socket = primed
        else:
            log.info("not primed", environment=context.name, reason=objection or "the primed process does not answer")
    answer = cell_client.ask(socket, {"op": "spawn", "config": str(config)}, seconds=START_LIMIT)
    if installation.own is not None:
        daemon.stop(described)  # it was only for this cell, which outlives it
    if answer is None:
        raise RetryError(f"the {described.name} ended before it had forked a cell")
    return int(answer["pid"])


def lender(
    settings: Settings, installation: Installation, environ: Mapping[str, str], site: Path | None, code: Iterable[Path]
) -> Path | None:
    """The socket of the primed process, if it may lend a process with these environment variables and packages."""
    if not _is_primed(settings, installation):
        return None
    objection = priming.objection_of_trial(_folder(settings.paths, installation), environ, site, code)
    if objection:
        log.info("not tried in a primed process", reason=objection)
        return None
    return _primed_socket(settings.paths, installation)


def primed(paths: Paths) -> list[str]:
    """The versions of which the next cell may be a fork of a process that has imported Airflow."""
    found = [(each, priming.socket(each)) for each in sorted(paths.run.glob("warm-*/"))]
    return [_version(each) for each, socket in found if socket is not None and cell_client.answers(socket)]


def troubles(paths: Paths) -> list[str]:
    """A sentence for each version whose primed process has ended, while its warm process lives."""
    return [
        f"No process has Airflow {_version(each)} imported, so that its environments take longer to create. If it was "
        f"killed, the next creation starts it again; otherwise {paths.logs / each.name}.log says what is wrong."
        for each in sorted(paths.run.glob("warm-*/"))
        if (socket := priming.socket(each)) is not None and _has_lost_its_primed(socket)
    ]


def _has_lost_its_primed(socket: Path) -> bool:
    try:
        answer = cell_client.ask(socket.with_suffix(".sock"), {"op": "status"})
    except RetryError:
        return False  # it is busy with a creation
    return answer is not None and answer.get("primed") is False


def _version(folder: Path) -> str:
    return folder.name.removeprefix("warm-").rpartition("-")[0]


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


def _is_primed(settings: Settings, installation: Installation) -> bool:
    """Whether there is to be a primed process: only where all environments find AIRFLOW_HOME at the same place."""
    is_wanted = settings.primed == "on" and installation.own is None
    return is_wanted and priming.is_offered(installation.version) and airflow_home.can_be_shown()


def _prepare(paths: Paths, installation: Installation, described: daemon.Daemon) -> None:
    """Write what the primed process reads, and end a warm process that began with something else."""
    folder = _folder(paths, installation)
    nobody = priming.nobody(installation.version, installation.python, folder, airflow_home.AIRFLOW_HOME)
    files = priming.files(nobody, _primed_socket(paths, installation))
    is_same = all(path.is_file() and path.read_text(encoding="utf-8") == text for path, text in files.items())
    if is_same and daemon.is_running(described):
        return
    daemon.stop(described)
    folders.make(nobody.home)
    (folder / priming.ASKED).unlink(missing_ok=True)
    for path, text in files.items():
        private_files.write(path, text)


def _name(installation: Installation) -> str:
    return installation.folder.name if installation.own is None else installation.own.parent.name


def _modules(installation: Installation) -> Path:
    """The list of modules to import; empty for a release's own environment, part of whose packages are elsewhere."""
    return Path(os.devnull) if installation.own else preloading.file(installation.version)


def _socket(paths: Paths, installation: Installation) -> Path:
    # Everybody reads in /proc/net/unix what sockets are called; whose the release is, its name would tell.
    return paths.run / f"w{hashlib.sha256(_name(installation).encode()).hexdigest()[:_SHORT]}.sock"


def _primed_socket(paths: Paths, installation: Installation) -> Path:
    return _socket(paths, installation).with_suffix(".prime")


def _folder(paths: Paths, installation: Installation) -> Path:
    return paths.run / f"warm-{_name(installation)}"
