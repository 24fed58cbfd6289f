"""Which Airflow versions an environment may run, and the adapter that knows each.

The first stop of every question about a version: the API validates with it, the controller and the backends get their
adapter here. Nothing else in the tree compares version numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from aerodrome.airflow import line2, line3
from aerodrome.airflow.context import Context
from aerodrome.airflow.units import Unit
from aerodrome.errors import CallerError


class Adapter(Protocol):
    """What one line (2.x, 3.x) of Airflow must be able to say; each is a module of pure functions."""

    REST_PREFIX: str
    """Where that line's stable REST API begins, without a trailing slash."""

    def configuration(self, context: Context) -> Mapping[Path, str]:
        """The configuration files by path; the writer gives them mode 0600."""

    def units(self, context: Context) -> tuple[Unit, ...]:
        """The units that make an environment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One Airflow version that is offered."""

    number: str
    line: int
    """The major number; what differs between lines is in the adapter."""
    python: str
    """The minor version of the interpreter that its lock is compiled for."""
    adapter: Adapter


DEFAULT = "3.3.1"
"""What an environment gets when the request names no version."""

OFFERED: Mapping[str, Version] = MappingProxyType(
    {
        "3.3.1": Version(number="3.3.1", line=3, python="3.12", adapter=line3),
        "2.11.2": Version(number="2.11.2", line=2, python="3.12", adapter=line2),
    }
)
"""Every offered version, newest first."""


def lookup(number: str) -> Version:
    """The version called `number`.

    Raises:
        CallerError: it is not offered; the message lists what is.
    """
    version = OFFERED.get(number)
    if version is None:
        raise CallerError(
            f"AirflowVersion {number[:64]!r} is not offered. Choose one of: {', '.join(OFFERED)}.",
        )
    return version
