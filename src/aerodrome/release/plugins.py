"""Unpack a plugins.zip that somebody else made, or copy a folder of plugins, into a release.

`building` calls `bring`; `verification` finds out whether the plugins load. An archive is read and unpacked as the
builder (`confined`), and refused whole: one that tries to leave its folder is not unpacked in part.
"""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from aerodrome.release import confined, requirements_text, sealing
from aerodrome.release.failures import PLUGINS_ARCHIVE_INVALID, RELEASE_BUILD_FAILED, ReleaseError
from aerodrome.release.sandbox import SandboxLimits
from aerodrome.unix_users import UnixUser

NAME = "plugins.zip"

LARGEST = 2**30
"""Bytes of all unpacked files together; AWS's advice is to stay below."""

MOST = 50_000
"""Files and folders; a plugins.zip full of wheels has some hundreds."""

RATIO = 200
"""Unpacked bytes for one byte of the archive, beyond `SMALL`; text packs to a tenth, zeros to a thousandth."""

SMALL = 16 * 2**20
"""Bytes below which no ratio is suspicious."""

LARGEST_DIRECTORY = 16 * 2**20
"""Bytes of the list of entries."""

_END, _END64, _LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), 20
"""The two records at the end of an archive, and the bytes between them (APPNOTE.TXT 4.3.14 to 4.3.16)."""

_LONGEST_END = _END64.size + _LOCATOR + _END.size + 2**16
_LONGEST_PATH = 512
_CHUNK = 2**20
_LIMITS = SandboxLimits(600.0, memory=2**30, file=LARGEST, processes=16)


def bring(source: Path, target: Path, user: UnixUser | None, tick: Callable[[], None] = lambda: None) -> int:
    """Fill the new folder `target` from an archive, as the user, or from a folder; returns the number of files.

    The caller seals the folder. Raises ReleaseError if the file is no archive, leads out of the folder, or unpacks to
    too much.
    """
    target.mkdir()
    if source.is_dir():
        return _copy(source, target)
    if user is not None:
        os.chown(target, user.uid, user.gid)
    with source.open("rb") as file:
        count = confined.call(
            unpack, [file.fileno(), str(target)], user=user, limits=_LIMITS, writable=[target],
            given=[file.fileno()], tick=tick,
        )  # fmt: skip
    if not isinstance(count, int):
        raise ReleaseError(f"{NAME} could not be unpacked", code=RELEASE_BUILD_FAILED)
    return count


def read(source: Path, name: str, user: UnixUser | None) -> bytes | None:
    """A text file in the archive, as the user; None if there is none, or no archive."""
    with source.open("rb") as file:
        try:
            data = confined.call(read_one, [file.fileno(), name], user=user, limits=_LIMITS, given=[file.fileno()])
        except ReleaseError:
            return None
    return data if isinstance(data, bytes) else None


def unpack(request: tuple[int, str]) -> int:
    """In a process of its own: unpack the archive (a descriptor) into the folder."""
    target = Path(request[1])
    with os.fdopen(request[0], "rb") as source, _told():
        size = check_directory(source)
        with zipfile.ZipFile(source) as archive:
            members = _checked(archive.infolist(), size)
            left = LARGEST
            for member in members:
                left -= _extract(archive, member, target, left)
    return sum(not member.is_dir() for member in members)


def read_one(request: tuple[int, str]) -> bytes:
    """In a process of its own: the beginning of a file in the archive (a descriptor)."""
    with os.fdopen(request[0], "rb") as source, _told():
        check_directory(source)
        try:
            with zipfile.ZipFile(source) as archive, archive.open(request[1]) as file:
                return file.read(requirements_text.LARGEST + 1)
        except KeyError:
            raise _invalid("has no such file", request[1]) from None


