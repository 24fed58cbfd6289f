"""AIRFLOW_HOME as users' code finds it: where MWAA has it, and with what MWAA keeps below it.

As root each process that runs users' code has a mount namespace in which a folder of ours is AIRFLOW_HOME, with the
environment's folders below it (`cell/mounts.py`). Where that is impossible, AIRFLOW_HOME is the folder itself, with
links. Units, trials, startup scripts and Airflow's commands all use this module.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aerodrome import trees
from aerodrome.unix_users import UnixUser

AIRFLOW_HOME = Path("/usr/local/airflow")
"""Where MWAA has it."""

DAGS = "dags"
PLUGINS = "plugins"
LOGS = "logs"
CONFIG = "config"
"""Airflow imports modules that lie there, in every process: nobody adds one who runs DAG code."""

REQUIREMENTS = "requirements/requirements.txt"
STARTUP = "startup/startup.sh"

_OURS = 0o755
_THEIRS_TO_READ = 0o640
_SHARED = 0o1770
"""The user may add entries, and may neither rename nor remove what belongs to others."""

_PATIENCE = 20.0
_MOUNTS = Path(__file__).parents[1] / "cell" / "mounts.py"
_WITHOUT_LINKS = 0
_WITH_LINKS = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What is found below AIRFLOW_HOME."""

    dags: Path | None = None
    """The folder; None = an empty one, as for the next two."""

    plugins: Path | None = None
    logs: Path | None = None

    home: Path | None = None
    """A folder whose entries code finds there one by one, and cannot change; None = none."""

    requirements: Path | None = None
    """The file that is copied to requirements/requirements.txt; None = none."""

    startup: Path | None = None
    """The file that is copied to startup/startup.sh; None = none."""

    config_is_closed: bool = True
    """Whether nobody who runs DAG code may make a folder `config`; only the startup script may, for it comes before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeView:
    """AIRFLOW_HOME for one process."""

    path: Path
    """Where the process finds it."""

    views: tuple[tuple[Path, Path], ...]
    """Folders and files, each with the path at which the process must be shown it, in this order."""


def can_be_shown() -> bool:
    """Whether code finds AIRFLOW_HOME where MWAA has it; a mount point that somebody removed is made anew."""
    return _make_mount_point() and _mounting() in {_WITHOUT_LINKS, _WITH_LINKS}


def can_be_shown_without_links() -> bool:
    """Whether it can be shown so that nobody follows links in a folder below it."""
    return _make_mount_point() and _mounting() == _WITHOUT_LINKS


@cache
def _mounting() -> int | None:
    """What the kernel lets us do, asked once: the exit code of `cell/mounts.py`; None = it does not even run."""
    command = [sys.executable, "-I", "-S", str(_MOUNTS), str(AIRFLOW_HOME)]
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, env={}, cwd="/", capture_output=True, timeout=_PATIENCE, check=False).returncode
    return None


def path_of(name: str, folder: Path) -> Path:
    """Where code finds the folder that AIRFLOW_HOME has under that name."""
    return AIRFLOW_HOME / name if can_be_shown() else folder


def seen(folder: Path, parts: Parts) -> HomeView:
    """How code will find the AIRFLOW_HOME that `lay_out` makes in the folder."""
    if not can_be_shown():
        return HomeView(path=folder, views=())
    below = ((target, AIRFLOW_HOME / name) for name, target in _entries(parts).items() if target is not None)
    return HomeView(path=AIRFLOW_HOME, views=((folder, AIRFLOW_HOME), *below))


def lay_out(folder: Path, parts: Parts, user: UnixUser | None) -> HomeView:
    """Make the folder, whose parent must be ours alone, for code of the user; a second call mends it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    shown = can_be_shown()
    for name, target in _entries(parts).items():
        _place(folder / name, target, shown=shown)
    for name, target in _links(parts).items():
        _link(folder / name, target)
    for name, file in ((REQUIREMENTS, parts.requirements), (STARTUP, parts.startup)):
        if file is not None:
            _copy(file, folder / name, user)
    if user is not None:
        os.chown(folder, -1, user.gid)
        folder.chmod(_SHARED)
    return seen(folder, parts)


def link(folder: Path, parts: Parts) -> None:
    """Make links in the folder to what is found below AIRFLOW_HOME, for who finds another folder as HOME."""
    targets = {name: target for name, target in _entries(parts).items() if target is not None}
    for name, target in {**targets, **_links(parts)}.items():
        _link(folder / name, target)


def _entries(parts: Parts) -> dict[str, Path | None]:
    """What is to be found below AIRFLOW_HOME, by name."""
    others = {each.name: each for each in _home(parts) if not each.is_symlink()}
    shown = {DAGS: parts.dags, PLUGINS: parts.plugins, LOGS: parts.logs}
    config: dict[str, Path | None] = {CONFIG: None} if parts.config_is_closed else {}
    return {**config, **others, **shown, **dict.fromkeys(str(Path(each).parent) for each in (REQUIREMENTS, STARTUP))}


def _links(parts: Parts) -> dict[str, Path]:
    """The links among what the startup script left, and where they lead.

    Code must follow them with its own rights: if they were mounted, they would show what lies in closed folders.
    """
    return {each.name: each.readlink() for each in _home(parts) if each.is_symlink()}


def _home(parts: Parts) -> list[Path]:
    return sorted(parts.home.iterdir()) if parts.home is not None else []


def _place(entry: Path, target: Path | None, *, shown: bool) -> None:
    """Make the mount point at the target, or the link to it."""
    is_file = target is not None and target.is_file()
    if shown or target is None:
        if _is_ours(entry, is_file=is_file):
            return
        _clear(entry)
        if is_file:
            os.close(os.open(entry, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        else:
            entry.mkdir()
            entry.chmod(_OURS)  # whatever our umask is
    else:
        _link(entry, target)


def _link(entry: Path, target: Path) -> None:
    if not entry.is_symlink() or entry.readlink() != target:
        _clear(entry)
        entry.symlink_to(target)


def _copy(file: Path, target: Path, user: UnixUser | None) -> None:
    """Copy for the user to read, and nobody else: both files may hold secrets."""
    _clear(target)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as copy:
        copy.write(file.read_bytes())
        if user is not None:
            os.fchown(descriptor, -1, user.gid)
            os.fchmod(descriptor, _THEIRS_TO_READ)


def _clear(entry: Path) -> None:
    if os.path.lexists(entry):
        trees.remove(entry)


def _is_ours(entry: Path, *, is_file: bool) -> bool:
    if entry.is_symlink() or not (entry.is_file() if is_file else entry.is_dir()):
        return False
    return entry.lstat().st_uid == os.geteuid()


def _make_mount_point() -> bool:
    """As root: the machine's empty folder over which others are mounted; False = there is none."""
    if os.geteuid() != 0:
        return False
    with suppress(OSError):
        for folder in (AIRFLOW_HOME.parent, AIRFLOW_HOME):
            if not folder.exists():
                folder.mkdir()
                folder.chmod(_OURS)
    return AIRFLOW_HOME.is_dir()
