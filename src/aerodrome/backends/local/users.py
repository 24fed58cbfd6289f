"""Whom the code of environments runs as on this machine: as root, a user of its own for each; else ourselves (None)."""

from __future__ import annotations

import os

from aerodrome.airflow.context import INSIDE
from aerodrome.release import installation
from aerodrome.release.installation import Installation
from aerodrome.services import accounts
from aerodrome.unix_users import UnixUser

MOST_BUILDERS = 9_000
"""Uids below the environments' own that builders have; so many environments would have to be made for two to share."""

MOST_CHECKERS = 1_000
"""Uids below the builders' that processes of `aerodrome check` have."""


def owner_of(number: int, *, first_uid: int) -> UnixUser | None:
    """Whom the units of environment `number` run as."""
    if os.geteuid() != 0:
        return None
    return UnixUser(first_uid + number, first_uid + number)


def builder_of(number: int, *, first_uid: int) -> UnixUser | None:
    """Whom the packages and the startup script of environment `number` run as, before they are tried: nobody else."""
    return owner_of(-1 - number % MOST_BUILDERS, first_uid=first_uid)


def checker_of(pid: int, *, first_uid: int) -> UnixUser | None:
    """Whom user code runs as in the `aerodrome check` of that process: nobody whom an environment is."""
    return owner_of(-1 - MOST_BUILDERS - pid % MOST_CHECKERS, first_uid=first_uid)


def open_ways(installed: Installation) -> None:
    """As root: let environments' own users pass through to the interpreter and to our code inside Airflow."""
    if os.geteuid() != 0:
        return
    beside = installed.programs.with_name(installation.VENV) / "bin" / "python"
    for path in (installed.python, installed.python.resolve(), beside.resolve(), INSIDE / "boot.py"):
        if path.exists():
            accounts.open_way_to(path)
