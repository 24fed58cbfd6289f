"""What the loop remembers of each environment between two looks. A new control plane begins without it.

`loop` asks for it at each look, in the one thread that then works on the environment, and forgets environments that are
gone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aerodrome.controller import crash_loops, zones_lost
from aerodrome.model.demand import Demand, WebDemand
from aerodrome.model.environment import Environment
from aerodrome.model.hibernation import Hibernation
from aerodrome.model.observed import Ahead


@dataclass(frozen=True, slots=True)
class AskedAhead:
    """What an environment's database was said to have to do."""

    at: datetime
    slept: Hibernation
    """How far the environment's sleep was."""
    found: Ahead | None
    good_for: timedelta


@dataclass(slots=True)
class Remembered:
    """What is remembered of one environment."""

    identifier: str
    faults: int = 0
    """How many faults that nobody foresaw there were in a row."""
    told: dict[tuple[str, int | None, str], float] | None = None
    """The incidents that have an event: kind, revision and unit → when that was. None = not read yet."""
    deaths: dict[tuple[int, str], float] = field(default_factory=dict)
    """Workers' deaths that Airflow was told about. A new control plane tells them again, which does no harm."""
    endings: dict[crash_loops.Key, crash_loops.Endings] = field(default_factory=dict)
    demand: Demand | None = None
    """Of its tasks. A new control plane looks for a while before workers go."""
    web_demand: WebDemand | None = None
    """The same of web servers, where their number may change."""
    zone_losses: zones_lost.Losses | None = None
    ahead: AskedAhead | None = None


class Remembering:
    """Everything that is remembered, by the environments' names."""

    def __init__(self) -> None:
        self._known: dict[str, Remembered] = {}

    def of(self, environment: Environment) -> Remembered:
        """What is remembered of an environment; nothing of an earlier one that had its name."""
        found = self._known.get(environment.name)
        if found is None or found.identifier != environment.identifier:
            found = self._known[environment.name] = Remembered(environment.identifier)
        return found

    def keep(self, names: Collection[str]) -> None:
        """Forget environments whose names are not among these."""
        for name in [*self._known]:  # threads add to it meanwhile
            if name not in names:
                self._known.pop(name, None)

    def __len__(self) -> int:
        return len(self._known)
