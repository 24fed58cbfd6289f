"""Parts of multipart uploads lie on disk, where MiniStack keeps them in memory until the upload is completed.

An upload of ten gigabytes may be begun and never completed. A part becomes a map of a file that has no name: MiniStack
reads it like bytes, the kernel keeps of it in memory what it likes, and it is gone with the upload or the process.
`__main__` applies it once.
"""

from __future__ import annotations

import mmap
import resource
import tempfile
from collections.abc import Callable
from typing import Any

from aerodrome.emulator import reserve

SMALLEST = 2**20
"""Bytes of a part that is worth a file; S3 takes smaller ones than 5 MiB as the last part of an upload only."""

MOST_FILES = 65_536


class NotKeptError(Exception):
    """The disk takes no part of this size."""


def correct(s3: Any) -> None:
    """Put the functions that keep parts on disk into MiniStack's module."""
    uploads = s3._multipart_uploads  # noqa: SLF001 -- pinned version
    s3._upload_part = kept_on_disk(s3._upload_part, uploads, at=3)  # noqa: SLF001
    s3._upload_part_copy = kept_on_disk(s3._upload_part_copy, uploads, at=2)  # noqa: SLF001
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def kept_on_disk(upload: Callable[..., tuple[int, Any, Any]], uploads: Any, *, at: int) -> Callable[..., Any]:
    """`upload`, after which the part that it took lies on disk; `at` is the place of the query among its arguments.

    If the disk does not take it, the function raises NotKeptError, and the upload has the part that it had.
    """

    def corrected(*arguments: Any) -> Any:
        number, found = first(arguments[at], "partNumber"), uploads.get(first(arguments[at], "uploadId"))
        place = int(number) if number.isdecimal() else 0  # no part has this one
        there = {} if found is None else found["parts"]
        before = there.get(place)
        answer = upload(*arguments)
        part = there.get(place)
        if part is not None and isinstance(part["body"], bytes) and len(part["body"]) >= SMALLEST:
            try:
                part["body"] = on_disk(part["body"])
            except OSError as error:
                del there[place]
                if before is not None:
                    there[place] = before
                raise NotKeptError from error
        return answer

    return corrected


def on_disk(body: bytes) -> mmap.mmap:
    """The bytes as a map of a file without a name, in the process's temporary folder."""
    reserve.check(len(body))
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.flush()
        return mmap.mmap(file.fileno(), len(body), access=mmap.ACCESS_READ)


def first(query: Any, name: str) -> str:
    """The first value of a parameter in MiniStack's form of a query; empty without one."""
    value = query.get(name, "")
    return str(value[0] if isinstance(value, list) else value)
