"""The file with the headers that a collector wants, such as a key: one `Name: value` a line, for its owner alone.

Whoever sends reads it itself, again when it has changed. So its content is in no other file and in no variable.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from aerodrome.errors import CallerError

LIMIT = 64 * 1024
"""Bytes."""

OURS = frozenset({"connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"})

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff]+")


class HeadersFile:
    """The file, read again when it changes; None = no header is wanted."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._headers: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        """The headers.

        Raises:
            CallerError: the file is not there or no file, it is another user's, others may read it, or it has a line
                that is no header. The sentence has nothing of what stands in the file.
        """
        if self._path is None:
            return {}
        try:
            with open(self._path, "rb", opener=_unblocked) as file:
                status = os.fstat(file.fileno())
                stamp = status.st_mtime_ns, status.st_ino, status.st_size
                if not stat.S_ISREG(status.st_mode):
                    raise CallerError(
                        f"The headers file {self._path} is not a regular file: write the headers into one"
                    )
                if status.st_uid not in {0, os.geteuid()}:
                    raise CallerError(
                        f"The headers file {self._path} belongs to another user (uid {status.st_uid}), who could have "
                        "written anything into it: give it to the user that Aerodrome runs as"
                    )
                if stat.S_IMODE(status.st_mode) & 0o077:
                    raise CallerError(f"The headers file {self._path} can be read by others: give it mode 0600")
                if stamp != self._stamp:
                    self._headers, self._stamp = parse(file.read(LIMIT + 1), self._path), stamp
        except OSError as error:
            raise CallerError(f"The headers file {self._path} cannot be read: {error.strerror}") from error
        return dict(self._headers)


def _unblocked(path: str, flags: int) -> int:
    """Open it; what is no regular file, such as a named pipe, must not hold up whoever opens it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)


def parse(content: bytes, path: Path) -> dict[str, str]:
    """The headers in the content of the file. Pure.

    Raises:
        CallerError: a line is no header.
    """
    if len(content) > LIMIT:
        raise CallerError(f"The headers file {path} is longer than {LIMIT} bytes")
    found = {}
    for number, line in enumerate(content.decode("latin-1").split("\n"), 1):
        text = line.strip("\r\t ")
        if not text or text.startswith("#"):
            continue
        name, _, value = text.partition(":")
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value.strip())):
            raise CallerError(f"Line {number} of the headers file {path} is not written as Name: value")
        if name.lower() in OURS:
            raise CallerError(f"Line {number} of the headers file {path} has {name}, which is set by Aerodrome alone")
        found[name] = value.strip()
    return found
