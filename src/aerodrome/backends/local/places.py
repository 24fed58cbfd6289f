"""The folders and files of one environment, and whose they are.

As root, units run under a uid of the environment's own: what they may write to belongs to that uid, what steers them
belongs to us. Otherwise everything belongs to whoever runs the control plane.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aerodrome import private_files, trees
from aerodrome.errors import RetryError
from aerodrome.services import folders
from aerodrome.settings import EnvironmentPaths
from aerodrome.unix_users import UnixUser

OURS_TO_READ = 0o755
"""Mode of a folder that we write and units read; the folder above it keeps everyone else out."""

READABLE = 0o644
"""Mode of a file that we write and units read."""

LOGS_KEPT = 5
"""Revisions whose units' logs are kept; arbitrary, enough to see what came before a trouble."""

MOST_BUILDERS = 9_000
"""Uids below the environments' own that builders have; so many environments would have to be made for two to share."""

MOST_CHECKERS = 1_000
"""Uids below the builders' that processes of `aerodrome check` have."""

OURS_TO_PASS = 0o710
"""Mode of the two folders that all others lie in: the environment's group passes through, other environments do not."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who units run as; None = as ourselves."""

    uid: int | None
    gid: int | None

    @property
    def user(self) -> UnixUser | None:
        """The same for what is run apart from units."""
        return None if self.uid is None or self.gid is None else UnixUser(self.uid, self.gid)


def builder_of(number: int, *, first_uid: int) -> Owner:
    """Whom the packages and the startup script of environment `number` run as, before they are tried: nobody else."""
    return owner_of(-1 - number % MOST_BUILDERS, first_uid=first_uid)


def checker_of(pid: int, *, first_uid: int) -> Owner:
    """Whom user code runs as in the `aerodrome check` of that process: nobody whom an environment is."""
    return owner_of(-1 - MOST_BUILDERS - pid % MOST_CHECKERS, first_uid=first_uid)


def owner_of(number: int, *, first_uid: int) -> Owner:
    """The owner for the environment of that number: a uid of its own when we are root."""
    if os.geteuid() != 0:
        return Owner(None, None)
    return Owner(first_uid + number, first_uid + number)


def prepare(paths: EnvironmentPaths, owner: Owner) -> None:
    """Make every folder; doing it again mends modes and owners."""
    for whole in (paths.home, paths.run):
        folders.make(whole.parent)
        _make_passable(whole, owner)
    for passed in (paths.configuration, paths.airflow_homes):
        _make_passable(passed, owner)
    for ours in (paths.dags, paths.plugins):
        folders.make(ours, OURS_TO_READ)
    for theirs in (paths.logs, paths.spool, paths.unit_sockets, paths.temporary):
        make_for(theirs, owner)
    folders.make(paths.unit_logs, folders.PRIVATE)


def prepare_cell(paths: EnvironmentPaths, revision: int, owner: Owner) -> None:
    """Make the folders of a revision's cell."""
    folders.make(paths.cell(revision).run, folders.PRIVATE)
    folders.make(paths.unit_logs / str(revision), folders.PRIVATE)
    make_for(paths.configuration / str(revision), owner)
    _make_passable(paths.airflow_homes, owner)  # which an environment of an earlier Aerodrome lacks


def remove_cell(paths: EnvironmentPaths, revision: int) -> None:
    """Remove what only the cell of a revision has used, but for what it printed."""
    paths.web_socket(revision).unlink(missing_ok=True)
    trees.remove(paths.configuration / str(revision), paths.airflow_home(revision), paths.cell(revision).run)
    kept = sorted((int(each.name) for each in paths.unit_logs.iterdir() if each.name.isdecimal()), reverse=True)
    trees.remove(*(paths.unit_logs / str(old) for old in kept[LOGS_KEPT:]))


def revisions(paths: EnvironmentPaths) -> list[int]:
    """The revisions whose cells have left anything."""
    if not paths.run.is_dir():
        return []
    return sorted(int(each.name) for each in paths.run.iterdir() if each.name.isdecimal())


def point(link: Path, target: Path) -> None:
    """Let a link of ours lead to the target, from one moment to the next."""
    aside = link.with_name(f".{link.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.replace(link)


def leads_to(link: Path, target: Path) -> bool:
    """Whether the link is there and leads to the target."""
    return link.is_symlink() and link.readlink() == target


def are_prepared(paths: EnvironmentPaths) -> bool:
    """Whether `prepare` has run since the last reboot (run folders below /tmp vanish with one)."""
    needed = (
        paths.dags,
        paths.unit_logs,
        paths.configuration,
        paths.airflow_homes,
        paths.spool,
        paths.unit_sockets,
        paths.temporary,
    )
    return all(folder.is_dir() for folder in needed)


def are_gone(paths: EnvironmentPaths) -> bool:
    return not paths.home.exists() and not paths.run.exists()


def write(path: Path, text: str, owner: Owner, *, mode: int = private_files.MODE) -> None:
    """Write a file that only its owner reads; whole or not at all."""
    private_files.write(path, text, owner=owner.user, mode=mode)


def remove(paths: EnvironmentPaths) -> None:
    """Remove every trace on disk.

    Raises:
        RetryError: something is left.
    """
    left = trees.remove(paths.run, paths.home)
    if not are_gone(paths):
        raise RetryError(f"cannot remove {paths.home}: {left[:200]}")


def _make_passable(path: Path, owner: Owner) -> None:
    """A folder of ours that the owner's group alone passes through."""
    folders.make(path, folders.PRIVATE if owner.gid is None else OURS_TO_PASS)
    if owner.gid is not None:
        os.chown(path, -1, owner.gid)


def make_for(path: Path, owner: Owner) -> None:
    """A private folder of the owner's. Made and given by descriptor, for a unit might swap the name for a link."""
    path.mkdir(mode=folders.PRIVATE, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, folders.PRIVATE)
        _give(descriptor, owner)
    finally:
        os.close(descriptor)


def _give(descriptor: int, owner: Owner) -> None:
    if owner.uid is not None and owner.gid is not None:
        os.fchown(descriptor, owner.uid, owner.gid)
