"""The disk images of environments on this machine: their files, how large they are, and what units find in them.

An environment has one for its logs, which it keeps, and one for the temporary files of each revision, which begins
empty whenever the revision's cell starts and nobody uses it. A cell mounts them (`cell/images`). The files are sparse:
what is not used takes no room. So together they may promise more than there is, and `disk_reserve` sees to the rest.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from aerodrome import trees
from aerodrome.backends import ownership
from aerodrome.backends.local.paths import EnvironmentPaths
from aerodrome.cell import images, mounts
from aerodrome.cell.images import Image, ImageFolder
from aerodrome.model import limits
from aerodrome.model.observed import LOGS, TEMPORARY
from aerodrome.services import folders, oldest_files
from aerodrome.settings import Settings
from aerodrome.unix_users import UnixUser

TRIAL = 16 * 2**20
"""Bytes of the image with which it is tried whether there can be any."""

PATIENCE = 300.0
"""Seconds for a check of a file system; most take none."""

BLOCK = 4096
"""Bytes of a block in an image."""

MAKE = "mke2fs"
CHECK = "e2fsck"
PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"

_FEATURES = "^has_journal,^resize_inode"
"""Without a journal nothing but a power cut leaves it unsound, and a disk without room does not close it."""

_CHECKED = 3
"""Exit codes of e2fsck up to this one say that the file system is sound now."""

log = structlog.get_logger("disks")


class Sizes(NamedTuple):
    """Bytes that images have here."""

    temporary: int
    logs: int


def sizes(settings: Settings) -> Sizes:
    """The sizes that the settings ask for, as far as the disk of the data folder is large enough."""
    disk = shutil.disk_usage(settings.paths.data).total
    return Sizes(
        limits.temporary_files(settings.temporary_bytes, disk), limits.task_logs(settings.task_logs_bytes, disk)
    )


@cache
def trouble() -> str:
    """Why there can be no images on this machine; empty = there can be."""
    if os.geteuid() != 0:
        return "not root"
    with tempfile.TemporaryDirectory(prefix="aerodrome-") as place:
        file, at = Path(place, "trial.img"), Path(place, "at")
        at.mkdir()
        try:
            _make(file, TRIAL)
            program = [sys.executable, "-I", "-m", "aerodrome.cell.images", str(file), str(at)]
            done = _run(program)
        except (OSError, subprocess.SubprocessError) as error:
            return f"no {MAKE}" if isinstance(error, FileNotFoundError) else str(error)
        return "" if done.returncode == 0 else "the kernel mounts no image: " + done.stdout.strip()[-200:]


def of_services(paths: EnvironmentPaths, owner: UnixUser | None, control: UnixUser | None) -> list[Image]:
    """The images that the services' cell shows; none if the environment has none."""
    return [_logs(paths, owner, control)] if owner is not None and paths.logs_image.exists() else []


def of_cell(
    paths: EnvironmentPaths, revision: int, owner: UnixUser | None, control: UnixUser | None = None
) -> list[Image]:
    """The images that a revision's cell shows; none if the environment has none."""
    file = paths.temporary_image(revision)
    if owner is None or not file.exists():
        return []
    whose = control or owner
    inside = [
        _folder("t", paths.temporary, owner.uid, owner.gid),
        _folder("v", paths.control_temporary, whose.uid, whose.gid),
        _folder("p", paths.private, 0, 0),
        # As `release/airflow_home` makes it.
        _folder("home", paths.airflow_home(revision), 0, owner.gid, 0o1770, copies=True),
    ]
    if control is not None:
        inside.append(_folder("control", paths.control_home(revision), control.uid, control.gid, copies=True))
    temporary = Image(TEMPORARY, str(file), str(paths.mount), inside)
    return [temporary, *of_services(paths, owner, control)]


def writable(shown: Sequence[Image], paths: EnvironmentPaths) -> list[str]:
    """Where the units of a cell with these images and a /tmp of its own may make files."""
    inside = [folder.path for image in shown for folder in image.folders if folder.uid or folder.copies]
    return [*dict.fromkeys([*inside, str(paths.logs), *mounts.SHARED, mounts.SHARED_MEMORY])]


