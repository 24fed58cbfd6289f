"""What the controller orders: the whole of what shall be, and never the way there. Pure.

The controller makes orders from the ledger, because it alone knows which change is under way. Backends carry them out
and say what they see (`model.observed`). An order that is given again changes nothing. A changed order for the same
cell (one worker more) changes what runs there, and starts nothing anew that stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aerodrome.model import classes
from aerodrome.model.change import Seed
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec

AT_ONCE = 0.0
"""The patience that waits for nothing: what does not stop by itself is ended."""


class Keep(StrEnum):
    """Which units of a cell are to run."""

    ALL = "ALL"
    SHARED = "SHARED"
    """All but those that must not run for two revisions at once."""

    TASKS = "TASKS"
    """A drain: workers take no more tasks and end with those that they run; what tasks need goes on."""

    BUCKET = "BUCKET"
    """Of the services, what watches the bucket: the environment hibernates. No cell of a revision is kept so."""

    NOTHING = "NOTHING"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOrder:
    """What the cell of a revision shall be; where it is spread over zones, what all its parts shall be together."""

    revision: int
    deployed: Deployed
    """The release that its units run."""

    options: Mapping[str, str] = field(repr=False)
    """AirflowConfigurationOptions, `section.key` to value."""

    web_access: str
    """MWAA's WebserverAccessMode, from which units learn the URL of their web server."""

    tasks_per_worker: int
    """Of the environment class."""

    most_workers: int
    """What Airflow's own limits are made for (MaxWorkers)."""

    workers: tuple[int, ...]
    """Their numbers; the units are called after them (`worker-1`)."""

    draining: tuple[int, ...] = ()
    """Those of them that take no more tasks, and end when they hold none."""

    schedulers: int = 1
    web_servers: int = 1
    """They follow the load. Under `Keep.TASKS` too: 1 or more = people still see the tasks here, 0 = at another
    revision's web server."""

    zones: tuple[str, ...] = ()
    """The subnets in whose zones it has a cell each (`model.zones`); empty = one cell has everything."""

    lead: int = 0
    """The place there of the zone that has what there is one of."""

    without: tuple[int, ...] = ()
    """The places of zones that are lost: what they shared with others runs there alone, and nothing is started."""

    keep: Keep = Keep.ALL
    patience: float = AT_ONCE
    """Seconds for the end of units that are not kept; with `Keep.TASKS` of the workers alone."""

    environment_class: str = classes.DEFAULT
    """Its name, which limits what the units may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesOrder:
    """What the services beside an environment's cells shall be: its queue, its DAGs and credentials from AWS."""

    bucket_arn: str
    dag_s3_path: str
    execution_role_arn: str
    airflow_version: str
    queue: int
    """The revision that made the present database (`Deployed.database`). What was queued with another database is put
    aside, and comes back with it."""

    log_levels: Mapping[str, str] = field(default_factory=dict)
    """By category of logs that is on (a member of LoggingConfiguration): the lowest level that is shipped."""

    keep: Keep = Keep.ALL
    """ALL, BUCKET or NOTHING."""

    patience: float = AT_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Let requests go to the web server of a revision."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Remove what an ended cell of a revision has left; None = everything of the environment."""

    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """Install an Airflow version, in the background."""

    version: str
    lock: str
    """SHA-256; empty = the present lock of that version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Build a release and try the environment's DAGs on it, in the background."""

    revision: int
    spec: Spec
    version: str
    lock: str
    before: tuple[Spec, Deployed] | None
    """What runs, to compare with; None = nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """Build a release again whose files are lost, in the background."""

    revision: int
    spec: Spec
    deployed: Deployed


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDatabase:
    """Make an environment's metadata database, empty and migrated, unless it is there."""

    version: str
    lock: str
    options: Mapping[str, str] = field(repr=False)
    """AirflowConfigurationOptions; one of them is the size of the default pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedDatabase:
    """Make it from a snapshot instead, in the background; it is there when it is whole."""

    revision: int
    seed: Seed
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Dump the database into the archive of the snapshot of that number, in the background."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationOrder:
    """What the two migrations of a change have in common: that of the rehearsal, and the one that counts."""

    revision: int
    """Of the change, whose archive a rehearsal makes its copy from."""

    seed: Seed | None
    """The snapshot that the database is made from; None = the database itself."""

    spec: Spec
    deployed: Deployed
    """What the database is for."""

    before: tuple[Spec, Deployed]
    """What it was of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearse(MigrationOrder):
    """Migrate a copy of the database and try the DAGs on it, in the background; nothing of it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrate(MigrationOrder):
    """Make the database that is to come, migrated, in the background; nobody is in the present one, or gets in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Put the database that is to come in the place of the present one, which becomes the snapshot of that number."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapBack:
    """Put the database that was back in its place, and remove every copy that the change made."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MendDatabase:
    """Put back the rights and settings of the database and its role, which code of the environment may change."""

    connections: int | None = None
    """How many connections the environment may have at once, as far as the server can bear it; None = as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropDatabase:
    """Remove the database, its copies and snapshots, and their role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A worker that died."""

    revision: int
    worker: str
    at: float
    """Seconds since 1970."""

    is_seen: bool = True
    """Whether somebody saw it; else it was at some time before `at`, when its successor was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueAgain:
    """Let Airflow queue again what has been queued for so long that no message of it can be left."""

    version: str
    """The Airflow version that the database is of."""

    queued_for: float
    """Seconds; younger ones may be on their way to the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDeaths:
    """Tell Airflow that the tasks of dead workers died with them, so that it retries them now and not in minutes."""

    version: str
    """The Airflow version that the database is of."""

    deaths: tuple[Death, ...] = ()
    gone: int | None = None
    """A revision all of whose workers are gone."""


RuntimeOrder = CellOrder | ServicesOrder | Point | Remove
ReleaseOrder = Install | Build | Rebuild
DatabaseOrder = (
    MakeDatabase
    | SeedDatabase
    | Archive
    | Rehearse
    | Migrate
    | Swap
    | SwapBack
    | MendDatabase
    | DropDatabase
    | QueueAgain
    | ReportDeaths
)
Order = RuntimeOrder | ReleaseOrder | DatabaseOrder

LongOrder = Build | Rebuild | SeedDatabase | Archive | Rehearse | Migrate
"""Orders that are carried out in the background: `observed.Work` tells how far the last of them is."""


def title(order: Order) -> str:
    """What an order is, in two words at most, for logs and tests: `CellOrder TASKS`, `Swap`."""
    keep = f" {order.keep}" if isinstance(order, CellOrder | ServicesOrder) else ""
    return f"{type(order).__name__}{keep}"
