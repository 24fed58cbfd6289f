"""What a backend sees of an environment: facts at one moment, without judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from aerodrome.model.environment import Failure
from aerodrome.model.release import Deployed, Patch

NOT_ANSWERING = "not answering"
"""The state of a unit whose cell does not answer: it may run, and nobody knows."""

WORKER = "worker-"
"""What the names of the units begin with that run tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One long-running process as its cell reports it. `state` is a word of the cell's own table."""

    name: str
    state: str
    pid: int | None
    restarts: int
    status_text: str = ""
    last_exit: str = ""
    """How it ended last, in words; empty when it never did."""

    exited_at: float | None = None
    """When that was, in seconds since 1970."""

    hung: str = ""
    """Why its cell ended it then, in words that follow its name; empty when it ended otherwise."""

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    @property
    def is_ending(self) -> bool:
        return self.state == "stopping"

    @property
    def is_stopping(self) -> bool:
        return self.state in {"stopping", "stopped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: its units while it lives, and what a dead one left."""

    alive: bool
    leftovers: bool = False
    """Units run although the cell is dead; a new cell adopts them."""

    units: tuple[Unit, ...] = ()
    wanted: frozenset[str] = frozenset()
    """Names of the units that it was started with; some may have been stopped since, on purpose."""

    draining: bool = False
    """It was told to end with the tasks that it runs."""

    silent_for: float = 0.0
    """Seconds for which it has given no answer, while we asked; its units are then those that it told of last."""

    stopped: bool = False
    """Its process is stopped by a signal, so that it will not answer by itself."""

    @property
    def ready(self) -> frozenset[str]:
        """Names of the units that serve."""
        return frozenset(unit.name for unit in self.units if unit.is_ready)

    @property
    def all_ready(self) -> bool:
        """True when every unit that it was started with is there and ready."""
        return self.alive and bool(self.wanted) and self.wanted <= self.ready

    @property
    def is_whole(self) -> bool:
        """True when no unit of it has been stopped on purpose."""
        kept = {unit.name for unit in self.units if not unit.is_stopping}
        return self.alive and not self.draining and self.wanted <= kept

    @property
    def workers(self) -> tuple[Unit, ...]:
        """The units that run tasks."""
        return tuple(unit for unit in self.units if unit.name.startswith(WORKER))


NO_CELL = Cell(alive=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """How far the installation of an Airflow version is. `fraction` is 0..1 or None."""

    done: bool
    detail: str = ""
    fraction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The long step that is being taken for a change in the background, or was taken last."""

    step: str
    """A `backends.contract.Step`."""

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
    """What kept it from being done, where nothing else ends with it; it is tried again after a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The facts that a plan is made from."""

    installation: Installation
    """Of the Airflow version that the change needs, or else of the one that runs."""

    database: bool
    files: bool
    """The folders are all there."""

    traces: bool
    """Anything of it is on disk."""

    services: Cell = NO_CELL
    """The cell that keeps Redis and the sidecar, whatever runs beside them."""

    cells: Mapping[int, Cell] = field(default_factory=lambda: MappingProxyType({}))
    """The cells of Airflow's own units, by the revision that each runs; those of which anything is left."""

    work: Work | None = None
    copies: bool = False
    """Databases of an unfinished change are there: a rehearsal's, or one that was to replace the live one."""

    patch: Patch | None = None
    """What maintenance would bring; None = nothing new."""

    content: bool = True
    """The folder of the release that it runs is there, or it needs none."""

    altered: tuple[str, ...] = ()
    """What the environment's code has changed of its database and can be set anew, in words; looked at now and then."""

    damage: str = ""
    """What it has changed there and nothing but a person can mend, in a sentence; looked at now and then."""

    bereaved: bool = False
    """A worker has died and Airflow has not been told yet that its tasks died with it."""

    def cell(self, revision: int) -> Cell:
        """The cell of a revision, which may be none."""
        return self.cells.get(revision, NO_CELL)
