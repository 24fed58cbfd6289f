"""A backend in memory, public so that anyone can test a controller against it.

Its three parts share one state and fulfil the same contract as the real ones (tests/contract). A test can tell them to
misbehave.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import aiohttp

from aerodrome.backends.contract import COMMAND_TIMEOUT, Backend, CommandResult, ShownCell
from aerodrome.errors import RetryError
from aerodrome.model import release, zones
from aerodrome.model.environment import Failure
from aerodrome.model.observed import (
    Ahead,
    Cell,
    CellState,
    DatabaseSeen,
    DiskImage,
    InstallationProgress,
    LimitMet,
    QueueSeen,
    ReleasesSeen,
    RuntimeSeen,
    TasksSeen,
    Unit,
    WebLoad,
    Work,
)
from aerodrome.model.orders import (
    Archive,
    Build,
    CellOrder,
    DatabaseOrder,
    DropDatabase,
    Install,
    Keep,
    MakeDatabase,
    MendDatabase,
    Migrate,
    Order,
    Point,
    QueueAgain,
    Rebuild,
    Rehearse,
    ReleaseOrder,
    Remove,
    ReportDeaths,
    RuntimeOrder,
    SeedDatabase,
    ServicesOrder,
    Swap,
    SwapBack,
    title,
)
from aerodrome.model.release import Deployed, Patch
from aerodrome.model.tenant import Tenant

SERVICES = ("redis", "sidecar")
WATCHER = "sidecar"
"""The service that watches the bucket."""

UNITS = ("scheduler", "dag-processor", "web", "worker-1")
"""The units of a cell with one worker."""

ONCE = "dag-processor"
"""The unit that must not run for two revisions at once."""

WEB = "web"
"""What the names of web servers begin with."""

LOCK = "lock"
"""The lock that every version is installed from."""


NO_VISITORS = WebLoad(connections=0, processor=MappingProxyType({}))
NO_TASKS = TasksSeen(queued=0, overdue=0, running=MappingProxyType({}))


def units(order: CellOrder) -> tuple[str, ...]:
    """The units that a cell has when everything is kept."""
    schedulers = (f"scheduler-{number}" for number in range(2, order.schedulers + 1))
    web_servers = (f"web-{number}" for number in range(2, order.web_servers + 1))
    names = (*UNITS[:-1], *schedulers, *web_servers, *(f"worker-{number}" for number in order.workers))
    return tuple(name for name in names if any(_has(order, place, name) for place in zones.living(order)))


def _has(order: CellOrder, place: int, name: str) -> bool:
    return zones.has(order, place, *zones.parted(name))


@dataclass
class FakeCell:
    """One cell."""

    order: CellOrder | ServicesOrder | None = None
    alive: bool = True
    leftovers: bool = False
    """Whether units run although the cell is dead."""

    units: dict[str, str] = field(default_factory=dict)
    """Units' names and states."""

    wanted: tuple[str, ...] = ()
    restarts: int = 0
    silent: bool = False
    """Whether the cell gives no answer."""

    trouble: str = ""
    """Why its answer is not waited for any longer."""

    hung: tuple[str, float] | None = None
    """Why and when its first unit was ended."""

    limit_met: LimitMet | None = None
    """Of its first worker."""

    images: tuple[DiskImage, ...] = ()
    """Its disks."""

    died_at: float | None = None
    """When its first worker died."""

    gone: frozenset[int] = frozenset()
    """The zones that it has lost, by their places."""

    unattended: frozenset[int] = frozenset()
    """Those where its units run although nobody looks after them."""

    tells_holds: bool = True
    """Whether it is one whose workers can be told to take no more tasks."""

    def seen(self, held: Mapping[tuple[int, str], int] = MappingProxyType({}), revision: int = 0) -> Cell:
        """What a look sees; `held` are messages of workers of the `revision`."""
        draining = self.order.draining if isinstance(self.order, CellOrder) else ()
        resting = {f"worker-{number}": held.get((revision, f"worker-{number}"), 0) for number in draining}
        return Cell(
            state=self._state(),
            order=self.order,
            units=tuple(
                replace(self._unit(name, state), holds=resting.get(name), tells_holds=self.tells_holds)
                for name, state in self.units.items()
                if self.alive
            ),
            wanted=frozenset(self.wanted),
            images=self.images if self.alive else (),
            trouble=self.trouble if self.alive else "",
            gone=self.gone if self.alive else frozenset(),
            unattended=self.unattended if self.alive else frozenset(),
        )

    def lose(self, place: int) -> None:
        """Lose everything in one of its zones; the whole cell is dead when none is left."""
        order = self.order
        if not isinstance(order, CellOrder):
            return
        self.gone |= {place}
        left = [each for each in zones.places(order) if each not in self.gone]
        self.units = {name: state for name, state in self.units.items() if any(_has(order, at, name) for at in left)}
        if not left:
            self.end()

    def _state(self) -> CellState:
        if not self.alive:
            return CellState.LOST if self.leftovers else CellState.ENDED
        if self.trouble:
            return CellState.LOST
        return CellState.SILENT if self.silent else CellState.RUNNING

    def _unit(self, name: str, state: str) -> Unit:
        is_first = name == next(iter(self.units))
        hung, at = self.hung if self.hung and is_first else ("", None)
        died_at = self.died_at if name == UNITS[-1] else None
        met = (self.limit_met,) if self.limit_met is not None and name == UNITS[-1] else ()
        return Unit(name=name, state=state, restarts=self.restarts, hung=hung, exited_at=at or died_at, limits_met=met)

    def end(self) -> None:
        """End the cell and all its units."""
        self.alive, self.leftovers, self.silent, self.trouble, self.units = False, False, False, "", {}


