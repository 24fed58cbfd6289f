"""A backend in memory, public so that anyone can test a controller against it.

It holds to the same contract as the real ones (tests/contract/backends), and can be told to misbehave.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aerodrome.backends.contract import Step
from aerodrome.model.environment import Environment
from aerodrome.model.observed import Installation, Observed, Unit

UNITS = ("redis", "sidecar", "scheduler", "worker-1")

EFFECTS: dict[Step, dict[str, bool]] = {
    Step.DATABASE: {"database": True},
    Step.FILES: {"files": True},
    Step.CELL: {"cell": True, "leftovers": False},
    Step.REPORT_LOST_TASKS: {"bereaved": False},
    Step.STOP_CELL: {"cell": False},
    Step.END_LEFTOVERS: {"cell": False, "leftovers": False},
    Step.DROP_DATABASE: {"database": False},
    Step.REMOVE_FILES: {"files": False},
}
"""What a step changes of a place."""


@dataclass
class Place:
    """What exists of one environment."""

    database: bool = False
    files: bool = False
    cell: bool = False
    leftovers: bool = False
    bereaved: bool = False
    unit_state: str = "ready"
    restarts: int = 0


@dataclass
class MemoryBackend:
    """Takes steps in memory; `failures` holds an error to raise for a step, until removed."""

    installed: set[str] = field(default_factory=set)
    places: dict[str, Place] = field(default_factory=dict)
    failures: dict[Step, Exception] = field(default_factory=dict)
    taken: list[tuple[str, Step]] = field(default_factory=list)
    unit_state: str = "ready"
    """The state that units of newly started cells have."""

    def observe(self, environment: Environment) -> Observed:
        place = self.places.get(environment.name, Place())
        units = [
            Unit(name=name, state=place.unit_state, pid=1, restarts=place.restarts) for name in UNITS if place.cell
        ]
        return Observed(
            installation=Installation(done=environment.spec.airflow_version in self.installed),
            database=place.database,
            files=place.files,
            traces=place.files,
            cell=place.cell,
            leftovers=place.leftovers,
            bereaved=place.bereaved,
            units=tuple(units),
            expected_units=frozenset(UNITS),
        )

    def act(self, environment: Environment, step: Step) -> None:
        self.taken.append((environment.name, step))
        if step in self.failures:
            raise self.failures[step]
        place = self.places.setdefault(environment.name, Place())
        for name, value in EFFECTS.get(step, {}).items():
            setattr(place, name, value)
        if step is Step.INSTALL:
            self.installed.add(environment.spec.airflow_version)
        if step is Step.CELL:
            place.unit_state = self.unit_state

    def tail(self, environment: Environment, unit: str) -> tuple[str, ...]:
        place = self.places.get(environment.name, Place())
        return (f"{unit} is {place.unit_state}",) if place.cell else ()
