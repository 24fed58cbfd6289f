"""What uv prints, read: how far it is, and what its failure means for whom.

`install` feeds it lines, `uv_process` asks it what a failure means. Pure. A line that it does not know means nothing,
so a new wording of uv's costs only detail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aerodrome import errors
from aerodrome.release import url_credentials

CODE = "VERSION_INSTALL_FAILED"
"""`LastUpdate.Error.ErrorCode` of an environment whose Airflow could not be installed."""

NETWORK_DELAY = 30.0
"""Seconds until a failed download is worth another try: arbitrary, longer than a router takes to come back."""

_TAIL = 12
"""Lines of uv's output that an error carries: its longest ordinary message with its causes."""


_DOWNLOADING = re.compile(r"^\s*Downloading (\S+) \(([\d.]+)\s*([KMG]i?)?B\)")
_DOWNLOADED = re.compile(r"^\s*Downloaded (\S+)")
_COUNTED = re.compile(r"^(Resolved|Prepared|Installed|Bytecode compiled) (\d+) (?:packages?|files?)")

_KIB = {"K": 1, "M": 1024, "G": 1024 * 1024}

NO_SPACE = ("os error 28", "No space left on device")
_HASH = ("Hash mismatch",)
NETWORK = (
    "error sending request",
    "client error (Connect)",
    "connection closed",
    "Connection refused",
    "Connection reset",
    "dns error",
    "error decoding response body",
    "HTTP status server error",
    "429 Too Many Requests",
    "operation timed out",
    "request or response body error",
    "Network is unreachable",
)


@dataclass(frozen=True)
class UvProgress:
    """How far uv is: `done` of `total` in the unit of the phase (download: KiB; install: packages; compile: files)."""

    phase: str = "resolve"
    done: int = 0
    total: int = 0
    packages: int = 0
    sizes: tuple[tuple[str, int], ...] = ()
    """Downloads under way and finished, in KiB; uv does not announce small ones, which add almost nothing."""


def advance(progress: UvProgress, line: str) -> UvProgress:
    """The progress after one more line of uv's."""
    if match := _DOWNLOADING.match(line):
        size = int(float(match[2]) * _KIB.get((match[3] or "K")[0], 1))
        sizes = (*progress.sizes, (match[1], size))
        return replace(progress, phase="download", sizes=sizes, total=progress.total + size)
    if match := _DOWNLOADED.match(line):
        return replace(progress, done=progress.done + dict(progress.sizes).get(match[1], 0))
    if match := _COUNTED.match(line):
        return _counted(progress, match[1], int(match[2]))
    return progress


def _counted(progress: UvProgress, what: str, count: int) -> UvProgress:
    if what == "Resolved":
        return replace(progress, phase="download", done=0, total=0, packages=count)
    if what == "Prepared":
        return replace(progress, phase="install", done=0, total=progress.packages)
    if what == "Installed":
        return replace(progress, phase="compile", done=0, total=0)
    return replace(progress, phase="compile", done=count, total=count)


def failure(what: str, lines: Sequence[str]) -> errors.AerodromeError:
    """The error for a failed uv: `what` is the sentence's beginning, `lines` its last output."""
    tail = tuple(url_credentials.hide(line.rstrip()) for line in lines if line.strip())[-_TAIL:]
    text = "\n".join(tail)
    if any(sign in text for sign in NO_SPACE):
        return errors.BrokenError(f"{what}: no space is left on the disk; free about 1 GB", code=CODE, tail=tail)
    if any(sign in text for sign in _HASH):
        return errors.BrokenError(
            f"{what}: the package index served other bytes than the lock names; check the index or its mirror",
            code=CODE,
            tail=tail,
        )
    if any(sign in text for sign in NETWORK):
        cause = tail[-1].strip().removeprefix("cause: ")
        return errors.RetryError(f"{what}: the download server cannot be reached ({cause})", delay=NETWORK_DELAY)
    reason = next((line.removeprefix("error: ") for line in reversed(tail) if line.startswith("error: ")), "uv failed")
    return errors.BrokenError(f"{what}: {reason}", code=CODE, tail=tail)