@dataclass
class FakeEnvironment:
    """What exists of one environment."""

    databases: dict[str, str] = field(default_factory=dict)
    """Names (`live`, `coming`, `snap-<n>`), and the Airflow version of each."""

    exists: bool = False
    services: FakeCell | None = None
    cells: dict[int, FakeCell] = field(default_factory=dict)
    served: int | None = None
    """The revision that requests go to."""

    queue: int | None = None
    """The number of the database whose messages are in the queue."""

    tasks: TasksSeen | None = NO_TASKS
    """Its tasks; None = its database does not say."""

    waiting: int | None = 0
    """Messages in its queue; None = its queue does not answer."""

    web_load: WebLoad | None = NO_VISITORS
    """What its web servers have to do."""

    held: dict[tuple[int, str], int] = field(default_factory=dict)
    """Revision and worker → messages that it has taken."""

    work: dict[type, tuple[int, Work]] = field(default_factory=dict)
    """The last long work of databases and of releases, with its revision."""

    lost: str | None = None
    """The release whose files are gone."""

    altered: tuple[str, ...] = ()
    """What its code has changed in its database, in words."""

    connections: int | None = -1
    """How many its database lets in."""

    ahead: Ahead = field(default_factory=Ahead)
    read_at: datetime | None = datetime(9999, 1, 1, tzinfo=UTC)
    """When its DAG files were read last; they always have been, unless a test says otherwise."""

    """What its database says is due."""

    dags_at: float | None = None
    """When a DAG object last changed."""

    printed: set[int | None] = field(default_factory=set, compare=False)
    """The revisions whose units have run here (None = services); what they printed stays until everything goes."""


