"""Airflow's own migration, carried out: the one way in which a metadata database gets its schema or another one's."""

from __future__ import annotations

from collections.abc import Callable

from aerodrome import private_files
from aerodrome.airflow import migrate
from aerodrome.airflow import units as airflow_units
from aerodrome.airflow.migrate import Migration
from aerodrome.backends import ownership
from aerodrome.errors import BrokenError
from aerodrome.release import sandbox
from aerodrome.release.sandbox import SandboxLimits
from aerodrome.unix_users import UnixUser

CODE = "MIGRATION_FAILED"

MEMORY = 4 * 2**30
"""Bytes of memory that a migration may take; it reads most history row by row, but not all."""

TAIL_LINES = 20


def run(
    planned: Migration,
    *,
    seconds: float,
    user: UnixUser | None,
    ours: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Write the configuration and run the commands in order, each for at most `seconds`.

    A database with a history is migrated as the environment's own `user`: it holds code of its users, such as pickles.
    An empty one is `ours` (`sandbox.run`). `planned.home` is made, and its caller removes it: it holds the database's
    password. The statements of the migration are the caller's.

    Raises:
        BrokenError: a command fails, or takes too long. What `tick` raises, which is called several times a second.
    """
    ownership.make_folder(planned.home, user)
    for path, text in planned.configuration.items():
        private_files.write(path, text, owner=user)
    for command in planned.commands:
        ended = sandbox.run(
            command,
            environ=planned.environment,
            cwd=planned.home,
            limits=SandboxLimits(seconds, memory=MEMORY),
            user=user,
            umask=airflow_units.UMASK,
            tick=tick,
            ours=ours,
        )
        if ended.code != 0:
            how = f"ended with exit code {ended.code}" if ended.in_time else f"took longer than {seconds:g} s"
            raise BrokenError(f"Airflow's `{migrate.title(command)}` {how}", code=CODE, tail=ended.tail[-TAIL_LINES:])
