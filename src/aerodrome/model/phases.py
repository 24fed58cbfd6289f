"""The phases of the work on an environment, and how long each may take in a change. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Phase(StrEnum):
    """What is being done. The words stand in events and in `aerodrome status`."""

    QUEUED = "queued"
    INSTALL = "install"
    SERVICES = "services"
    RELEASE = "release"
    SEED = "seed"
    DATABASE = "database"
    SNAPSHOT = "snapshot"
    REHEARSAL = "rehearsal"
    DRAIN = "drain"
    MIGRATE = "migrate"
    SWITCH = "switch"
    START = "start"
    READY = "ready"
    """Nothing is left to do."""

    FAILED = "failed"
    UNDO = "undo"
    RESTORE = "restore"
    LOST = "lost"
    MAINTENANCE = "maintenance"
    STOP = "stop"
    CLEAN_UP = "clean-up"
    GONE = "gone"
    SETTLED = "settled"
    HIBERNATED = "hibernated"
    """No unit runs, and everything is kept."""

    @classmethod
    def _missing_(cls, value: object) -> Phase:  # noqa: ARG003 - whatever it is
        """A word of an earlier Aerodrome, in the ledger still, stands for no phase of ours."""
        return cls.SETTLED


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a phase of a change may take, and what its failure is called."""

    code: str
    time: timedelta


LIMITS = {
    Phase.INSTALL: Limit("VERSION_NOT_INSTALLED", timedelta(minutes=45)),
    Phase.RELEASE: Limit("RELEASE_NOT_BUILT", timedelta(minutes=45)),
    Phase.DATABASE: Limit("DATABASE_NOT_MADE", timedelta(minutes=10)),
    Phase.SERVICES: Limit("UNHEALTHY", timedelta(minutes=2)),
    Phase.START: Limit("UNHEALTHY", timedelta(minutes=5)),
}
"""Seconds are usual for each. A first database waits for Airflow's migration; a machine under heavy load may need a
minute for a start. A release has time limits of its own: its limit here, and that of Airflow's own packages, ends the
waiting for a package index that is away. Other phases take as long as the data and the tasks are large."""
