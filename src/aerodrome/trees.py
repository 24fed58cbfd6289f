"""Removes folders that code of strangers has filled."""

from __future__ import annotations

import subprocess
from pathlib import Path


def remove(*paths: Path) -> str:
    """Remove folders and everything in them; returns what `rm` says about those that it cannot remove, or nothing.

    `shutil.rmtree` would not do: it goes no deeper than Python's stack, and units and packages can nest folders without
    end.
    """
    command = ["rm", "-rf", "--", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stderr.strip()
