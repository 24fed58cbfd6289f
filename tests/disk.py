"""PostgreSQL that does not wait for the disk.

What a test kills loses nothing by that: the kernel has what was written. Only a machine without power would lose it. A
file that was synced can take milliseconds to write and again to remove, and a database has hundreds of them.
"""

from __future__ import annotations

from pathlib import Path

from aerodrome.services import postgres, postgres_conf
from aerodrome.settings import Paths

NO_SYNC = "fsync = off\n"

_server = postgres_conf.server


def _server_without_sync(sockets: Path, *, shared: bool, environments: int) -> str:
    return NO_SYNC + _server(sockets, shared=shared, environments=environments)


def wait_for_no_disk() -> None:
    """Have the servers that this process makes and starts not wait."""
    if "--no-sync" not in postgres_conf.INITDB:
        postgres_conf.INITDB = (*postgres_conf.INITDB, "--no-sync")  # type: ignore[assignment]
        postgres_conf.server = _server_without_sync


def start_server(paths: Paths) -> None:
    """Make and start the server of an Aerodrome that is to come up and adopt it; it does not wait when restarted."""
    postgres.up(paths)
    (paths.postgres / str(postgres.MAJOR) / "local.conf").write_text(NO_SYNC)
