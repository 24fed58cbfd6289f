"""The Unix users that run environments' code on this machine: as root, users of their own; else ourselves (None)."""

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
        """The user of the units of environment `number`."""
        own = self._with_range_of(number)
        return _user(own.environment(number)) if own else None

    def control_of(self, number: int) -> UnixUser | None:
        """The user of those units of environment `number` that hold its secrets, in the group of its other user.

        None = one user for all its units: where links are followed, DAG code could reach files of the second user.
        """
        own = self._with_range_of(number)
        if own is None or not airflow_home.can_be_shown_without_links():
            return None
        return UnixUser(own.control(number), own.environment(number))

    def builder_of(self, number: int) -> UnixUser | None:
        """The user that builds its packages and runs its startup script; no unit has it."""
        own = self._with_range_of(number)
        return _user(own.builder(number)) if own else None

    def _with_range_of(self, number: int) -> uid_ranges.UidRanges | None:
        """The uid ranges, with the one for this environment; None = we are not root."""
        if os.geteuid() != 0:
            return None
        with self._extending:
            own = self._own or moves.settled(self._settings)
            while own is not None and len(own.firsts) <= uid_ranges.index_of(number):
                own = uid_register.extend(self._settings.paths, own, lowest=self._settings.first_uid)
            self._own = own
            return own


def checker_of(pid: int, settings: Settings) -> UnixUser | None:
    """The user of people's code in the `aerodrome check` of that process; no environment has it."""
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
