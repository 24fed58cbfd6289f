"""The folders and files of one environment, and their owners.

If we are root, units run under two uids of the environment's own, which have one group: what DAG code may write to
belongs to one, what is secret to the other, and what controls them belongs to us. Otherwise everything belongs to the
user who runs the control plane.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from aerodrome import trees
from aerodrome.backends import ownership
from aerodrome.backends.local import disk_images
from aerodrome.backends.local.paths import ZONES, EnvironmentPaths, part
from aerodrome.errors import RetryError
from aerodrome.services import folders
from aerodrome.unix_users import UnixUser

OURS_TO_READ = 0o755
"""Mode of a folder that we write and units read; the folder above it keeps everyone else out."""

LOGS_KEPT = 5
"""Revisions whose units' logs are kept; arbitrary, enough to see what happened before a failure."""

OURS_TO_PASS = 0o710
"""Mode of the two folders that hold all others: the environment's group passes through, other environments do not."""


_WEB_SOCKET = re.compile(r"web-(\d+)\.sock")
"""The names that `EnvironmentPaths.web_socket` gives."""


def prepare(paths: EnvironmentPaths, owner: UnixUser | None, control: UnixUser | None = None) -> None:
    """Make every folder; to repeat it mends modes and owners."""
    shared = folders.PRIVATE if control is None else ownership.GROUP_WRITES
    for whole in (paths.home, paths.run):
        folders.make(whole.parent)
        _make_passable(whole, owner)
    for passed in (paths.configuration, paths.airflow_homes):
        _make_passable(passed, owner)
    for ours in (paths.dags, paths.plugins):
        folders.make(ours, OURS_TO_READ)
    for theirs in (paths.redis_files, paths.temporary):
        ownership.make_folder(theirs, owner)
    _share_logs(paths.logs, owner, shared)
    ownership.make_folder(paths.unit_sockets, owner, folders.PRIVATE if control is None else ownership.GROUP_PASSES)
    if control is not None:
        _let_group_connect(paths.redis_socket)
    for secret in (paths.control, paths.control_temporary):
        ownership.make_folder(secret, control or owner)
    folders.make(paths.unit_logs, folders.PRIVATE)


def prepare_cell(
    paths: EnvironmentPaths, revision: int, owner: UnixUser | None, control: UnixUser | None = None, *, place: int = 0
) -> None:
    """Make the folders of a revision's cell, or of its part in the zone at that place.

    There is a `control` where some of its units hold secrets from DAG code.
    """
    folders.make(paths.cell(revision, place).run, folders.PRIVATE)
    configuration = paths.configuration / part(revision, place)
    folders.make(paths.private, folders.PRIVATE)
    folders.make(paths.unit_logs / str(revision), folders.PRIVATE)
    if control is None:
        ownership.make_folder(configuration, owner)
    else:
        _make_passable(configuration, owner)
        ownership.make_folder(paths.control_home(revision), control)
    _make_passable(paths.airflow_homes, owner)  # an environment of an earlier Aerodrome does not have it


def remove_cell(paths: EnvironmentPaths, revision: int) -> None:
    """Remove what only the cell of a revision has used, except what its units printed."""
    disk_images.remove_temporary(paths, revision)
    for socket in (paths.web_socket(revision), paths.control_web_socket(revision)):
        for each in (socket, *socket.parent.glob(f"{socket.stem}-*{socket.suffix}")):
            each.unlink(missing_ok=True)
    trees.remove(
        *(paths.configuration / part(revision, place) for place in range(ZONES)),
        paths.airflow_home(revision),
        paths.control_home(revision),
        *(paths.cell(revision, place).run for place in reversed(range(ZONES))),
    )
    kept = sorted(_numbered(paths.unit_logs), reverse=True)
    trees.remove(*(paths.unit_logs / str(old) for old in kept[LOGS_KEPT:]))


def revisions(paths: EnvironmentPaths) -> list[int]:
    """The revisions whose cells have a folder."""
    return sorted(_numbered(paths.run))


def point(link: Path, target: Path) -> None:
    """Point a link of ours to the target, atomically."""
    aside = link.with_name(f".{link.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.replace(link)


def served(paths: EnvironmentPaths) -> int | None:
    """The revision whose web server the link points to; None = there is no link."""
    try:
        found = _WEB_SOCKET.fullmatch(paths.web.readlink().name)
    except OSError:
        return None
    return int(found[1]) if found else None


def dags_at(paths: EnvironmentPaths) -> float | None:
    """When the DAGs folder last changed, in seconds since 1970; None = it never had a file."""
    try:
        return paths.dags_manifest.stat().st_mtime
    except OSError:
        return None


def web_socket(paths: EnvironmentPaths, revision: int) -> Path:
    """Where the web server of a revision listens; DAG code can put nothing in the place where it has another user."""
    secret = paths.control_web_socket(revision)
    return secret if secret.exists() else paths.web_socket(revision)


def are_prepared(paths: EnvironmentPaths) -> bool:
    """Whether `prepare` has run since the last reboot, which removes run folders below /tmp."""
    needed = (
        paths.dags,
        paths.unit_logs,
        paths.configuration,
        paths.airflow_homes,
        paths.redis_files,
        paths.unit_sockets,
        paths.temporary,
        paths.control_temporary,
    )
    return all(folder.is_dir() for folder in needed)


def are_gone(paths: EnvironmentPaths) -> bool:
    return not paths.home.exists() and not paths.run.exists()


def remove(paths: EnvironmentPaths) -> None:
    """Remove every trace on disk.

    Raises:
        RetryError: something could not be removed.
    """
    left = trees.remove(paths.run, paths.home)
    if not are_gone(paths):
        raise RetryError(f"cannot remove {paths.home}: {left[:200]}")


def _share_logs(path: Path, owner: UnixUser | None, mode: int) -> None:
    """Make the folder of the tasks' logs; if the group gets in only now, also into what an earlier Aerodrome wrote."""
    is_new = not path.exists()
    before = 0 if is_new else stat.S_IMODE(path.lstat().st_mode)
    ownership.make_folder(path, owner, mode)
    if is_new or mode in {before, folders.PRIVATE}:
        return
    with suppress(OSError, RecursionError):  # folders without end are not Airflow's
        for _, _, names, folder in os.fwalk(path, follow_symlinks=False):
            os.fchmod(folder, ownership.GROUP_WRITES)
            for name in names:
                _let_group_write(name, folder)


def _let_group_write(name: str, folder: int) -> None:
    """By descriptor, for hostile code may swap the name for a link."""
    with suppress(OSError):
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            found = os.fstat(file)
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                os.fchmod(file, 0o660)
        finally:
            os.close(file)


def _let_group_connect(path: Path) -> None:
    """Open the socket of a Redis that an earlier Aerodrome started, and that runs on."""
    with suppress(OSError):
        found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if stat.S_ISSOCK(os.fstat(found).st_mode):
                Path(f"/proc/self/fd/{found}").chmod(ownership.GROUP_WRITES)
        finally:
            os.close(found)


def _make_passable(path: Path, owner: UnixUser | None) -> None:
    """Make a folder of ours that only the owner's group passes through."""
    folders.make(path, folders.PRIVATE if owner is None else OURS_TO_PASS)
    if owner is not None:
        os.chown(path, -1, owner.gid)


def _numbered(folder: Path) -> list[int]:
    """The numbers among the names in a folder; empty when there is no such folder."""
    return [int(each.name) for each in folder.iterdir() if each.name.isdecimal()] if folder.is_dir() else []
