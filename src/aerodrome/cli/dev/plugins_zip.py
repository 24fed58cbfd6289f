"""A plugins.zip made of a folder: the same files always give the same bytes. Pure."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterable

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can hold; with the files' own times the same content would give other bytes."""

PLAIN, PROGRAM = stat.S_IFREG | 0o644, stat.S_IFREG | 0o755


def packed(files: Iterable[tuple[str, bytes, bool]]) -> bytes:
    """The archive of these files; each is a path, its bytes, and whether it is a program."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, program in sorted(files):
            member = zipfile.ZipInfo(name, EPOCH)
            member.create_system = 3  # Unix, whatever it is made on: otherwise the mode would not count
            member.external_attr = (PROGRAM if program else PLAIN) << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)
    return target.getvalue()
