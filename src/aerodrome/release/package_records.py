"""What installed packages say of themselves, read by us: bounded, for a package may have written a file of any size."""

from __future__ import annotations

from pathlib import Path

LARGEST = 16 * 2**20
"""Bytes; RECORD of the largest packages has one or two millions."""


def text(file: Path) -> str:
    """The beginning of a text file."""
    with file.open("rb") as opened:
        return opened.read(LARGEST).decode("utf-8", errors="replace")