@contextmanager
def _told() -> Iterator[None]:
    """Tell in a sentence what is wrong with an archive."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OverflowError, ValueError) as error:
        raise _invalid(f"is no zip archive, or a broken one ({error})") from None
    except (NotImplementedError, RuntimeError) as error:
        raise _invalid(f"cannot be unpacked ({error})") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise _invalid(f"has an entry that is both file and folder: {Path(str(error.filename)).name!r}") from None
    except OSError as error:
        # zipfile seeks where a broken archive tells it to, and bz2 has no exception of its own.
        if error.errno not in {None, errno.EINVAL}:
            raise
        raise _invalid(f"is a broken zip archive ({error})") from None


def check_directory(source: BinaryIO) -> int:
    """Check the size of an archive's directory, which `zipfile` reads whole and keeps; returns the archive's size.

    Raises ReleaseError when it is too large. If the file is no archive, `zipfile` says so.
    """
    size = source.seek(0, os.SEEK_END)
    source.seek(max(0, size - _LONGEST_END))
    end = source.read()
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or len(end) < at + _END.size:
        return size
    sizes = [_END.unpack_from(end, at)[5]]
    at64 = at - _LOCATOR - _END64.size  # where `zipfile` looks for what goes before the other
    if at64 >= 0 and end.startswith(b"PK\x06\x06", at64):
        sizes.append(_END64.unpack_from(end, at64)[8])
    if max(sizes) > LARGEST_DIRECTORY:
        raise _invalid(f"has a directory of more than {LARGEST_DIRECTORY // 2**20} MiB")
    return size


def _checked(members: list[zipfile.ZipInfo], size: int) -> list[zipfile.ZipInfo]:
    """The members that are unpacked. Raises ReleaseError for the first that must not be."""
    if len(members) > MOST:
        raise _invalid(f"has {len(members)} entries; {MOST} are allowed")
    total = sum(member.file_size for member in members)
    if total > LARGEST:
        raise _invalid(f"unpacks to {total // 2**20} MiB; {LARGEST // 2**20} MiB are allowed")
    if total > max(SMALL, size * RATIO):
        raise _invalid(f"unpacks to {total // max(size, 1)} times its size, as no plugins do")
    seen: set[str] = set()
    for member in members:
        _check(member)
        name = member.filename.rstrip("/")
        if name in seen:
            raise _invalid(f"has two entries named {name!r}", name)
        seen.add(name)
    return [member for member in members if not _is_junk(member.filename) and not _is_top(member)]


def _check(member: zipfile.ZipInfo) -> None:
    name = member.filename
    path = PurePosixPath(name)
    is_nowhere = path.is_absolute() or not (path.parts or _is_top(member))
    if is_nowhere or ".." in path.parts or "\\" in name or ":" in name.split("/")[0]:
        raise _invalid(f"has an entry that leads out of its folder: {name!r}", name)
    if len(name) > _LONGEST_PATH or any(ord(letter) < ord(" ") for letter in name):
        raise _invalid(f"has an entry whose name cannot be a file's: {name[:80]!r}", name[:80])
    if member.flag_bits & 0x1:
        raise _invalid(f"has an encrypted entry: {name!r}", name)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        what = "a link" if kind == stat.S_IFLNK else "a device"
        raise _invalid(f"has an entry that is {what}: {name!r}", name)


def _is_top(member: zipfile.ZipInfo) -> bool:
    """`./`, which `zip -r plugins.zip .` may write."""
    return member.filename.endswith("/") and not PurePosixPath(member.filename).parts


def _is_junk(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Write one member, bounded whatever its header claims; the bytes written."""
    path = target / member.filename
    if member.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as packed, path.open("xb") as file:
        while chunk := packed.read(_CHUNK):
            written += len(chunk)
            if written > left:
                raise _invalid(f"unpacks to more than {LARGEST // 2**20} MiB", member.filename)
            file.write(chunk)
    if member.external_attr >> 16 & stat.S_IXUSR:
        path.chmod(sealing.PROGRAM_MODE)
    return written


def _copy(source: Path, target: Path) -> int:
    """Copy a folder of the caller's own machine, without following links, which a zip of it would not hold."""
    total, count = 0, 0
    for parent, folders, files in os.walk(source):
        folders[:] = [name for name in folders if name not in {"__pycache__", ".git"}]
        below = target / Path(parent).relative_to(source)
        below.mkdir(exist_ok=True)
        for name in _regular(parent, files):
            count += 1
            total += (Path(parent) / name).stat().st_size
            if total > LARGEST or count > MOST:
                raise _invalid(f"would hold more than {LARGEST // 2**20} MiB or {MOST} files")
            shutil.copy(Path(parent) / name, below / name)
    return count


def _regular(parent: str, files: Iterable[str]) -> list[str]:
    return [name for name in files if stat.S_ISREG((Path(parent) / name).lstat().st_mode)]


def _invalid(what: str, file: str | None = None) -> ReleaseError:
    return ReleaseError(f"{NAME} {what}", code=PLUGINS_ARCHIVE_INVALID, file=file)