def prepare_logs(paths: EnvironmentPaths, size: int) -> None:
    """Make the image for an environment's logs, with the logs of an earlier Aerodrome; check one that is there.

    No cell of the environment may be alive.
    """
    folders.make(paths.mount, folders.PRIVATE)
    if not paths.logs_image.exists():
        _make_logs(paths, size)
    elif images.device(str(paths.logs_image)) is None and not _is_made_sound(paths.logs_image):
        paths.logs_image.replace(paths.logs_image.with_name(paths.logs_image.name + ".unsound"))
        _make(paths.logs_image, size)


def prepare_temporary(paths: EnvironmentPaths, revision: int, size: int) -> None:
    """Make the image for the temporary files of a revision anew, unless somebody has it."""
    folders.make(paths.mount, folders.PRIVATE)
    file = paths.temporary_image(revision)
    if not file.exists() or images.device(str(file)) is None:
        _make(file, size)


def remove_temporary(paths: EnvironmentPaths, revision: int) -> None:
    """Remove the image of a revision that has ended."""
    paths.temporary_image(revision).unlink(missing_ok=True)


def documents(images_of: Sequence[Image]) -> list[dict[str, Any]]:
    """The images as a cell's configuration has them."""
    return images.documents(list(images_of))


def _logs(paths: EnvironmentPaths, owner: UnixUser, control: UnixUser | None) -> Image:
    mode = folders.PRIVATE if control is None else ownership.GROUP_WRITES
    inside = [_folder("logs", paths.logs, owner.uid, owner.gid, mode)]
    return Image(LOGS, str(paths.logs_image), str(paths.mount), inside)


def _make_logs(paths: EnvironmentPaths, size: int) -> None:
    """Make the image with the newest of the logs that lie in the folder."""
    if not any(paths.logs.iterdir()):
        _make(paths.logs_image, size)
        return
    oldest_files.thin_out(paths.logs, size // 2)
    with tempfile.TemporaryDirectory(dir=paths.home, prefix=".logs-") as staged:
        moved = Path(staged, paths.logs.name)
        paths.logs.rename(moved)
        try:
            _make(paths.logs_image, size, holding=Path(staged))
        except OSError:
            moved.rename(paths.logs)
            raise
        # The files are others now: the sidecar would ship them all once more, rather than a line too few.
        for positions in paths.home.glob(f"{paths.log_positions.name}*"):
            positions.unlink()
        seen = moved.stat()
        paths.logs.mkdir(mode=stat.S_IMODE(seen.st_mode))
        os.chown(paths.logs, seen.st_uid, seen.st_gid)
        trees.remove(moved)  # it may be deeper than Python can remove


def _folder(
    name: str, path: Path, uid: int, gid: int, mode: int = folders.PRIVATE, *, copies: bool = False
) -> ImageFolder:
    return ImageFolder(name, str(path), uid, gid, mode, copies)


def _make(file: Path, size: int, *, holding: Path | None = None) -> None:
    """Make the image, with a copy of that folder in it if there is one.

    Raises:
        OSError: it cannot be made.
    """
    aside = file.with_name(f".{file.name}.new")
    aside.unlink(missing_ok=True)
    made = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(made, size)
    finally:
        os.close(made)
    options = "lazy_itable_init=1,nodiscard,root_owner=0:0"
    program = [
        MAKE,
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        str(BLOCK),
        "-O",
        _FEATURES,
        "-m",
        "0",
        "-i",
        "32768",
        "-E",
        options,
    ]
    done = _run([*program, *([] if holding is None else ["-d", str(holding)]), str(aside)])
    if done.returncode != 0:
        aside.unlink()
        raise OSError(f"{MAKE} failed: {done.stdout.strip()[-200:]}")
    aside.replace(file)


def _is_made_sound(file: Path) -> bool:
    """Make sound what a power cut may have left; False = it cannot be."""
    done = _run([CHECK, "-y", str(file)])
    if done.returncode > _CHECKED:
        log.warning("unsound disk image", file=str(file), said=done.stdout[-400:])
    return done.returncode <= _CHECKED


def _run(program: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program,
        env={"PATH": PLACES, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=PATIENCE,
        check=False,
    )
