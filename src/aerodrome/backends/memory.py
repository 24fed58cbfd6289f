"""A backend in memory, public so that anyone can test a controller against it.

It holds to the same contract as the real ones (tests/contract), and can be told to misbehave.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from aerodrome.backends.contract import COMMAND_TIMEOUT, LONG, CommandResult, Step
from aerodrome.errors import RetryError
from aerodrome.model import release
from aerodrome.model.environment import Environment, Failure
from aerodrome.model.lifecycle import Status
from aerodrome.model.observed import NOT_ANSWERING, Cell, Installation, Observed, Unit, Work
from aerodrome.model.release import Deployed, Patch

SERVICES = ("redis", "sidecar")
UNITS = ("scheduler", "dag-processor", "worker-1")
ONCE = "dag-processor"
"""The unit that must not run for two revisions at once."""

LOCK = "lock"
"""What every version is installed from."""

NEED_AIRFLOW = frozenset({Step.DATABASE, Step.CELL, Step.RELEASE})
"""Steps that wait until the version is installed."""


@dataclass
class Box:
    """One cell."""

    alive: bool = True
    leftovers: bool = False
    draining: bool = False
    units: dict[str, str] = field(default_factory=dict)
    """Names and states."""

    wanted: tuple[str, ...] = ()
    restarts: int = 0
    silent_for: float = 0.0
    """Seconds for which it has not answered, as far as anybody is to know."""

    stopped: bool = False
    hung: tuple[str, float] | None = None
    """Why its first unit was ended, and when."""

    def seen(self) -> Cell:
        first = next(iter(self.units), "")
        hung, at = self.hung or ("", None)
        units = (
            Unit(
                name=name,
                state=NOT_ANSWERING if self.silent_for else state,
                pid=1,
                restarts=self.restarts,
                hung=hung if name == first else "",
                exited_at=at if name == first else None,
            )
            for name, state in self.units.items()
            if self.alive
        )
        return Cell(
            alive=self.alive,
            leftovers=self.leftovers and not self.alive,
            units=tuple(units),
            wanted=frozenset(self.wanted),
            draining=self.draining,
            silent_for=self.silent_for if self.alive else 0.0,
            stopped=self.stopped and self.alive,
        )


@dataclass
class Place:
    """What exists of one environment."""

    databases: dict[str, str] = field(default_factory=dict)
    """Names (`live`, `coming`, `snap-<n>`) and the Airflow version that each is of."""

    files: bool = False
    services: Box | None = None
    cells: dict[int, Box] = field(default_factory=dict)
    served: int | None = None
    """The revision that requests go to."""

    work: tuple[int, Work] | None = None
    lost: str | None = None
    """The release whose folder is gone."""

    altered: tuple[str, ...] = ()
    """What its code has changed of its database, in words."""

    bereaved: bool = False
    printed: set[int | None] = field(default_factory=set, compare=False)
    """The revisions whose units have run here: what they printed stays until the files go."""

    def exchange(self, step: Step, snapshot: str) -> None:
        """Put the database that is to come in the place of the live one, or that back."""
        if step is Step.SWAP and "coming" in self.databases:
            self.databases.setdefault(snapshot, self.databases.pop("live", ""))
            self.databases["live"] = self.databases.pop("coming")
        if step is Step.UNSWAP:
            self.databases["live"] = self.databases.pop(snapshot, self.databases["live"])
            self.databases.pop("coming", None)


@dataclass
class MemoryBackend:
    """Takes steps in memory; `failures` holds an error to raise for a step, until removed."""

    installed: set[str] = field(default_factory=set)
    places: dict[str, Place] = field(default_factory=dict)
    failures: dict[Step, Exception] = field(default_factory=dict)
    taken: list[tuple[str, Step, int | None]] = field(default_factory=list)
    unit_state: str = "ready"
    """The state that units of newly started cells have."""

    restarts: int = 0
    """How often they have been started."""

    busy: bool = False
    """Whether workers that drain have tasks that do not end."""

    patch: Patch | None = None
    unreadable: Failure | None = None
    """What keeps a lost release from being built again."""

    damage: str = ""
    """What keeps Airflow from working with every database, in a sentence."""

    removed_snapshots: list[tuple[str, int]] = field(default_factory=list)
    in_use: list[frozenset[str]] = field(default_factory=list)
    """The contents that were in use when releases were collected."""

    versions_in_use: list[frozenset[tuple[str, str]]] = field(default_factory=list)
    """The same of installed versions."""

    commands: list[tuple[str, tuple[str, ...], float]] = field(default_factory=list)
    """What was run: environment, words and time limit."""

    result: CommandResult = field(default_factory=lambda: CommandResult(stdout=b"", stderr=b"", exit_code=0))
    """How every command ends."""

    def observe(self, environment: Environment) -> Observed:
        place = self.places.get(environment.name, Place())
        unsettled = environment.status in {Status.ROLLING_BACK, Status.DELETING, Status.CREATING}
        return Observed(
            installation=Installation(done=_version(environment) in self.installed),
            database="live" in place.databases,
            files=place.files,
            traces=place.files,
            services=place.services.seen() if place.services else Cell(alive=False),
            cells={revision: box.seen() for revision, box in place.cells.items()},
            work=place.work[1] if place.work and place.work[0] == _revision(environment) else None,
            copies=unsettled and self._has_copies(environment, place),
            patch=self.patch,
            content=environment.deployed is None or environment.deployed.identifier != place.lost,
            altered=place.altered,
            damage=self.damage,
            bereaved=place.bereaved,
        )

    def act(self, environment: Environment, step: Step, revision: int | None = None) -> None:
        self.taken.append((environment.name, step, revision))
        if step in self.failures:
            raise self.failures[step]
        version = _version(environment)
        if step in NEED_AIRFLOW and version not in self.installed:
            raise RetryError(f"Airflow {version} is not installed yet")
        if step is Step.INSTALL:
            self.installed.add(version)
            return
        place = self.places.setdefault(environment.name, Place())
        if step is Step.END_CELL:
            box = place.services if revision is None else place.cells.get(revision)
            if box is not None:
                box.alive, box.leftovers, box.silent_for = False, True, 0.0
        elif step is Step.MEND_DATABASE:
            place.altered = ()
        elif step in LONG:
            self._work(environment, place, step)
        elif revision is not None:
            self._steer(place, step, revision)
        else:
            self._change(environment, place, step)

    def run_command(
        self, environment: Environment, argv: Sequence[str], *, timeout: float = COMMAND_TIMEOUT
    ) -> CommandResult:
        place = self.places.get(environment.name, Place())
        if not any(box.alive for box in place.cells.values()):
            raise RetryError("the environment does not run")
        self.commands.append((environment.name, tuple(argv), timeout))
        return self.result

    def tail(self, environment: Environment, unit: str, revision: int | None = None) -> tuple[str, ...]:
        place = self.places.get(environment.name, Place())
        known = SERVICES if revision is None else UNITS
        return (f"{unit} has printed this",) if revision in place.printed and unit in known else ()

    def remove_snapshot(self, identifier: str, number: int) -> None:
        self.removed_snapshots.append((identifier, number))

    def collect_releases(self, used: Collection[str], now: datetime) -> None:
        del now
        self.in_use.append(frozenset(used))

    def collect_versions(self, used: Collection[tuple[str, str]], now: datetime) -> None:
        del now
        self.versions_in_use.append(frozenset(used))

    def _work(self, environment: Environment, place: Place, step: Step) -> None:
        """A long step, done at once."""
        if step is Step.REBUILD:
            place.lost = place.lost if self.unreadable else None
            place.work = (_revision(environment), Work(step=step, done=True, trouble=self.unreadable))
        change = environment.change
        if change is None or step is Step.REBUILD:
            return
        done = Work(step=step, done=True)
        if step is Step.RELEASE:
            version = change.spec.airflow_version
            named = release.of(change.spec, version=version, lock=LOCK)
            done = replace(done, deployed=Deployed(identifier=named.identifier, version=version, lock=LOCK))
        if step is Step.SEED:
            place.databases.setdefault("live", _version(environment))
        if step is Step.MIGRATE:
            place.databases["coming"] = change.spec.airflow_version
        place.work = (change.revision, done)

    def _steer(self, place: Place, step: Step, revision: int) -> None:
        box = place.cells.get(revision)
        if step is Step.CELL:
            if box is None or not box.alive or box.draining:
                units = dict.fromkeys(UNITS, self.unit_state)
                place.cells[revision] = Box(units=units, wanted=UNITS, restarts=self.restarts)
            place.printed.add(revision)
        elif step is Step.SWITCH:
            place.served = revision
        elif step is Step.RETIRE:
            place.cells.pop(revision, None)
        elif box is not None:
            self._tell(box, step)

    def _tell(self, box: Box, step: Step) -> None:
        if step is Step.QUIET:
            box.units.pop(ONCE, None)
        elif step is Step.RESUME:
            box.units, box.draining = {name: box.units.get(name, self.unit_state) for name in UNITS}, False
        elif step is Step.DRAIN:
            box.draining = True
            box.units = {"worker-1": "stopping"} if self.busy else {}
        elif step is Step.REVIVE:
            box.alive, box.leftovers = True, False
        elif step in {Step.STOP_CELL, Step.END_LEFTOVERS}:
            _end(box)

    def _change(self, environment: Environment, place: Place, step: Step) -> None:
        change = environment.change
        match step:
            case Step.FILES:
                place.files = True
            case Step.SERVICES:
                place.services = Box(units=dict.fromkeys(SERVICES, "ready"), wanted=SERVICES)
                place.printed.add(None)
            case Step.DATABASE:
                place.databases.setdefault("live", _version(environment))
            case Step.REPORT_LOST_TASKS:
                place.bereaved = False
            case Step.SWAP | Step.UNSWAP if change is not None:
                place.exchange(step, f"snap-{change.revision}")
            case Step.STOP_SERVICES:
                _end(place.services)
            case Step.END_ALL:
                _end(place.services, *place.cells.values())
            case Step.DROP_DATABASE:
                place.databases.clear()
            case Step.REMOVE_FILES:
                databases = place.databases
                self.places[environment.name] = Place(databases=databases)

    def _has_copies(self, environment: Environment, place: Place) -> bool:
        change = environment.change
        number = change.revision if change is not None and environment.status is Status.ROLLING_BACK else None
        return "coming" in place.databases or f"snap-{number}" in place.databases


def _end(*boxes: Box | None) -> None:
    for box in boxes:
        if box is not None:
            box.alive, box.leftovers, box.units = False, False, {}


def _revision(environment: Environment) -> int:
    """Whose work is of interest."""
    return environment.change.revision if environment.change is not None else environment.revision


def _version(environment: Environment) -> str:
    """The Airflow version that must be installed now."""
    change = environment.change
    if change is not None and environment.status is not Status.ROLLING_BACK:
        return change.spec.airflow_version
    return environment.deployed.version if environment.deployed else environment.spec.airflow_version
