"""The decisions about a change that failed: what ran before runs again, and nothing of the change is left. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from aerodrome.controller import bringing_up, keeping, letting_go, ordering
from aerodrome.controller.plans import Happen, Plan, Take
from aerodrome.model.change import Change, ChangeKind
from aerodrome.model.environment import Environment
from aerodrome.model.lifecycle import Event
from aerodrome.model.observed import Observed
from aerodrome.model.orders import SwapBack
from aerodrome.model.phases import Phase

STOP_LIMIT = timedelta(seconds=120)
"""How long the units of the failed revision may take to stop before its database goes."""

RESTORE_LIMIT = timedelta(minutes=5)
"""How long the earlier revision may take to serve again, until the environment is called UNAVAILABLE."""

STARTING = frozenset({Phase.SERVICES, Phase.START})
"""The phases that count for this limit."""


def undo(environment: Environment, observed: Observed, change: Change, now: datetime) -> Plan:
    """The next move back to what ran before."""
    return (
        _let_go(environment, observed, change, now)
        or _database(environment, observed, change)
        or _lost(environment, observed, change, now)
        or bringing_up.ground(observed, ordering.services(environment))
        or bringing_up.release(environment, observed, Phase.START)
        or keeping.served(environment, observed)
        or _restored(change)
    )


def _let_go(environment: Environment, observed: Observed, change: Change, now: datetime) -> Plan | None:
    """Ends the failed revision's cell: at once if its database is removed, otherwise after the tasks it has taken."""
    revision = change.revision
    failed = observed.cell(revision)
    if revision == environment.serving or revision not in observed.cells:
        return None
    if not change.moves_database(environment.deployed):
        if failed.alive and failed.keep not in letting_go.LET_GO:
            detail = "Letting the failed revision end with its tasks."
            orders = (ordering.draining(environment, revision, failed),)
            return Take(phase=Phase.UNDO, detail=detail, orders=orders, again_after=0)
        return None
    if failed.alive and not letting_go.is_over(environment, Phase.UNDO, STOP_LIMIT, now):
        orders = (ordering.stopping(environment, revision, failed),)
        return Take(phase=Phase.UNDO, detail="Stopping the failed revision.", orders=orders)
    if failed.runs:
        orders = (ordering.stopping(environment, revision, failed, late=True),)
        return Take(phase=Phase.UNDO, detail="Ending what does not stop by itself.", orders=orders)
    return Take(
        phase=Phase.UNDO,
        detail="Removing the failed revision.",
        orders=letting_go.removal(environment, revision),
        again_after=0,
    )


def _database(environment: Environment, observed: Observed, change: Change) -> Plan | None:
    """Puts the earlier database back, with its queue; Redis must not run meanwhile."""
    if not observed.database.unfinished:
        return None
    stopping = letting_go.services(environment, observed, Phase.RESTORE) if change.swapped else None
    back = SwapBack(revision=change.revision)
    return stopping or Take(
        phase=Phase.RESTORE, detail="Putting the metadata database back.", orders=(back,), again_after=0
    )


def _lost(environment: Environment, observed: Observed, change: Change, now: datetime) -> Plan | None:
    """Gives up waiting for the earlier revision; None = it serves, or has time left."""
    if observed.services.all_ready and observed.cell(environment.serving).all_ready:
        return None
    if _time_to_serve(environment, now) <= RESTORE_LIMIT:
        return None
    detail = f"What ran before does not serve again: {environment.progress.detail}"
    return Happen(phase=Phase.LOST, detail=detail, forget=change.revision, event=Event.NOT_RESTORED)


def _time_to_serve(environment: Environment, now: datetime) -> timedelta:
    """How long services and units have been started since the failure."""
    progress = environment.progress
    since = [*progress.phases]
    while any(phase.name == Phase.FAILED for phase in since):
        since.pop(0)
    spent = timedelta(seconds=sum(phase.seconds for phase in since if phase.name in STARTING))
    return spent + (now - progress.phase_started_at if progress.phase in STARTING else timedelta())


def _restored(change: Change) -> Plan:
    event = Event.MAINTENANCE_UNDONE if change.kind is ChangeKind.MAINTENANCE else Event.RESTORED
    return Happen(phase=Phase.READY, detail="What ran before runs again.", event=event, forget=change.revision)
