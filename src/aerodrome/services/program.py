"""What our processes run: our own code and the packages beside it.

A process of an earlier version goes on after an update; who starts it tells by this that it is to be replaced.
"""

from __future__ import annotations

import functools
import hashlib
import sysconfig
from importlib import metadata
from pathlib import Path

OURS = Path(__file__).parents[1]


@functools.cache
def code() -> str:
    """A text that another version of us, or of a package, does not have; read once, so it is of what runs here."""
    made = hashlib.sha256()
    for path in sorted(OURS.rglob("*.py")):
        made.update(f"{path.relative_to(OURS)}\0".encode() + path.read_bytes() + b"\0")
    beside = metadata.distributions(path=[sysconfig.get_path("purelib")])  # whatever PYTHONPATH says
    for name, version in sorted((each.name, each.version) for each in beside):
        made.update(f"{name}={version}\0".encode())
    return made.hexdigest()[:32]
