"""Which Airflow versions an environment may run, and the adapter that knows each.

Every question about a version comes here first: the API validates with it, and the controller and the backends get
their adapter here. No other module compares version numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from aerodrome.airflow import line1, line2, line3, options
from aerodrome.airflow.context import Context
from aerodrome.airflow.units import UnitDocument
from aerodrome.errors import CallerError


class Adapter(Protocol):
    """What one line (1.10, 2.x, 3.x) of Airflow must provide; each is a module of pure functions."""

    @property
    def REST_PREFIX(self) -> str | None:  # noqa: N802 - a constant of the module
        """Where that line's stable REST API begins, without a trailing slash; None: it has none."""

    @property
    def ONCE(self) -> frozenset[str]:  # noqa: N802 - as above
        """Names of units that must not run for two revisions at once."""

    @property
    def NEEDED_BY_TASKS(self) -> frozenset[str]:  # noqa: N802 - as above
        """Names of units that must outlive the tasks of their revision."""

    @property
    def HIDES_SECRETS(self) -> bool:  # noqa: N802 - as above
        """Whether DAG code needs neither database nor keys, and may run as another user than what has them."""

    @property
    def GAINS_BY_PRIMING(self) -> bool:  # noqa: N802 - as above
        """Whether importing Airflow before there is an environment saves much of its start."""

    def configuration(self, context: Context) -> Mapping[Path, str]:
        """The configuration files by path; the writer gives them mode 0600."""

    def units(self, context: Context) -> tuple[UnitDocument, ...]:
        """The units that make an environment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One Airflow version that is offered."""

    number: str
    line: int
    """The major number; the adapter has what differs between lines."""
    python: str
    """The minor version of the interpreter that its lock is compiled for."""
    adapter: Adapter


FIRST_LINE = 1

BRIDGE = (2, 11)
"""The minor version of Airflow 2 that 3 can be reached from, and back."""

DEFAULT = "3.3.1"
"""What an environment gets when the request names no version."""

_FIRST = Version(number="1.10.15", line=1, python="3.7", adapter=line1)
"""The last patch release of its line. It also runs when 1.10.12 is asked for, which can no longer be installed."""

OFFERED: Mapping[str, Version] = MappingProxyType(
    {
        "3.3.1": Version(number="3.3.1", line=3, python="3.12", adapter=line3),
        "3.2.1": Version(number="3.2.1", line=3, python="3.12", adapter=line3),
        "3.0.6": Version(number="3.0.6", line=3, python="3.12", adapter=line3),
        "2.11.2": Version(number="2.11.2", line=2, python="3.12", adapter=line2),
        "2.10.3": Version(number="2.10.3", line=2, python="3.11", adapter=line2),
        "1.10.15": _FIRST,
        "1.10.12": _FIRST,
    }
)
"""Every version that may be asked for, newest first; the `number` of what runs may be a later patch release's."""


def is_later(one: Version, other: Version) -> bool:
    """Whether `one` came after `other`."""
    return _parts(one.number) > _parts(other.number)


def newest_patch(number: str) -> str:
    """The newest version on offer of the same minor version; the version itself when there is none."""
    minor = _parts(number)[:2]
    same = [offered for offered in OFFERED if _parts(offered)[:2] == minor]
    return max([number, *same], key=_parts)


def move_refusal(current: str, wanted: str) -> str | None:
    """Why an environment cannot be moved from one version to the other, in a sentence; None = it can.

    As on MWAA: up and down within a major version, and between 2.11 and 3 (what Airflow's own migrations know).
    """
    old, new = lookup(current), lookup(wanted)
    if old.line == new.line:
        return None
    if FIRST_LINE in {old.line, new.line}:
        return (
            f"Airflow {current} and {wanted} cannot be moved into each other in place: "
            f"create an environment with {wanted} and bring your DAGs there"
        )
    second = old if old.line < new.line else new
    if _parts(second.number)[:2] == BRIDGE:
        return None
    bridge = ".".join(map(str, BRIDGE))
    return f"Between Airflow 2 and 3 the way leads by {bridge}: move to {bridge} first, and from there to {wanted}"


def _parts(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in number.split("."))


def line_of(number: str) -> int:
    """The line of any version, also of one that is offered no more."""
    return int(number.partition(".")[0])


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


def warnings(number: str, given: Mapping[str, str]) -> list[str]:
    """What may surprise somebody who asks for the version `number` with these options: a sentence each."""
    version = lookup(number)
    found = options.warnings(version.number, given)
    if version.number == number:
        return found
    return [f"Airflow {number} is answered by {version.number}, which Airflow itself and AIRFLOW_VERSION tell.", *found]
