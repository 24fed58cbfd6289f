"""What backends see of an environment: facts at one moment, the same for a machine and for a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from aerodrome.model.demand import Demand, WebDemand
from aerodrome.model.environment import Failure
from aerodrome.model.orders import CellOrder, Death, Keep, LongOrder, ServicesOrder
from aerodrome.model.release import Deployed, Patch

NOT_ANSWERING = "not answering"
"""The state of a unit whose cell does not answer: it may run, and nobody knows."""

OVERDUE = 30.0
"""Seconds within which the scheduler has sent the message of a task that is queued, even where it is slow."""

TEMPORARY = "temporary files"
LOGS = "logs"
"""What an environment has disks for."""

WORKER = "worker-"
"""What the names of the units begin with that run tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitMet:
    """A limit at which the kernel has ended or refused processes of a unit."""

    limit: str
    """`memory` or `processes`."""

    allowed: int | None
    """What the unit itself may have: bytes, or processes and threads. None = it met its environment's limit."""

    at: float
    """When that began, in seconds since 1970; what follows within a minute belongs to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskImage:
    """A disk of its own that an environment has for what its code writes. Bytes."""

    name: str
    """What is on it: `temporary files` or `logs`."""

    size: int
    free: int
    """What programs may still write; less than the rest of its size where the machine's disk is short."""

    full_at: float | None = None
    """When it became full the last time, in seconds since 1970; None = it never was, as far as its cell knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One long-running process as its cell reports it. `state` is a word of the cell's own table."""

    name: str
    state: str
    restarts: int
    status_text: str = ""
    last_exit: str = ""
    """How it ended last, in words; empty when it never did."""

    exited_at: float | None = None
    """When that was, in seconds since 1970."""

    started_at: float | None = None
    """When its process was started last; None = never, or its cell is an older one that does not tell."""

    hung: str = ""
    """Why its cell ended it then, in words that follow its name; empty when it ended otherwise."""

    holds: int | None = None
    """How many tasks a worker holds that takes no more; None = it takes tasks, or nobody knows."""

    tells_holds: bool = True
    """Whether its cell is one that tells how many; workers of an older cell cannot be told to take no more."""

    limits_met: tuple[LimitMet, ...] = ()
    """The limits that it has met, each with the last time, as far as its cell knows."""

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    @property
    def is_ending(self) -> bool:
        return self.state == "stopping"

    @property
    def is_stopping(self) -> bool:
        return self.state in {"stopping", "stopped"}

    @property
    def number(self) -> int | None:
        """The number of a worker; None = it is none."""
        digits = self.name.removeprefix(WORKER)
        return int(digits) if digits != self.name and digits.isdecimal() else None


class CellState(StrEnum):
    """What is known of a cell as a whole."""

    ABSENT = "ABSENT"
    """There is nothing of it."""

    RUNNING = "RUNNING"
    """Its units are looked after."""

    SILENT = "SILENT"
    """It gives no answer, which may pass: nothing is decided without its word."""

    LOST = "LOST"
    """Nobody looks after its units, which may run: the next order does, and takes them over or ends them."""

    ENDED = "ENDED"
    """Nothing of it runs; what it has left is to be removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: the order that it follows, and its units."""

    state: CellState
    order: CellOrder | ServicesOrder | None = None
    """What it was last told to be; None = nobody knows."""

    units: tuple[Unit, ...] = ()
    """Those that are there; of a cell that is SILENT, those that it told of last."""

    wanted: frozenset[str] = frozenset()
    """Names of the units that it has when everything is kept."""

    images: tuple[DiskImage, ...] = ()
    """The disks that its units write to; none where the machine cannot give them any."""

    trouble: str = ""
    """Why it is LOST although it runs, in words that follow its name (`gave no answer for 95 s`); else empty."""

    gone: frozenset[int] = frozenset()
    """The zones of its order, by their places, in which nothing of it runs, although it does in others."""

    unattended: frozenset[int] = frozenset()
    """Those in which its units may run and nobody looks after them, although somebody does in others."""

    @property
    def alive(self) -> bool:
        """Somebody looks after its units, as far as is known."""
        return self.state in {CellState.RUNNING, CellState.SILENT}

    @property
    def runs(self) -> bool:
        """Something of it runs, or may run."""
        return self.state not in {CellState.ABSENT, CellState.ENDED}

    @property
    def keep(self) -> Keep | None:
        """What of it is kept; None = nobody knows."""
        return self.order.keep if self.order is not None else None

    @property
    def draining(self) -> bool:
        """It was told to end with the tasks that it runs."""
        return self.keep is Keep.TASKS

    @property
    def ready(self) -> frozenset[str]:
        """Names of the units that serve."""
        return frozenset(unit.name for unit in self.units if unit.is_ready)

    @property
    def all_ready(self) -> bool:
        """True when every unit that it has when everything is kept is there and ready."""
        return self.alive and not self.gone and bool(self.wanted) and self.wanted <= self.ready

    @property
    def zones_lost(self) -> tuple[str, ...]:
        """The subnets of the zones that are gone."""
        named = self.order.zones if isinstance(self.order, CellOrder) else ()
        return tuple(subnet for place, subnet in enumerate(named) if place in self.gone)

    @property
    def workers(self) -> tuple[Unit, ...]:
        """The units that run tasks."""
        return tuple(unit for unit in self.units if unit.name.startswith(WORKER))


