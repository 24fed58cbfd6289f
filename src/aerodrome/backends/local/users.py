"""Whom the code of environments runs as on this machine: as root, a user of its own for each; else ourselves (None)."""

from __future__ import annotations

import os
import threading

from aerodrome.airflow.context import INSIDE
from aerodrome.backends.local import moves
from aerodrome.release import airflow_home, installation
from aerodrome.release.installation import Installation
from aerodrome.services import accounts, uid_ranges, uid_register
from aerodrome.settings import Settings
from aerodrome.unix_users import UnixUser


class Users:
    """The users of one installation, from the ranges that the machine's register has given to its data folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own: uid_ranges.UidRanges | None = None
        self._extending = threading.Lock()

    def owner_of(self, number: int) -> UnixUser | None:
        """Whom the units of environment `number` run as."""
        own = self._with_range_of(number)
        return _user(own.environment(number)) if own else None

    def control_of(self, number: int) -> UnixUser | None:
        """Whom those units of environment `number` run as that hold its secrets, in the group of its other user.

        None where that is one user: DAG code must find no way by links to files that only this user may open.
        """
        own = self._with_range_of(number)
        if own is None or not airflow_home.can_be_shown_without_links():
            return None
        return UnixUser(own.control(number), own.environment(number))

    def builder_of(self, number: int) -> UnixUser | None:
        """Whom its packages and its startup script run as before they are tried: nobody else."""
        own = self._with_range_of(number)
        return _user(own.builder(number)) if own else None

    def _with_range_of(self, number: int) -> uid_ranges.UidRanges | None:
        """The installation, with the range that the environment's uids lie in; None = we are not root."""
        if os.geteuid() != 0:
            return None
        with self._extending:
            own = self._own or moves.settled(self._settings)
            while own is not None and len(own.firsts) <= uid_ranges.index_of(number):
                own = uid_register.extend(self._settings.paths, own, lowest=self._settings.first_uid)
            self._own = own
            return own


def checker_of(pid: int, settings: Settings) -> UnixUser | None:
    """Whom user code runs as in the `aerodrome check` of that process: nobody whom an environment is."""
    claim = uid_register.claim(settings.paths, lowest=settings.first_uid)
    return _user(claim.own.checker(pid)) if claim else None


def open_ways(installed: Installation) -> None:
    """As root: let environments' own users pass through to the interpreter and to our code inside Airflow."""
    if os.geteuid() != 0:
        return
    beside = installed.programs.with_name(installation.VENV) / "bin" / "python"
    for path in (installed.python, installed.python.resolve(), beside.resolve(), INSIDE / "boot.py"):
        if path.exists():
            accounts.open_way_to(path)


def _user(uid: int) -> UnixUser:
    return UnixUser(uid, uid)
