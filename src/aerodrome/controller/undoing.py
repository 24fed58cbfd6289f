"""The decisions about a change that failed: what ran before runs again, and nothing of the change is left. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from aerodrome.backends.contract import Step
from aerodrome.controller import keeping
from aerodrome.controller.plans import Plan
from aerodrome.model.change import Change, Kind
from aerodrome.model.environment import READY, Environment
from aerodrome.model.lifecycle import Event
from aerodrome.model.observed import Observed

STOP_LIMIT = timedelta(seconds=120)
"""How long the units of the failed revision may take to stop where the database must be free of them."""

RESTORE_LIMIT = timedelta(minutes=5)
"""How long what ran before may take to serve again until the environment is called what it is: unavailable."""


STARTING = frozenset({"files", "services", "start"})
"""Phases in which that time runs."""

FAILED = "failed"
"""The phase that a failure ends."""


def undo(environment: Environment, observed: Observed, wish: Change, now: datetime) -> Plan:
    """The next move back."""
    revision = keeping.serving(environment)
    return (
        _let_go(environment, observed, wish, now)
        or _database(observed, wish)
        or _lost(environment, observed, wish, revision, now)
        or keeping.ground(observed)
        or _release(observed)
        or keeping.cell(observed, revision)
        or keeping.resumed(observed, revision)
        or keeping.waiting(observed, revision)
        or _restored(wish, revision)
    )


def _let_go(environment: Environment, observed: Observed, wish: Change, now: datetime) -> Plan | None:
    """The failed revision's cell: gone where its database goes, else on its way with the tasks that it has taken."""
    revision = wish.revision
    failed = observed.cell(revision)
    if revision == keeping.serving(environment) or revision not in observed.cells:
        return None
    if not wish.moves_database(environment.deployed):
        if failed.alive and not failed.draining:
            detail = "Letting the failed revision end with its tasks."
            return Plan(phase="undo", detail=detail, step=Step.DRAIN, revision=revision, again_after=0)
        return None
    if failed.alive and not keeping.is_over(environment, "undo", STOP_LIMIT, now):
        return Plan(phase="undo", detail="Stopping the failed revision.", step=Step.STOP_CELL, revision=revision)
    if failed.alive or failed.leftovers:
        detail = "Ending what does not stop by itself."
        return Plan(phase="undo", detail=detail, step=Step.END_LEFTOVERS, revision=revision)
    return Plan(
        phase="undo", detail="Removing the failed revision.", step=Step.RETIRE, revision=revision, again_after=0
    )


def _database(observed: Observed, wish: Change) -> Plan | None:
    """The return of the database, and of what was queued with it, which Redis must not hold meanwhile."""
    if not observed.copies:
        return None
    if wish.swapped and observed.services.alive:
        return Plan(phase="restore", detail="Stopping Redis and the sidecar.", step=Step.STOP_SERVICES)
    if wish.swapped and observed.services.leftovers:
        return Plan(phase="restore", detail="Ending what does not stop by itself.", step=Step.END_ALL)
    return Plan(phase="restore", detail="Putting the metadata database back.", step=Step.UNSWAP, again_after=0)


def _lost(environment: Environment, observed: Observed, wish: Change, revision: int, now: datetime) -> Plan | None:
    """The end of the patience with what ran before, whatever keeps it from serving; None = it serves, or has time."""
    if observed.services.all_ready and observed.cell(revision).all_ready:
        return None
    if _time_to_serve(environment, now) <= RESTORE_LIMIT:
        return None
    detail = f"What ran before does not serve again: {environment.progress.detail}"
    return Plan(phase="lost", detail=detail, forget=wish.revision, event=Event.NOT_RESTORED, again_after=0)


def _time_to_serve(environment: Environment, now: datetime) -> timedelta:
    """How long services and units have been started since the failure."""
    progress = environment.progress
    since = [*progress.phases]
    while any(phase.name == FAILED for phase in since):
        since.pop(0)
    spent = timedelta(seconds=sum(phase.seconds for phase in since if phase.name in STARTING))
    return spent + (now - progress.phase_started_at if progress.phase in STARTING else timedelta())


def _release(observed: Observed) -> Plan | None:
    """The release that ran before, where its folder is gone."""
    lost = keeping.release(observed)
    return None if lost is None else replace(lost, phase="start")


def _restored(wish: Change, revision: int) -> Plan:
    event = Event.MAINTENANCE_UNDONE if wish.kind is Kind.MAINTENANCE else Event.RESTORED
    return Plan(
        phase=READY,
        detail="What ran before runs again.",
        step=Step.SWITCH,
        revision=revision,
        forget=wish.revision,
        event=event,
    )
