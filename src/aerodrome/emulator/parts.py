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

SMALLEST = 2**20
"""Bytes of a part that is worth a file; S3 takes smaller ones than 5 MiB as the last part of an upload only."""

MOST_FILES = 65_536


def correct(s3: Any) -> None:
    """Put the functions that keep parts on disk into MiniStack's module."""
    uploads = s3._multipart_uploads  # noqa: SLF001 -- pinned version
    s3._upload_part = kept_on_disk(s3._upload_part, uploads, at=3)  # noqa: SLF001
    s3._upload_part_copy = kept_on_disk(s3._upload_part_copy, uploads, at=2)  # noqa: SLF001
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def kept_on_disk(upload: Callable[..., tuple[int, Any, Any]], uploads: Any, *, at: int) -> Callable[..., Any]:
    """`upload`, after which the part that it took lies on disk; `at` is the place of the query among its arguments."""

    def corrected(*arguments: Any) -> Any:
        answer = upload(*arguments)
        number, found = first(arguments[at], "partNumber"), uploads.get(first(arguments[at], "uploadId"))
        part = found["parts"].get(int(number)) if found is not None and number.isdecimal() else None
        if part is not None and isinstance(part["body"], bytes) and len(part["body"]) >= SMALLEST:
            part["body"] = on_disk(part["body"])
        return answer

    return corrected


def on_disk(body: bytes) -> mmap.mmap:
    """The bytes as a map of a file without a name, in the process's temporary folder."""
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.flush()
        return mmap.mmap(file.fileno(), len(body), access=mmap.ACCESS_READ)


def first(query: Any, name: str) -> str:
    """The first value of a parameter in MiniStack's form of a query; empty without one."""
    value = query.get(name, "")
    return str(value[0] if isinstance(value, list) else value)
