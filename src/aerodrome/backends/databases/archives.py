"""Archives of databases, written and read by PostgreSQL's own pg_dump and pg_restore.

Both have only the rights of the database's owner, because hostile code may have left something in it. The password is
in memory that only we and the two programs reach. That memory and the programs end with us, however we end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aerodrome import errors, private_files
from aerodrome.release import sandbox
from aerodrome.release.sandbox import SandboxLimits
from aerodrome.services import postgres
from aerodrome.services.clusters import Cluster

CODE = "ARCHIVE_FAILED"

LOCK_WAIT = 60
"""Seconds that a dump waits for a locked table; DAG code can lock one for ever."""

LIMITS = SandboxLimits(seconds=24 * 3600, file=2**62)
"""Wide, because a database can be large; the work that waits for the program may give up earlier."""

MOST_LINES = 10_000
"""Lines that a program may print; hostile content of the database can make it print without end."""

_TAIL = 12


def dump(cluster: Cluster, database: str, owner: str, password: str, target: Path, tick: Callable[[], None]) -> int:
    """Write an archive of the database as it is now, whole or not at all; its bytes. The database stays in use.

    Calls `tick` several times a second; an error that it raises ends the dump.

    Raises:
        BrokenError: the archive could not be written.
    """
    draft = _draft(target)
    draft.unlink(missing_ok=True)
    arguments = (
        "--format=custom", "--compress=gzip:1", "--no-owner", "--no-privileges", f"--lock-wait-timeout={LOCK_WAIT}s",
        f"--file={draft}",
    )  # fmt: skip
    try:
        _run("pg_dump", cluster, database, owner, password, arguments, tick)
        draft.chmod(private_files.MODE)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target.stat().st_size


def remove(target: Path) -> None:
    """Remove an archive, and what an interrupted dump left of it."""
    for path in (target, _draft(target)):
        path.unlink(missing_ok=True)


def restore(cluster: Cluster, database: str, owner: str, password: str, source: Path, tick: Callable[[], None]) -> None:
    """Fill the empty database from an archive.

    Calls `tick` several times a second; an error that it raises ends the restore.

    Raises:
        BrokenError: the archive could not be read.
    """
    arguments = ("--no-owner", "--no-privileges", "--exit-on-error", "--jobs=2", str(source))
    _run("pg_restore", cluster, database, owner, password, arguments, tick)


def _draft(target: Path) -> Path:
    return target.with_name(f".{target.name}")


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
    lines = 0

    def count(_: str) -> None:
        nonlocal lines
        lines += 1
        if lines > MOST_LINES:
            raise errors.BrokenError(f"{program} prints without end", code=CODE)

    with _in_memory(f"*:*:*:*:{_escaped(password)}\n") as secret:
        ended = sandbox.run(
            [str(postgres.PROGRAMS / program), *where, "--no-password", *arguments],
            environ={
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C.UTF-8",
                "PGPASSFILE": f"/proc/self/fd/{secret}",
                **{f"PG{name.upper()}": value for name, value in cluster.options},
            },
            cwd=Path("/"),
            limits=LIMITS,
            umask=0o077,
            given=(secret,),
            ours=True,
            on_line=count,
            tick=tick,
        )
    if ended.code != 0:
        said = ended.tail[-_TAIL:]
        how = f"ended with exit code {ended.code}" if ended.in_time else "took too long"
        raise errors.BrokenError(f"{program} {how}: {said[-1] if said else 'no reason given'}", code=CODE, tail=said)


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")


@contextmanager
def _in_memory(text: str) -> Iterator[int]:
    """The descriptor of a file in memory, which has no name."""
    descriptor = os.memfd_create("password")
    try:
        os.fchmod(descriptor, private_files.MODE)
        os.write(descriptor, text.encode())
        yield descriptor
    finally:
        os.close(descriptor)
