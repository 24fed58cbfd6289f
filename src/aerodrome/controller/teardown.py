"""The decisions about an environment that goes: what exists is taken away in the order in which things need each other.

A failed creation keeps its files: the logs are what a person needs next. Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from aerodrome.backends.contract import Step
from aerodrome.controller import keeping
from aerodrome.controller.plans import Plan
from aerodrome.model.environment import Environment
from aerodrome.model.lifecycle import Event
from aerodrome.model.observed import Observed

STOP_LIMIT = timedelta(seconds=20)
"""How long the units of an environment that is to go may take to stop; its tasks are not waited for beyond that."""


def tear_down(environment: Environment, observed: Observed, now: datetime, done: Event) -> Plan:
    """The next move towards nothing; `done` is what has happened when there is nothing."""
    stopping = _stopping(observed, late=keeping.is_over(environment, "stop", STOP_LIMIT, now))
    if stopping is not None:
        return stopping
    if observed.database or observed.copies:
        return Plan(phase="clean-up", detail="Dropping the database.", step=Step.DROP_DATABASE)
    if observed.traces and done is Event.REMOVED:
        return Plan(phase="clean-up", detail="Removing the files.", step=Step.REMOVE_FILES)
    return Plan(phase="gone", detail="Nothing is left running.", event=done, again_after=0)


def _stopping(observed: Observed, *, late: bool) -> Plan | None:
    """The end of every process, units before what they work with; None = there is none."""
    everything = [*observed.cells.values(), observed.services]
    if not late:
        for revision, cell in sorted(observed.cells.items()):
            if cell.alive:
                return Plan(phase="stop", detail="Stopping the units.", step=Step.STOP_CELL, revision=revision)
        if observed.services.alive and not any(cell.leftovers for cell in observed.cells.values()):
            return Plan(phase="stop", detail="Stopping Redis and the sidecar.", step=Step.STOP_SERVICES)
    if any(cell.alive or cell.leftovers for cell in everything):
        return Plan(phase="stop", detail="Ending what does not stop by itself.", step=Step.END_ALL)
    return None
