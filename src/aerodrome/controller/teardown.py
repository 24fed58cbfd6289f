"""The decisions about an environment that is removed: each thing goes before the things that it needs. Pure.

A failed creation keeps its files, because a person needs its logs next.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from aerodrome.controller import letting_go, ordering
from aerodrome.controller.plans import Happen, Plan, Take, Wait
from aerodrome.model.environment import Environment
from aerodrome.model.lifecycle import Event
from aerodrome.model.observed import CellState, Observed
from aerodrome.model.orders import DropDatabase, Remove
from aerodrome.model.phases import Phase

STOP_LIMIT = timedelta(seconds=20)
"""How long the units of an environment that is removed may take to stop; its tasks get no more time than that."""


def tear_down(environment: Environment, observed: Observed, now: datetime, done: Event) -> Plan:
    """The next move of the removal; `done` is the event that happens when nothing is left."""
    late = letting_go.is_over(environment, Phase.STOP, STOP_LIMIT, now)
    stopping = _stopping(environment, observed, late=late)
    if stopping is not None:
        return stopping
    if observed.clones:
        detail = f"Waiting until {' and '.join(observed.clones)} is made from a snapshot of it."
        return Wait(phase=Phase.CLEAN_UP, detail=detail)
    if observed.database.exists or observed.database.others:
        return Take(phase=Phase.CLEAN_UP, detail="Dropping the database.", orders=(DropDatabase(),))
    if observed.runtime.exists and done is Event.REMOVED:
        return Take(phase=Phase.CLEAN_UP, detail="Removing the files.", orders=(Remove(),))
    return Happen(phase=Phase.GONE, detail="Nothing is left running.", event=done)


def _stopping(environment: Environment, observed: Observed, *, late: bool) -> Plan | None:
    """Ends every process, units before services; None = no process runs."""
    for revision, cell in sorted(observed.cells.items()):
        if cell.runs:
            forced = late or cell.state is CellState.LOST
            detail = "Ending what does not stop by itself." if forced else "Stopping the units."
            order = ordering.stopping(environment, revision, cell, late=forced)
            return Take(phase=Phase.STOP, detail=detail, orders=(order,))
    if observed.services.runs:
        forced = late or observed.services.state is CellState.LOST
        detail = "Ending what does not stop by itself." if forced else "Stopping Redis and the sidecar."
        last = ordering.stopping_services(environment, late=forced)
        return Take(phase=Phase.STOP, detail=detail, orders=(last,))
    return None
