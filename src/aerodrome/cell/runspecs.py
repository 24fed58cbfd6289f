"""What a cell is told to run once: a command's process, its outputs and its bounds, all checked before use.

A run is a forked process like a unit's, but it is never restarted, its outputs are two files that exist already, and
time and output are limited. Error texts name a field and the fix, never an argument: arguments may be secret.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import specs

if TYPE_CHECKING:
    from typing import Any

LONGEST_TIMEOUT = 24 * 3600.0  # seconds
LARGEST_LIMIT = 64 * 1024 * 1024  # bytes

TAKEN = ("argv", "env", "cwd", "umask", "uid", "gid", "limits")  # what a run has of a unit's fields


@dataclass(frozen=True)
class RunSpec:
    """One run. `spec` says what its process becomes."""

    spec: specs.UnitSpec
    stdout: str
    stderr: str
    timeout: float
    limit: int
    """Bytes that both outputs may have together."""


def parse(raw: dict[str, Any]) -> RunSpec:
    """The run that a request asks for. Raises RefusedError; unknown fields are ignored."""
    fields: dict[str, Any] = {key: raw[key] for key in TAKEN if key in raw}
    take = specs.Fields("run", raw)
    stdout = take("stdout", "an absolute path", specs.is_path)
    stderr = take("stderr", "an absolute path", specs.is_path)
    return RunSpec(
        spec=specs.parse(dict(fields, name=raw.get("id"), how="fork", log=stderr)),
        stdout=stdout,
        stderr=stderr,
        timeout=float(take("timeout", "seconds, at most a day", _is_timeout)),
        limit=take("limit", f"bytes, at most {LARGEST_LIMIT}", _is_limit),
    )


def _is_timeout(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) and 0 < value <= LONGEST_TIMEOUT


def _is_limit(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_LIMIT
