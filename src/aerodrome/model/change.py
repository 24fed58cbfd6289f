"""A change of an environment on its way: what it shall become, how, and how far it has come. Pure.

The API (or the controller, for maintenance) writes one into the ledger, where at most one stands for each environment;
`controller.changing` moves it on. A creation is a change from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec


class ChangeKind(StrEnum):
    """Why there is a change."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    ROLLBACK = "ROLLBACK"
    """To the configuration of an earlier revision."""

    RESTORE = "RESTORE"
    """To a snapshot: configuration and database."""

    MAINTENANCE = "MAINTENANCE"


class Strategy(StrEnum):
    """What becomes of the workers that are replaced (MWAA's WorkerReplacementStrategy)."""

    GRACEFUL = "GRACEFUL"
    """They take no more tasks and end when those that they run have ended."""

    FORCED = "FORCED"
    """They are stopped at once; their tasks fail, or are tried again as their DAG says."""


SEEN_BY_UNITS = (
    "environment_class",
    "max_workers",
    "webserver_access_mode",
    "running_schedulers",
    "zones",
)
"""Fields of a spec, beside those that make the release, that units are configured by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A snapshot that a database is made from."""

    identifier: str
    """Of the environment that it was taken of."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change; `revision` names its attempt, its cell and the snapshot that is taken for it."""

    kind: ChangeKind
    spec: Spec
    """What the environment shall be."""

    revision: int
    strategy: Strategy
    requested_at: datetime
    requested_by: str | None = None
    """The ARN of who asked; None = Aerodrome itself."""

    seed: Seed | None = None
    """The snapshot that the database shall be made from; None = none, it stays or is migrated."""

    deployed: Deployed | None = None
    """The release, once it is built and tried."""

    archived: bool = False
    """The database as it was is in an archive."""

    rehearsed: bool = False
    """A copy of the database was migrated, and it worked."""

    migrated: bool = False
    """The copy that is to become the database has been made, with everybody out, and migrated."""

    swapped: bool = False
    """The migrated copy is the database now; what it was before is the snapshot."""

    report: tuple[str, ...] = ()
    """What a person should know of it, in sentences."""

    def moves_database(self, running: Deployed | None) -> bool:
        """Whether the database is replaced; known as soon as the release is."""
        if running is None or self.deployed is None:
            return False
        return self.seed is not None or self.deployed.version != running.version

    def moves_units(self, spec: Spec, running: Deployed | None) -> bool:
        """Whether units must be started anew: they would be others than those that run under `spec` now."""
        if running is None or self.deployed is None or self.seed is not None:
            return True
        releases = (self.deployed.identifier, self.deployed.version, self.deployed.lock, self.deployed.content)
        if releases != (running.identifier, running.version, running.lock, running.content):
            return True
        return any(getattr(self.spec, name) != getattr(spec, name) for name in SEEN_BY_UNITS)