@dataclass
class MemoryBackend:
    """The state that the three parts share; `failures` maps an order's title to the error that such orders raise."""

    installed: set[str] = field(default_factory=set)
    environments: dict[str, FakeEnvironment] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    taken: list[Order] = field(default_factory=list)
    unit_state: str = "ready"
    """The state that units of newly started cells have."""

    restarts: int = 0
    """How often units of newly started cells have been started again."""

    busy: bool = False
    """Whether draining workers have tasks that do not end."""

    patch: Patch | None = None
    unreadable: Failure | None = None
    """What keeps a lost release from being built again."""

    is_slow: bool = False
    """Whether no database says what is due."""

    damage: str = ""
    """What keeps Airflow from working with every database, in a sentence."""

    exhausted: int | None = None
    """How many connections every environment holds, when these are all."""

    outgrown: int | None = None
    """The bytes that every database should have at most, when it has more."""

    removed_snapshots: list[tuple[str, int]] = field(default_factory=list)
    in_use: list[tuple[frozenset[str], frozenset[tuple[str, str]]]] = field(default_factory=list)
    """For each collection, the contents and the versions that were in use."""

    commands: list[tuple[str, tuple[str, ...], float]] = field(default_factory=list)
    """The commands that were run: environment, words and time limit."""

    result: CommandResult = field(default_factory=lambda: CommandResult(stdout=b"", stderr=b"", exit_code=0))
    """How every command ends."""

    @property
    def parts(self) -> Backend:
        """The backend in the form that a controller takes."""
        return Backend(runtime=MemoryRuntime(self), databases=MemoryDatabases(self), releases=MemoryReleases(self))

    def of(self, tenant: Tenant) -> FakeEnvironment:
        """What exists of an environment; to look makes nothing."""
        return self.environments.get(tenant.name, FakeEnvironment())

    def take(self, tenant: Tenant, order: Order, *, version: str | None = None) -> FakeEnvironment:
        """Note an order and return its environment; `version` must be installed for it (None = none needs to be)."""
        self.taken.append(order)
        if title(order) in self.failures:
            raise self.failures[title(order)]
        if version is not None and version not in self.installed:
            raise RetryError(f"Airflow {version} is not installed yet")
        return self.environments.setdefault(tenant.name, FakeEnvironment())


@dataclass(frozen=True, slots=True)
class SilentWebServer:
    """The web server of an environment in memory, where nobody listens; holds to `contract.WebServer`."""

    environment: str
    revision: int | None
    """Which requests were pointed to last; None = to none."""

    def connector(self, **options: Any) -> aiohttp.BaseConnector:
        """A new connector, all of whose connections are refused: what it leads to is no socket."""
        return aiohttp.UnixConnector(path=os.devnull, **options)