NO_CELL = Cell(state=CellState.ABSENT)


def across(zones: Sequence[Cell]) -> Cell:
    """The cell of a revision whose parts in its zones are these."""
    running = [each for each in zones if each.state is CellState.RUNNING]
    state = next((each for each in _WORST_FIRST if any(part.state is each for part in zones)), CellState.ABSENT)
    troubles = [each.trouble for each in zones if each.trouble]
    if running and not troubles and state is not CellState.SILENT:
        state = CellState.RUNNING
    orders = [each.order for each in zones if each.runs] or [each.order for each in zones[:1]]
    is_one = state in {CellState.RUNNING, CellState.SILENT}
    return Cell(
        state=state,
        order=orders[0] if all(each == orders[0] for each in orders) else None,
        units=tuple(unit for each in zones for unit in each.units),
        wanted=frozenset(name for each in zones for name in each.wanted),
        trouble=next(iter(troubles), ""),
        gone=frozenset(place for place, each in enumerate(zones) if is_one and not each.runs),
        unattended=frozenset(place for place, each in enumerate(zones) if is_one and each.state is CellState.LOST),
    )


_WORST_FIRST = (CellState.SILENT, CellState.LOST, CellState.RUNNING, CellState.ENDED)
"""The state of a part that is that of the whole, unless another part looks after its units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationProgress:
    """How far the installation of an Airflow version is. `fraction` is 0..1 or None."""

    done: bool
    detail: str = ""
    fraction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How far the last long order is, which is carried out in the background."""

    order: type[LongOrder]
    """Which kind of order it is."""

    done: bool
    detail: str = ""
    fraction: float | None = None
    deployed: Deployed | None = None
    """Of a release that was built."""

    size: int = 0
    """Bytes of an archive that was written."""

    report: tuple[str, ...] = ()
    """What a person should know of it, in sentences."""

    trouble: Failure | None = None
    """What kept it from being done, when no change fails with it; it is tried again after a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSeen:
    """What is seen of an environment's queue."""

    waiting: int
    """Messages that no worker has taken yet."""

    held: Mapping[tuple[int, str], int]
    """Revision and worker → messages that it has taken, and whose tasks are not done."""

    @property
    def messages(self) -> int:
        """All that are there."""
        return self.waiting + sum(self.held.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSeen:
    """What a runtime sees of an environment."""

    exists: bool = False
    """Something of it is there; it may be no more than what its units printed."""

    services: Cell = NO_CELL
    """The cell of its queue and of what brings DAGs and credentials."""

    cells: Mapping[int, Cell] = field(default_factory=lambda: MappingProxyType({}))
    """The cells of Airflow's own units by revision, as long as anything of them is left."""

    served: int | None = None
    """The revision that requests go to."""

    queue: QueueSeen | None = None
    """None = it does not answer, or there is none."""

    dags_at: float | None = None
    """When a DAG object last changed, in seconds since 1970; None = nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLoad:
    """What the web servers that requests go to have to do."""

    connections: int
    """Open ones, with a request under way."""

    processor: Mapping[str, float]
    """The name of a web server that serves → seconds of a processor that its processes have used so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksSeen:
    """The tasks that workers have or shall get, as the metadata database has them."""

    queued: int
    overdue: int
    """Those of the queued that have been queued for longer than a message is on its way (`OVERDUE`), and that Airflow
    can be told to queue again."""

    running: Mapping[tuple[int, str], int]
    """Revision and worker → tasks that run there."""

    counted_at: float | None = field(default=None, compare=False)
    """When they were counted, by a clock that nobody sets; a look may get an older count. None = at this look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSeen:
    """What is seen of an environment's metadata database."""

    exists: bool = False
    unfinished: bool = False
    """An unfinished change has left databases: a rehearsal's, or one that was to replace the live one."""

    others: bool = False
    """There are copies, snapshots or archives of it, of whichever change."""

    altered: tuple[str, ...] = ()
    """What code of the environment has changed in it and can be put back, in words; looked at now and then."""

    damage: str = ""
    """What code has damaged so that a person must mend it, in a sentence; looked at now and then."""

    connections: int | None = None
    """How many connections it was last ordered to have at most; -1: any number. Looked at now and then; None = it was
    not, or it cannot be set."""

    exhausted: int | None = None
    """How many it has, when these are all that it may have; None = it may have more."""

    outgrown: int | None = None
    """The bytes that it should have at most, when it has more; None = it has not. Looked at now and then."""

    tasks: TasksSeen | None = None
    """None = the database has not said."""

    work: Work | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What needs an environment's units, now or later, as its database says."""

    tasks: int = 0
    """Tasks that are queued or run."""

    runs: int = 0
    """Runs of DAGs that are queued or run, without those of paused DAGs."""

    triggers: int = 0
    """What deferred tasks and assets wait for: only a triggerer knows when it comes."""

    events: int = 0
    """Events of assets that came a moment ago, so that a scheduler may not have looked at them yet."""

    due_at: datetime | None = None
    """When the next run of a DAG that is not paused is due; None = no DAG has one."""

    read_at: datetime | None = None
    """When that file was read whose last reading is the oldest, of those that hold DAGs; None = there are no DAGs."""

    unknown: str = ""
    """Why nobody can tell, in a sentence."""

    @property
    def busy(self) -> str:
        """What is going on, in words; empty = nothing."""
        counts = ((self.tasks, "task"), (self.runs, "run"), (self.triggers, "trigger"), (self.events, "asset event"))
        found = [f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts if count]
        return f"{', '.join(found)} not done" if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasesSeen:
    """What is seen of Airflow's installation and of an environment's release."""

    version: str
    """What must be installed, as Airflow numbers it."""

    lock: str
    """The SHA-256 of the lock that it is installed from."""

    installation: InstallationProgress
    is_lost: bool = False
    """The files of the release that it runs are gone."""

    patch: Patch | None = None
    """What maintenance would bring; None = nothing new."""

    work: Work | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The facts that a plan is made from."""

    runtime: RuntimeSeen
    database: DatabaseSeen
    releases: ReleasesSeen
    deaths: tuple[Death, ...] = ()
    """Workers that died and that Airflow has not been told of yet."""

    demand: Demand | None = None
    """The tasks of the last while; None = nobody has counted them yet."""

    web_demand: WebDemand | None = None
    """What the web servers had to do in the last while; None = nobody has looked, for their number never changes."""

    ahead: Ahead | None = None
    """Asked only of environments that hibernate or may; None = it was not asked."""

    zone_rests: bool = False
    """Whether a zone that was lost again and again is not to be started yet."""

    clones: tuple[str, ...] = ()
    """Of an environment that is being deleted: the environments that are being made from its snapshots."""

    @property
    def services(self) -> Cell:
        return self.runtime.services

    @property
    def cells(self) -> Mapping[int, Cell]:
        return self.runtime.cells

    def cell(self, revision: int) -> Cell:
        """The cell of a revision, which may be none."""
        return self.cells.get(revision, NO_CELL)

    def work(self, order: type[LongOrder]) -> Work | None:
        """How far the last order of that kind is; None = none was begun, or another since."""
        return next((each for each in (self.releases.work, self.database.work) if each and each.order is order), None)
