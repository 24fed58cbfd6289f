"""The move of an installation's files to other uids: where the register cannot leave it those that it had.

That is so for a copy of a data folder, for one that comes from a machine where nobody else had its uids, and for one of
two installations that an Aerodrome without a register had given the same.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import structlog

from aerodrome import trees
from aerodrome.backends.local import shutdown
from aerodrome.services import uid_register
from aerodrome.services.uid_ranges import UidRanges
from aerodrome.settings import Settings

DEEPEST = 100
"""Folders in folders that are given to their new owner; deeper ones are left to nobody. Each holds a descriptor."""

ACLS = ("system.posix_acl_access", "system.posix_acl_default")

log = structlog.get_logger("moves")


def settled(settings: Settings) -> UidRanges | None:
    """The ranges of this installation, with its files brought to them; None when we are not root.

    If the files move, every cell is stopped first: it is started again under its new uid as after `aerodrome down`.

    Raises:
        BrokenError: there is no free range, or the register cannot be used. RetryError: something still ends.
    """
    paths = settings.paths
    claim = uid_register.claim(paths, lowest=settings.first_uid)
    if claim is None:
        return None
    if claim.moves:
        log.warning("the environments get other uids", before=claim.before, now=claim.own.firsts)
        shutdown.stop_all(paths, report=lambda _: None)
        trees.remove(*(folder for folder in paths.run.glob("*") if (folder / "cell.json").exists()))
        new = dict(claim.uids())
        for top in paths.environments.glob("*"):
            give(top, new)
        uid_register.settle(paths, claim.own)
    return claim.own


def give(top: Path, new: Mapping[int, int]) -> None:
    """Give what users in `new` have at `top` and below to their new uids; links are not followed.

    Somebody with an old uid may be at work in these folders, and may have put names of other files there. Therefore a
    folder is given away before it is read, and a file with more names than one is replaced by a copy.
    """
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _give_folder(descriptor, new, 0)
    finally:
        os.close(descriptor)


def _give_folder(descriptor: int, new: Mapping[int, int], depth: int) -> None:
    _give_one(descriptor, os.fstat(descriptor), new)
    for entry in os.listdir(descriptor):
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(entry, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                if depth < DEEPEST:
                    _give_below(descriptor, entry, new, depth)
            elif stat.S_ISREG(found.st_mode):
                _give_file(descriptor, entry, new)
            elif found.st_uid in new or found.st_gid in new:
                os.chown(entry, *_ids(found, new), dir_fd=descriptor, follow_symlinks=False)


def _give_below(parent: int, name: str, new: Mapping[int, int], depth: int) -> None:
    with contextlib.suppress(NotADirectoryError, OSError):
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            _give_folder(descriptor, new, depth + 1)
        finally:
            os.close(descriptor)


def _give_file(folder: int, name: str, new: Mapping[int, int]) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        if found.st_uid not in new and found.st_gid not in new:
            return
        if found.st_nlink == 1:
            _give_one(descriptor, found, new)
        else:
            _give_copy(descriptor, found, folder, name, new)
    finally:
        os.close(descriptor)


def _give_copy(source: int, found: os.stat_result, folder: int, name: str, new: Mapping[int, int]) -> None:
    beside = f".{secrets.token_hex(8)}"
    target = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    with os.fdopen(target, "wb") as copy, os.fdopen(os.dup(source), "rb") as original:
        shutil.copyfileobj(original, copy)
        os.fchown(copy.fileno(), *_ids(found, new))
        os.fchmod(copy.fileno(), stat.S_IMODE(found.st_mode) & 0o777)
    os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)


def _give_one(descriptor: int, found: os.stat_result, new: Mapping[int, int]) -> None:
    if found.st_uid not in new and found.st_gid not in new:
        return
    for name in ACLS if hasattr(os, "removexattr") else ():
        with contextlib.suppress(OSError):  # there is none, or the file system knows of none
            os.removexattr(descriptor, name)
    os.fchown(descriptor, *_ids(found, new))


def _ids(found: os.stat_result, new: Mapping[int, int]) -> tuple[int, int]:
    return new.get(found.st_uid, -1), new.get(found.st_gid, -1)
