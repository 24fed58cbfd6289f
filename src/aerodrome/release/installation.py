"""An installed Airflow version on disk: where it lies, whether it is whole, who may run it.

`<versions>/<version>-<lock>/` holds the virtual environment `venv/` and the marker `installed.json`, written last.
`install` fills such a folder; the backends ask `find`. It runs nothing of the version.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from aerodrome.release import interpreter_hook, interpreters, locks
from aerodrome.release.interpreters import Interpreter
from aerodrome.release.locks import Lock

MARKER = "installed.json"
VENV = "venv"
PROGRAMS = "bin"
_FILE_MODE = 0o644


@dataclass(frozen=True)
class Installation:
    """An Airflow version ready to run; never changed after it was made."""

    version: str
    folder: Path
    lock: str
    """The SHA-256 of the lock that it was installed from."""

    own: Path | None = None
    """The virtual environment that a release has in place of the version's; None = the version's."""

    @property
    def venv(self) -> Path:
        return self.own or self.folder / VENV

    @property
    def packages(self) -> Path:
        """Where Airflow's packages lie."""
        found = sorted((self.venv / "lib").glob("python*/site-packages"))
        return found[0] if found else self.venv / "lib"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def programs(self) -> Path:
        """The folder of the programs beside the version, for PATH; it may not be there yet."""
        return self.folder.with_name(locks.PROGRAMS.identifier) / PROGRAMS

    @property
    def path(self) -> tuple[Path, ...]:
        """What PATH begins with, for whatever runs on this version."""
        return self.python.parent, self.programs

    @property
    def shared(self) -> bool:
        """Whether units may run under any uid; False = only ours reaches its files or its Python."""
        return interpreters.open_to_all(self.python.parent) and interpreters.open_to_all(self.python.resolve())


def folder(lock: Lock, versions: Path) -> Path:
    """Where this very lock is installed. The path has no links, because scripts name it and links may change."""
    return versions.resolve() / lock.identifier


def find(version: str, versions: Path) -> Installation | None:
    """The installation of the version's present lock, if it is whole. Costs two file look-ups.

    Raises CallerError for a version that is not on offer.
    """
    lock = locks.of(version)
    return at(lock.version, lock.sha256, versions)


def at(version: str, lock: str, versions: Path) -> Installation | None:
    """The installation of a version by the lock of that SHA-256, if it is whole; it need not be the present lock."""
    found = Installation(version, versions.resolve() / locks.identifier(version, lock), lock)
    # A Python that was uninstalled since leaves a dangling link.
    if not (found.folder / MARKER).is_file() or not found.python.exists():
        return None
    interpreter_hook.add(found.venv)  # an earlier Aerodrome may have installed it
    return found


def has_programs(versions: Path) -> bool:
    """Whether the programs beside all versions are installed."""
    found = folder(locks.PROGRAMS, versions)
    return (found / MARKER).is_file() and (found / VENV / "bin" / "python").exists()


def mark_used(found: Installation) -> None:
    """Note that it is used now, because `collect` keeps what was used lately."""
    with contextlib.suppress(OSError):
        os.utime(found.folder / MARKER)


def finish(lock: Lock, versions: Path, python: Interpreter) -> Installation:
    """Declare a filled folder whole. A crash at any moment leaves either no marker or all of it."""
    made = Installation(lock.version, folder(lock, versions), lock.sha256)
    let_all_read(made.folder)
    marker = {
        "airflow": lock.version,
        "lock": lock.sha256,
        "python": ".".join(map(str, python.version)),
        "interpreter": str(python.path),
    }
    draft = made.folder / f".{MARKER}"
    with draft.open("w") as file:
        json.dump(marker, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.chmod(_FILE_MODE)
    draft.replace(made.folder / MARKER)
    return made


def let_all_read(top: Path) -> None:
    """Let every user read what is below `top`, and run the programs in it."""
    # uv links files from its cache; if that was filled under a stricter umask, they have that umask's mode.
    for parent, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = os.path.join(parent, name)  # noqa: PTH118 - tens of thousands of them
            mode = os.lstat(path).st_mode
            wanted = mode | 0o444 | (0o111 if mode & 0o100 else 0)
            if mode != wanted and not os.path.islink(path):  # noqa: PTH114 - as above
                os.chmod(path, wanted)  # noqa: PTH101 - as above
