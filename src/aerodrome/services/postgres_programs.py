"""Runs one of PostgreSQL's own programs (initdb, pg_ctl) to its end, as the user that `postgres` names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from aerodrome import errors
from aerodrome.unix_users import UnixUser


def run(account: UnixUser | None, program: Path, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's programs to its end, with an environment of its own.

    Raises:
        BrokenError: it failed; `tail` holds what it said.
    """
    # The server inherits these descriptors from pg_ctl and keeps them: pipes would never end.
    output = os.memfd_create(program.name) if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
    try:
        done = subprocess.run(
            [str(program), *map(str, arguments)],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            umask=0o077,
            start_new_session=True,
            check=False,
        )
        os.lseek(output, 0, os.SEEK_SET)
        said = os.read(output, 2**16).decode("utf-8", errors="replace")
    finally:
        os.close(output)
    if done.returncode != 0:
        raise errors.BrokenError(
            f"{program.name} failed with {done.returncode}: {said.strip()[-500:]}",
            code="POSTGRES_FAILED",
            tail=tuple(said.splitlines()[-20:]),
        )
