"""The removal of folders that strangers have filled."""

from __future__ import annotations

import subprocess
from pathlib import Path


def remove(*paths: Path) -> str:
    """Remove folders and all that is in them; what `rm` says of those that it cannot, empty if nothing is left.

    Not `shutil.rmtree`, which goes no deeper than Python's stack: units and packages may have made folders in folders
    without end.
    """
    command = ["rm", "-rf", "--", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stderr.strip()