@dataclass
class MemoryRuntime:
    """Fulfils `backends.contract.Runtime`."""

    backend: MemoryBackend

    def look(self, tenant: Tenant, *, is_leaving: bool = False) -> RuntimeSeen:
        del is_leaving
        known = self.backend.of(tenant)
        services = {} if known.services is None else {"services": known.services.seen()}
        cells = {revision: cell.seen(known.held, revision) for revision, cell in known.cells.items()}
        queue = None
        if known.waiting is not None and known.services is not None and known.services.alive:
            workers = [(revision, unit.name) for revision, cell in cells.items() for unit in cell.workers]
            held = {worker: known.held.get(worker, 0) for worker in workers}
            queue = QueueSeen(waiting=known.waiting, held=held)
        return RuntimeSeen(
            exists=known.exists, cells=cells, served=known.served, queue=queue, dags_at=known.dags_at, **services
        )

    def show(self, tenant: Tenant) -> tuple[ShownCell, Mapping[int, ShownCell]]:
        seen = self.look(tenant)
        return ShownCell(cell=seen.services), {each: ShownCell(cell=cell) for each, cell in seen.cells.items()}

    def carry_out(self, tenant: Tenant, order: RuntimeOrder) -> None:
        version = order.deployed.version if isinstance(order, CellOrder) and order.keep is Keep.ALL else None
        known = self.backend.take(tenant, order, version=version)
        match order:
            case CellOrder():
                self._steer(known, order)
            case ServicesOrder():
                self._serve(known, order)
            case Point():
                known.served = order.revision
            case Remove(revision=None):
                self.backend.environments[tenant.name] = FakeEnvironment(databases=known.databases)
            case Remove(revision=int() as revision):
                known.cells.pop(revision, None)

    def waiting(self, tenant: Tenant) -> int | None:
        return self.backend.of(tenant).waiting

    def web_server(self, tenant: Tenant) -> SilentWebServer:
        return SilentWebServer(tenant.name, self.backend.of(tenant).served)

    def web_load(self, tenant: Tenant, revision: int) -> WebLoad | None:
        known, cell = self.backend.of(tenant), self.backend.of(tenant).cells.get(revision)
        if known.served != revision or known.web_load is None or cell is None or not cell.alive:
            return None
        serving = [name for name in cell.seen().ready if name.startswith(WEB)]
        return replace(known.web_load, processor={**dict.fromkeys(serving, 0.0), **known.web_load.processor})

    def run_command(
        self, tenant: Tenant, revision: int, argv: Sequence[str], *, timeout: float = COMMAND_TIMEOUT
    ) -> CommandResult:
        cell = self.backend.of(tenant).cells.get(revision)
        if cell is None or not cell.alive:
            raise RetryError("the environment does not run")
        self.backend.commands.append((tenant.name, tuple(argv), timeout))
        return self.backend.result

    def tail(self, tenant: Tenant, unit: str, revision: int | None = None) -> tuple[str, ...]:
        known = SERVICES if revision is None else UNITS
        return (f"{unit} has printed this",) if revision in self.backend.of(tenant).printed and unit in known else ()

    def _steer(self, known: FakeEnvironment, order: CellOrder) -> None:
        cell = known.cells.get(order.revision)
        if cell is not None and cell.alive and cell.trouble:
            _die(cell)
        elif order.keep is Keep.ALL:
            self._start(known, order)
        elif cell is None:
            return
        elif order.keep is Keep.NOTHING:
            cell.end()
            cell.order = order
        elif order.keep is Keep.TASKS and not cell.alive:
            cell.alive, cell.leftovers = True, False
        else:
            cell.order = order
            if order.keep is Keep.SHARED:
                cell.units.pop(ONCE, None)
            else:
                cell.units = {UNITS[-1]: "stopping"} if self.backend.busy else {}

    def _start(self, known: FakeEnvironment, order: CellOrder) -> None:
        known.exists = True
        known.printed.add(order.revision)
        cell, names, state = known.cells.get(order.revision), units(order), self.backend.unit_state
        if cell is None or not cell.alive or cell.seen().draining:
            started = dict.fromkeys(names, state)
            known.cells[order.revision] = FakeCell(order, units=started, wanted=names, restarts=self.backend.restarts)
        else:
            cell.order, cell.wanted = order, names
            cell.gone, cell.unattended = frozenset(order.without), frozenset()
            cell.units = {name: cell.units.get(name, state) for name in names}

    def _serve(self, known: FakeEnvironment, order: ServicesOrder) -> None:
        cell = known.services
        if cell is not None and cell.alive and cell.trouble:
            _die(cell)
        elif order.keep is Keep.NOTHING:
            if cell is not None:
                cell.end()
                cell.order = order
        elif cell is not None and cell.alive:
            cell.order, cell.units = order, dict.fromkeys(_services(order), "ready")
        else:
            known.exists, known.queue = True, order.queue
            known.services = FakeCell(order, units=dict.fromkeys(_services(order), "ready"), wanted=SERVICES)
            known.printed.add(None)


