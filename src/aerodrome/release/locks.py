"""The Airflow versions on offer, and the lock file of each.

`install` installs from it, `compile` writes the lock files; a new version is a row here, a `.in` file and `make lock`.
Reads lock files, and does nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType

from packaging.utils import canonicalize_name

from aerodrome import errors

FOLDER = Path(__file__).with_name("locks")
"""Where the `.in` files and the lock files lie, in the source tree and in the wheel alike."""

_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;#\\]+)")

SHORT_SHA = 8
"""Hex characters of a lock's hash in folder names: enough to tell a handful of locks apart."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """One Airflow version, or what lies beside all of them, and how its packages were chosen."""

    version: str
    """Of Airflow; for `PROGRAMS` its name."""
    python: str
    """The interpreter's line, as `3.12`; any patch level serves."""

    cutoff: date
    """The last day (in UTC) whose uploads the resolution could see: the day of Airflow's own constraints."""

    later: tuple[tuple[str, date], ...] = ()
    """Packages with a last day of their own, because an older version is at fault; the `.in` file says which fault."""

    departs: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Packages whose versions differ from Airflow's own constraints for the version, and why; normalised names."""

    constrained: bool = True
    """Whether Airflow's own constraints for the version exist, and the lock was resolved under them."""

    @property
    def title(self) -> str:
        """What it is, within a sentence."""
        return "the AWS CLI" if self.version == PROGRAMS.version else f"Airflow {self.version}"

    @property
    def requirements(self) -> Path:
        """What was asked for."""
        return FOLDER / f"{self.version}.in"

    @property
    def path(self) -> Path:
        """The lock file: every package, its version and its hashes, for every platform."""
        return FOLDER / f"{self.version}-py{self.python}.txt"

    @property
    def whole(self) -> Path | None:
        """Pins of all official providers and of what they need; what is installed is among them.

        Applied to every requirements.txt, as MWAA applies Airflow's own constraints. None: the version has none.
        """
        return self.path.with_suffix(".constraints.txt") if self.constrained else None

    @property
    def constraints(self) -> tuple[Path, ...]:
        """The files of pins that every requirements.txt is resolved under."""
        return (self.path, self.whole) if self.whole else (self.path,)

    @property
    def pins(self) -> Mapping[str, str]:
        """Normalised name to version of all that `constraints` says."""
        return _pins(self.whole or self.path)

    @property
    def sha256(self) -> str:
        """The hash of the lock file's bytes: what an installed folder is named by."""
        return _sha256(self.path)

    @property
    def pins_sha256(self) -> str:
        """The hash of all that `constraints` says: what a release with requirements is named by."""
        return hashlib.sha256("".join(map(_sha256, self.constraints)).encode()).hexdigest()

    @property
    def identifier(self) -> str:
        """The name of the folder that this very lock is installed into."""
        return identifier(self.version, self.sha256)


_NAMED_WORKERS_WHY = (
    "the provider that Airflow's constraints name (3.15 to 3.18) leaves a worker with a name of its own reserving "
    "tasks that it never runs"
)

_NAMED_WORKERS = {
    "apache-airflow-providers-celery": _NAMED_WORKERS_WHY,
    "apache-airflow-providers-common-compat": "what that newer provider needs",
}

_LOCKS = (
    Lock(version="3.3.1", python="3.12", cutoff=date(2026, 8, 12)),
    Lock(version="3.2.1", python="3.12", cutoff=date(2026, 5, 25), departs=_NAMED_WORKERS),
    Lock(
        version="3.0.6",
        python="3.12",
        cutoff=date(2025, 8, 30),
        departs={
            "diagrams": "what Airflow's constraints name needs another graphviz than they name",
            "pinecone-plugin-assistant": "what Airflow's constraints name needs another packaging than they name",
        },
    ),
    Lock(version="2.11.2", python="3.12", cutoff=date(2026, 5, 25), departs=_NAMED_WORKERS),
    Lock(version="2.10.3", python="3.11", cutoff=date(2024, 11, 5)),
    Lock(
        version="1.10.15",
        python="3.7",
        cutoff=date(2021, 4, 5),
        constrained=False,
        later=tuple((package, date(2023, 12, 13)) for package in ("boto3", "botocore", "s3transfer")),
    ),
)

LOCKS = {lock.version: lock for lock in _LOCKS}
"""By Airflow version, the newest line first."""

PROGRAMS = Lock(version="programs", python="3.12", cutoff=date(2026, 11, 20), constrained=False)
"""The programs that tasks and startup scripts find beside Airflow's own."""


INSTEAD = {"1.10.12": "1.10.15"}
"""Versions that a later patch release answers to: MWAA's 1.10.12 can no longer be resolved."""


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


def pinned(text: str) -> dict[str, str]:
    """Name (normalised) to version of every pin in a lock or a constraints file. Pure."""
    found = (match for line in text.splitlines() if (match := _PINNED.match(line)))
    return {str(canonicalize_name(match[1])): match[2] for match in found}


@cache
def _pins(path: Path) -> Mapping[str, str]:
    return MappingProxyType(pinned(path.read_text(encoding="utf-8")))


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
