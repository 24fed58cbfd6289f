"""Log files of units and of the cell itself: opened safely, rotated, and read from the end.

A unit writes straight into its file, opened with O_APPEND, and the cell rotates by copying the file and then truncating
it. A pipe would not do: a unit must go on writing when its cell is dead. Renaming would not do either: the unit and all
its children keep the open file, and nobody can make them open another. The price: lines written between the end of the
copy and the truncation, some microseconds, are lost.

The files lie where hostile code may write, so links are never followed. Nothing here decides about a unit's
environment, or logs it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

ROTATE_BYTES = 10 * 1024 * 1024  # size at which a file is rotated; a kept copy holds twice as much at most
KEEP = 3  # rotated copies: .1 is the youngest
CHUNK = 1024 * 1024  # bytes a read
TAIL_BYTES = 64 * 1024  # the most that tail reads
TAIL_LINES = 1000
MODE = 0o640  # the control plane's group may read


def say(event: str, **facts: Any) -> None:
    """Writes one JSON line to the process's own log (stderr). Never pass a unit's environment or arguments."""
    line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **facts}
    with contextlib.suppress(OSError):
        os.write(2, (json.dumps(line) + "\n").encode())


def fault(event: str, error: BaseException) -> None:
    """Logs a fault of our own: its kind and place, not its text, which may quote what must stay secret."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}")
        trace = trace.tb_next
    say(event, kind=type(error).__name__, where=places)


def open_append(path: str) -> int:
    """A descriptor that appends to the log file, which is made when absent. Raises OSError."""
    handle = _open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.fchmod(handle, MODE)
    return handle


def open_existing(path: str) -> int:
    """A descriptor that appends to the file, which must be there already; its mode stays. Raises OSError."""
    return _open(path, os.O_WRONLY | os.O_APPEND)


def redirect(path: str) -> None:
    """Sends this process's stdout and stderr to the log file, and its stdin to nothing."""
    log = open_append(path)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for handle in {nothing, log} - {0, 1, 2}:
        os.close(handle)


def rotate(path: str, limit: int = ROTATE_BYTES) -> bool:
    """Rotates the log file if it has grown beyond `limit` bytes; says whether it did. Raises OSError."""
    try:
        if os.lstat(path).st_size <= limit:
            return False
        handle = _open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        for number in range(KEEP, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}.{number - 1}", f"{path}.{number}")
        _copy_end(handle, f"{path}.1", limit)
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)
    return True


def tail(path: str, lines: int) -> list[str]:
    """The last lines of the log file, at most 1000 and 64 KiB; none when there is no file. Raises OSError."""
    try:
        handle = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return []
    with open(handle, "rb") as file:
        start = max(0, os.fstat(handle).st_size - TAIL_BYTES)
        file.seek(start)
        found = file.read(TAIL_BYTES).decode("utf-8", "replace").splitlines()
    whole = found[1:] if start and len(found) > 1 else found
    return whole[-min(lines, TAIL_LINES) :] if lines > 0 else []


def _open(path: str, flags: int) -> int:
    """Opens a regular file of ours; a link, a pipe or another's file in its place is refused."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, MODE)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
        os.close(handle)
        raise PermissionError(f"cannot write {path}: it must be a regular file of this user without other names")
    fcntl.fcntl(handle, fcntl.F_SETFL, fcntl.fcntl(handle, fcntl.F_GETFL) & ~os.O_NONBLOCK)
    return handle


def _copy_end(source: int, path: str, limit: int) -> None:
    """Copies everything, or of more than twice the limit so many last bytes, after a line that says so.

    A unit that writes faster than they are copied cannot hold us for long.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        size = os.fstat(source).st_size
        left_out = size - limit if size > 2 * limit else 0  # who ships logs knows its place again in a whole copy
        if left_out:
            os.write(target, f"{left_out} bytes of this log were not kept: it grew too fast\n".encode())
        os.lseek(source, left_out, os.SEEK_SET)
        copied = 0
        while copied <= 2 * limit:
            chunk = os.read(source, CHUNK)
            if not chunk:
                break
            copied += os.write(target, chunk)
    finally:
        os.close(target)
