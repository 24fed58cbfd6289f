"""Where the embedded AWS emulator lives on this machine: its user, its folders, its control group, its way to programs.

As root it has a user of its own, who owns what the emulator writes and nothing else. What tells us or the door where to
write or what to believe lies in folders of ours. `keeper` starts it there.
"""

from __future__ import annotations

import compileall
import contextlib
import importlib.util
import os
from pathlib import Path

from aerodrome import private_files
from aerodrome.backends.local import moves
from aerodrome.backends.local.groups import Groups
from aerodrome.emulator import launch
from aerodrome.emulator.redshift import warehouses
from aerodrome.model import limits
from aerodrome.services import accounts, folders
from aerodrome.services.daemon import Confinement
from aerodrome.services.uid_ranges import UidRanges
from aerodrome.settings import Paths
from aerodrome.unix_users import UnixUser

PACKAGE = "ministack"

OOM_SCORE = 100
"""Where memory is short the kernel ends it before control plane, PostgreSQL and Redis, and after tasks."""

_PASSABLE = 0o710
_READABLE = 0o750


class EmulatorPlace:
    """Of one installation, whose ranges of uids are `own` (None = we are not root)."""

    def __init__(self, paths: Paths, own: UidRanges | None) -> None:
        self._paths = paths
        self.user = UnixUser(own.emulator, own.emulator) if own else None
        """None = the emulator runs as ourselves."""

    def prepared(self) -> Confinement:
        """What to start it under, with its folders made. Only while none runs.

        Raises:
            BrokenError: its user cannot read our packages.
        """
        _make_folders(self._paths.aws, self.user)
        if self.user is not None:
            accounts.open_way_to(self._paths.aws)
            accounts.open_our_interpreter("aerodrome")
            _compile()
        group = Groups(self._paths).for_emulator()
        return Confinement(
            user=self.user,
            groups=tuple(Path(place) / "cgroup.procs" for place in group.places) if group else (),
            processes=limits.EMULATOR_PROCESSES,
            oom_score=OOM_SCORE,
        )


def _make_folders(top: Path, user: UnixUser | None) -> None:
    redshift, spool = launch.redshift_folder(top), launch.spool_folder(top)
    for folder in (top, redshift, spool):
        folders.make(folder, folders.PRIVATE)
    for left in (*redshift.glob(f"*{warehouses.REQUEST}"), *redshift.glob(f"*{warehouses.REFUSAL}")):
        left.unlink()  # of a version that had them here
    for folder in launch.written_folders(top):
        if not folder.is_dir():
            folder.mkdir(mode=folders.PRIVATE)
            if user is not None:
                os.chown(folder, user.uid, user.gid)
    if user is not None:
        _give(top, user)
        for folder, mode in ((redshift, _READABLE), (spool, _PASSABLE), (top, _PASSABLE)):
            os.chown(folder, -1, user.gid)
            folder.chmod(mode)
        for way in redshift.glob(f"*{warehouses.WAY_IN}"):
            os.chown(way, -1, user.gid)
            way.chmod(warehouses.READABLE)


def _give(top: Path, user: UnixUser) -> None:
    """Give the user what the emulator wrote before: as root, or under a uid that the installation had then.

    A folder that is not the user's says so too: somebody may have brought the data back as root.
    """
    note, before, written = top / "owner", 0, launch.written_folders(top)
    with contextlib.suppress(FileNotFoundError, ValueError):
        before = int(note.read_text(encoding="ascii"))
    if before != user.uid or any(folder.lstat().st_uid != user.uid for folder in written):
        for folder in written:
            moves.give(folder, dict.fromkeys((0, before), user.uid))
        private_files.write(note, str(user.uid), durable=True)


def _compile() -> None:
    """Compile the emulator's largest package: its user may write nothing beside it, and would do so at each start."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        if Path(importlib.util.cache_from_source(spec.origin)).exists():
            return
        for folder in spec.submodule_search_locations or ():
            compileall.compile_dir(folder, quiet=2)