@dataclass
class MemoryDatabases:
    """Fulfils `backends.contract.Databases`."""

    backend: MemoryBackend

    def look(
        self,
        tenant: Tenant,
        *,
        revision: int,
        running: Deployed | None,
        is_used: bool,
        is_unsettled: bool,
        messages: int | None = 0,
    ) -> DatabaseSeen:
        del messages
        known = self.backend.of(tenant)
        return DatabaseSeen(
            exists="live" in known.databases,
            unfinished=is_unsettled and bool({"coming", f"snap-{revision}"} & known.databases.keys()),
            others=is_unsettled and bool(known.databases.keys() - {"live"}),
            altered=() if is_unsettled else known.altered,
            damage="" if is_unsettled else self.backend.damage,
            connections=known.connections if "live" in known.databases and not is_unsettled else None,
            exhausted=None if is_unsettled else self.backend.exhausted,
            outgrown=None if is_unsettled else self.backend.outgrown,
            tasks=known.tasks if is_used and running is not None and not is_unsettled else None,
            work=_work(known, MemoryDatabases, revision),
        )

    def ahead(self, tenant: Tenant, *, version: str, since: datetime) -> Ahead:
        del version
        if self.backend.is_slow:
            raise RetryError("the database does not answer")
        known = self.backend.of(tenant)
        found = replace(known.ahead, read_at=known.read_at)
        return found if found.due_at is None or found.due_at > since else replace(found, due_at=None)

    def carry_out(self, tenant: Tenant, order: DatabaseOrder) -> None:
        known = self.backend.take(tenant, order, version=order.version if isinstance(order, MakeDatabase) else None)
        _alter(known, order)
        if isinstance(order, Archive | Rehearse | Migrate | SeedDatabase):
            known.work[MemoryDatabases] = (order.revision, Work(order=type(order), done=True))

    def remove_snapshot(self, identifier: str, number: int) -> None:
        self.backend.removed_snapshots.append((identifier, number))


@dataclass
class MemoryReleases:
    """Fulfils `backends.contract.Releases`."""

    backend: MemoryBackend

    def look(self, tenant: Tenant, *, revision: int, version: str, lock: str, running: Deployed | None) -> ReleasesSeen:
        known = self.backend.of(tenant)
        return ReleasesSeen(
            version=version,
            lock=lock or LOCK,
            installation=InstallationProgress(done=version in self.backend.installed),
            is_lost=running is not None and running.identifier == known.lost,
            patch=self.backend.patch,
            work=_work(known, MemoryReleases, revision),
        )

    def carry_out(self, tenant: Tenant, order: ReleaseOrder) -> None:
        known = self.backend.take(tenant, order, version=order.version if isinstance(order, Build) else None)
        match order:
            case Install():
                self.backend.installed.add(order.version)
            case Build():
                named = release.of(order.spec, version=order.version, lock=LOCK)
                deployed = Deployed(identifier=named.identifier, version=order.version, lock=LOCK)
                work = Work(order=Build, done=True, deployed=deployed)
                known.work[MemoryReleases] = (order.revision, work)
            case Rebuild():
                known.lost = known.lost if self.backend.unreadable else None
                work = Work(order=Rebuild, done=True, trouble=self.backend.unreadable)
                known.work[MemoryReleases] = (order.revision, work)

    def collect(self, used: Collection[str], versions: Collection[tuple[str, str]], now: datetime) -> None:
        del now
        self.backend.in_use.append((frozenset(used), frozenset(versions)))


def _alter(known: FakeEnvironment, order: DatabaseOrder) -> None:
    """Change the databases as ordered."""
    databases = known.databases
    match order:
        case MendDatabase():
            known.altered = ()
            known.connections = known.connections if order.connections is None else order.connections
        case MakeDatabase() | SeedDatabase():
            databases.setdefault("live", order.version)
        case Migrate():
            databases["coming"] = order.deployed.version
        case Swap():
            if "coming" in databases:
                databases.setdefault(f"snap-{order.revision}", databases.pop("live", ""))
                databases["live"] = databases.pop("coming")
        case SwapBack():
            databases["live"] = databases.pop(f"snap-{order.revision}", databases["live"])
            databases.pop("coming", None)
        case DropDatabase():
            databases.clear()
        case QueueAgain():
            known.tasks = replace(known.tasks, overdue=0) if known.tasks is not None else None
        case Archive() | Rehearse() | ReportDeaths():
            pass


def _services(order: ServicesOrder) -> tuple[str, ...]:
    return (WATCHER,) if order.keep is Keep.BUCKET else SERVICES


def _work(known: FakeEnvironment, part: type, revision: int) -> Work | None:
    found = known.work.get(part)
    return found[1] if found is not None and found[0] == revision else None


def _die(cell: FakeCell) -> None:
    """End a cell that gave no answer for too long, without its units, which go on."""
    cell.alive, cell.leftovers, cell.silent, cell.trouble = False, True, False, ""
