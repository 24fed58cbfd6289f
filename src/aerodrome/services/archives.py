"""Archives of databases, written and read by PostgreSQL's own pg_dump and pg_restore.

Both work with the rights of the database's owner alone, whatever hostile code has left in it. The password goes by a
file of mode 0600.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aerodrome import errors
from aerodrome.services import folders, postgres
from aerodrome.services.clusters import Cluster

CODE = "ARCHIVE_FAILED"

POLL = 0.1
"""Seconds between two looks at the program and at the wish to stop."""

LOCK_WAIT = 60
"""Seconds that a dump waits for a table that somebody has locked, as DAG code may for ever."""

LARGEST_OUTPUT = 2**20
"""Bytes that a program may print; what the database holds may print through it without end."""

_TAIL = 12


def dump(cluster: Cluster, database: str, owner: str, password: str, target: Path, tick: Callable[[], None]) -> int:
    """Write an archive of the database as it is at this moment, whole or not at all; its bytes. Others go on using it.

    Raises:
        BrokenError: it could not be written. What `tick` raises, several times a second, ends it.
    """
    draft = target.with_name(f".{target.name}")
    draft.unlink(missing_ok=True)
    arguments = (
        "--format=custom", "--compress=gzip:1", "--no-owner", "--no-privileges", f"--lock-wait-timeout={LOCK_WAIT}s",
        f"--file={draft}",
    )  # fmt: skip
    try:
        _run("pg_dump", cluster, database, owner, password, arguments, tick)
        draft.chmod(folders.SECRET)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target.stat().st_size


def restore(cluster: Cluster, database: str, owner: str, password: str, source: Path, tick: Callable[[], None]) -> None:
    """Fill the empty database from an archive.

    Raises:
        BrokenError: it could not be read. What `tick` raises, several times a second, ends it.
    """
    arguments = ("--no-owner", "--no-privileges", "--exit-on-error", "--jobs=2", str(source))
    _run("pg_restore", cluster, database, owner, password, arguments, tick)


def _run(
    program: str,
    cluster: Cluster,
    database: str,
    owner: str,
    password: str,
    arguments: tuple[str, ...],
    tick: Callable[[], None],
) -> None:
    where = ("--host", cluster.host, "--port", str(cluster.port), "--username", owner, "--dbname", database)
    with _password_file(password) as file, tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            [str(postgres.PROGRAMS / program), *where, "--no-password", *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C.UTF-8",
                "PGPASSFILE": str(file),
                **{f"PG{name.upper()}": value for name, value in cluster.options},
            },
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            umask=0o077,
        )
        try:
            while child.poll() is None and os.fstat(output.fileno()).st_size <= LARGEST_OUTPUT:
                tick()
                time.sleep(POLL)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if child.returncode == 0:
            return
        output.seek(0)
        said = output.read(LARGEST_OUTPUT).decode(errors="replace").splitlines()[-_TAIL:]
    raise errors.BrokenError(
        f"{program} ended with exit code {child.returncode}: {said[-1] if said else 'no reason given'}",
        code=CODE,
        tail=tuple(said),
    )


@contextmanager
def _password_file(password: str) -> Iterator[Path]:
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    with tempfile.TemporaryDirectory(prefix="aerodrome-") as folder:
        file = Path(folder) / "pgpass"
        folders.write_secret(file, f"*:*:*:*:{escaped}\n")
        yield file
