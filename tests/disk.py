"""PostgreSQL that does not wait for the disk, and starts with what takes long to make: installed versions, templates.

What a test kills loses nothing by that: the kernel has what was written. Only a machine without power would lose it. A
file that was synced can take milliseconds to write and again to remove, and a database has hundreds of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lines
from aerodrome import file_locks
from aerodrome.backends.databases import making
from aerodrome.release import install
from aerodrome.services import folders, postgres, postgres_conf
from aerodrome.services.clusters import Cluster
from aerodrome.settings import Paths

NO_SYNC = "fsync = off\n"

RUN = os.environ.setdefault("AERODROME_TEST_RUN", str(os.getpid()))
"""The process that started the others of this run; they inherit the variable."""

_server = postgres_conf.server


def _server_without_sync(sockets: Path, *, shared: bool, environments: int) -> str:
    return NO_SYNC + _server(sockets, shared=shared, environments=environments)


def wait_for_no_disk() -> None:
    """Have the servers that this process makes and starts not wait."""
    if "--no-sync" not in postgres_conf.INITDB:
        postgres_conf.INITDB = (*postgres_conf.INITDB, "--no-sync")  # type: ignore[assignment]
        postgres_conf.server = _server_without_sync


STANDSTILL = 600.0
"""Seconds in which an installation must come further; a slow machine may take as long as it likes for all of it."""

_made: dict[Path, Paths | Exception] = {}
"""What `prepare` has made, by the folder of versions; or why it could not."""


class Progress:
    """Whether an installation goes on: `install` tells it how far it is, and asks whether to give up."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last: tuple[str, int, int] | None = None
        self._moved_at = monotonic()

    def report(self, phase: str, done: int, total: int) -> None:
        """Note how far it is. While another process installs the same, that one has its own limit."""
        if phase == "wait" or (phase, done, total) != self._last:
            self._last, self._moved_at = (phase, done, total), self._monotonic()

    def stands_still(self) -> bool:
        """Whether it has not come further for long."""
        return self._monotonic() - self._moved_at > STANDSTILL


def prepare(versions: Path) -> None:
    """Install the main lines and make their templates, before the time of a test begins that needs them.

    Nothing is raised: a test that starts a server gets the error.
    """
    if versions not in _made:
        try:
            _made[versions] = _with_templates(versions)
        except Exception as error:  # noqa: BLE001 -- it is a test that fails, and not the run
            _made[versions] = error


def start_server(paths: Paths, versions: Path) -> Cluster:
    """Start a server that has the templates of the main lines; an Aerodrome that comes up adopts it.

    It does not wait when it is started again either.
    """
    prepare(versions)
    made = _made[versions]
    if isinstance(made, Exception):
        raise made
    for folder in (paths.postgres, paths.keys):
        folders.make(folder.parent)
        subprocess.run(["/bin/cp", "-a", made.data / folder.name, folder], check=True)
    return postgres.up(paths)


def remove_templates() -> None:
    """With the whole run, which made them."""
    shutil.rmtree(_shared(), ignore_errors=True)


def _with_templates(versions: Path) -> Paths:
    """A server that is down, in whose databases the main lines' migrations have been run: once for all processes."""
    folder = _shared()
    folder.mkdir(mode=0o711, exist_ok=True)
    paths, finished = Paths(folder / "data"), folder / "finished"
    with file_locks.held(folder / "lock", waiting=lambda: None):
        if not finished.exists():
            shutil.rmtree(paths.data, ignore_errors=True)
            cluster = postgres.up(paths)
            try:
                for version in lines.MAIN:
                    going = Progress()
                    installed = install.install(
                        version, versions, environ=os.environ, report=going.report, cancelled=going.stands_still
                    )
                    making.ensure_template(cluster, installed)
            finally:
                postgres.down(paths)
            (paths.postgres / str(postgres.MAJOR) / "local.conf").write_text(NO_SYNC)
            finished.touch()
    return paths


def _shared() -> Path:
    """A folder of this run of pytest and all its processes."""
    return Path(tempfile.gettempdir()) / f"aero-tmpl-{RUN}"
