"""One way to replace a private file: whole, at once, 0600.

Used by `manifest` and `status`.
"""

from __future__ import annotations

import os
from pathlib import Path

from aerodrome.errors import BrokenError


def write_private(path: Path, content: bytes) -> None:
    """Write beside the path and rename over it, so that a reader sees the old or the new file, never a torn one.

    Raises:
        BrokenError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        beside.replace(path)
    except OSError as error:
        raise BrokenError(f"cannot write {path}: {error.strerror}", code="SIDECAR_DISK") from error
