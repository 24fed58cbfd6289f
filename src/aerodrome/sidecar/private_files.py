"""What `manifest` and `status` write, and what a disk that does not take it is called."""

from __future__ import annotations

from pathlib import Path

from aerodrome import private_files
from aerodrome.errors import BrokenError


def write_private(path: Path, content: bytes) -> None:
    """Replace the file in one step.

    Raises:
        BrokenError: it cannot be written.
    """
    try:
        private_files.write(path, content)
    except OSError as error:
        raise BrokenError(f"cannot write {path}: {error.strerror}", code="SIDECAR_DISK") from error
