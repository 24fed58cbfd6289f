"""Make what was written into a release ours, readable for all and writable for nobody else.

`overlay` and `plugins` call it when no process of a user's can run any more: it follows no link, and trusts no mode.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aerodrome.release.failures import RELEASE_BUILD_FAILED, ReleaseError

FOLDER_MODE = 0o755
FILE_MODE = 0o644
PROGRAM_MODE = 0o755

_LONGEST_PATH = 3072
"""Letters; the kernel takes no path of more than 4095, and what it cannot reach could not be sealed."""


def seal(top: Path) -> None:
    """Own everything below `top`, with plain modes. Raises ReleaseError for what has no place in a release."""
    mine = (os.geteuid(), os.getegid())
    _own(str(top), os.lstat(top), mine, top)
    for path in _below(top):
        _own(path, os.lstat(path), mine, top)


def take_over(top: Path, uid: int) -> None:
    """The same for what a user's program wrote for itself; its links may lead anywhere, for only such programs follow.

    A file that has another name becomes a copy. What is neither file nor folder, or does not belong to that user, is
    removed: it was linked here and belongs to somebody who did not give it.
    """
    mine = (os.geteuid(), os.getegid())
    for path in _below(top):
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            os.lchown(path, *mine)
        elif stat.S_ISDIR(found.st_mode):
            _own(path, found, mine, top)
        elif not stat.S_ISREG(found.st_mode) or found.st_uid != uid:
            os.unlink(path)  # noqa: PTH108 - tens of thousands of them
        else:
            if found.st_nlink > 1:
                _replace_by_copy(path, found)
            _own(path, os.lstat(path), mine, top)


def _below(top: Path) -> Iterator[str]:
    """Everything below the folder, however deep.

    What a folder holds is read only after the caller has taken the folder over: from then on nobody else can put
    something else into its place.
    """
    left = [str(top)]
    while left:
        if len(left[-1]) > _LONGEST_PATH:
            raise _refused(left[-1][:_LONGEST_PATH], top, "holds folders that are too deep")
        with os.scandir(left.pop()) as entries:
            found = list(entries)
        left += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
        yield from (entry.path for entry in found)


def _replace_by_copy(path: str, found: os.stat_result) -> None:
    # Under a name that the program could not know, so it cannot have put a link there.
    descriptor, draft = tempfile.mkstemp(dir=Path(path).parent)
    with os.fdopen(descriptor, "wb") as copy, Path(path).open("rb") as file:
        shutil.copyfileobj(file, copy)
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
    Path(draft).replace(path)


def _own(path: str, found: os.stat_result, mine: tuple[int, int], top: Path) -> None:
    foreign = (found.st_uid, found.st_gid) != mine
    if stat.S_ISLNK(found.st_mode):
        if not Path(path).resolve().is_relative_to(top.resolve()):
            raise _refused(path, top, "is a link that leads out of the release")
        if foreign:
            os.lchown(path, *mine)
        return
    if stat.S_ISDIR(found.st_mode):
        wanted = FOLDER_MODE
    elif stat.S_ISREG(found.st_mode):
        wanted = PROGRAM_MODE if found.st_mode & 0o100 else FILE_MODE
        if foreign and found.st_nlink > 1:
            raise _refused(path, top, "has another name outside the release")
    else:
        raise _refused(path, top, "is neither file nor folder")
    if foreign:
        os.chown(path, *mine, follow_symlinks=False)
    if stat.S_IMODE(found.st_mode) != wanted:
        os.chmod(path, wanted)  # noqa: PTH101 - tens of thousands of them


def _refused(path: str, top: Path, what: str) -> ReleaseError:
    name = os.path.relpath(path, top)
    return ReleaseError(f"{name}, which a package installed, {what}", code=RELEASE_BUILD_FAILED, file=name)
