"""PostgreSQL that does not wait for the disk, and starts with what takes long to make.

What a test kills loses nothing by that: the kernel has what was written. Only a machine without power would lose it. A
file that was synced can take milliseconds to write and again to remove, and a database has hundreds of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import lines
from aerodrome import file_locks
from aerodrome.backends.databases import making
from aerodrome.release import install
from aerodrome.services import folders, postgres, postgres_conf
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


def start_server(paths: Paths, versions: Path) -> None:
    """Start the server of an Aerodrome that is to come up and adopt it; it has the templates of the main lines.

    It does not wait when it is started again either.
    """
    made = _with_templates(versions)
    for folder in (paths.postgres, paths.keys):
        folders.make(folder.parent)
        subprocess.run(["/bin/cp", "-a", made.data / folder.name, folder], check=True)
    postgres.up(paths)


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
                    making.ensure_template(cluster, install.install(version, versions, environ=os.environ))
            finally:
                postgres.down(paths)
            (paths.postgres / str(postgres.MAJOR) / "local.conf").write_text(NO_SYNC)
            finished.touch()
    return paths


def _shared() -> Path:
    """A folder of this run of pytest and all its processes."""
    return Path(tempfile.gettempdir()) / f"aero-tmpl-{RUN}"
