"""The Airflow versions on offer, and the lock file of each.

`install` installs from it, `compile` writes the lock files; a new version is a row here, a `.in` file and `make lock`.
Reads lock files, and does nothing else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from aerodrome import errors

FOLDER = Path(__file__).with_name("locks")
"""Where the `.in` files and the lock files lie, in the source tree and in the wheel alike."""

SHORT_SHA = 8
"""Hex characters of a lock's hash in folder names: enough to tell a handful of locks apart."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """One Airflow version, and how its packages were chosen."""

    version: str
    python: str
    """The interpreter's line, as `3.12`; any patch level serves."""

    cutoff: date
    """The last day (in UTC) of the uploads that the resolution could see: about the release's own day."""

    later: tuple[tuple[str, date], ...] = ()
    """Packages with a last day of their own, because an older one is at fault; the `.in` file says which fault."""

    @property
    def requirements(self) -> Path:
        """What was asked for."""
        return FOLDER / f"{self.version}.in"

    @property
    def path(self) -> Path:
        """The lock file: every package, its version and its hashes, for every platform."""
        return FOLDER / f"{self.version}-py{self.python}.txt"

    @property
    def sha256(self) -> str:
        """The hash of the lock file's bytes: what an installed folder is named by."""
        return _sha256(self.path)

    @property
    def identifier(self) -> str:
        """The name of the folder that this very lock is installed into."""
        return identifier(self.version, self.sha256)


_NAMED_WORKERS = (
    ("apache-airflow-providers-celery", date(2026, 5, 25)),
    ("apache-airflow-providers-common-compat", date(2026, 5, 25)),
)
"""The provider whose named workers run their tasks again, and what it needs."""

_LOCKS = (
    Lock(version="3.3.1", python="3.12", cutoff=date(2026, 8, 12)),
    Lock(version="3.2.1", python="3.12", cutoff=date(2026, 4, 22), later=_NAMED_WORKERS),
    Lock(version="3.0.6", python="3.12", cutoff=date(2025, 8, 30)),
    Lock(version="2.11.2", python="3.12", cutoff=date(2026, 3, 15), later=_NAMED_WORKERS),
    Lock(version="2.10.5", python="3.11", cutoff=date(2025, 2, 11)),
    Lock(
        version="1.10.15",
        python="3.7",
        cutoff=date(2021, 4, 5),
        later=tuple((package, date(2023, 12, 13)) for package in ("boto3", "botocore", "s3transfer")),
    ),
)

LOCKS = {lock.version: lock for lock in _LOCKS}
"""By Airflow version, the newest line first."""


INSTEAD = {"1.10.12": "1.10.15"}
"""Versions that are asked for and answered by a later patch release: MWAA's 1.10.12 can no longer be resolved."""


def names(version: str) -> frozenset[str]:
    """The versions that a locked one answers to, its own among them."""
    return frozenset({version, *(asked for asked, given in INSTEAD.items() if given == version)})


def of(version: str) -> Lock:
    """The lock that serves an Airflow version. Raises CallerError for one that is not on offer."""
    try:
        return LOCKS[INSTEAD.get(version, version)]
    except KeyError:
        offered = ", ".join(LOCKS)
        raise errors.CallerError(f"Airflow {version} is not on offer; choose one of: {offered}") from None


def identifier(version: str, sha256: str) -> str:
    """The name of the folder that the lock of this hash is installed into."""
    return f"{version}-{sha256[:SHORT_SHA]}"


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
