"""The decisions of a change that replaces the metadata database: another Airflow version, or a snapshot. Pure.

An archive of what was, a rehearsal on a copy, the end of everything that uses the database, the migrated copy, and the
exchange of the two.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from aerodrome.controller import letting_go
from aerodrome.controller.plans import Happen, Plan, Reach, Take, Wait
from aerodrome.model.change import Change
from aerodrome.model.environment import Environment
from aerodrome.model.history import Snapshot
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.observed import Observed
from aerodrome.model.orders import Archive, LongOrder, MendDatabase, Migrate, Order, Rehearse, Swap
from aerodrome.model.phases import Phase
from aerodrome.model.release import Deployed

ARCHIVING = "Writing an archive of the metadata database."
ARCHIVED = "The archive is written."


def moved(
    environment: Environment, observed: Observed, change: Change, running: Deployed, now: datetime
) -> Plan | None:
    """The database in its place; None = it is there, or does not move."""
    if change.deployed is None or not change.moves_database(running):
        return None
    return _archived(environment, observed, change, running, now) or _replaced(
        environment, observed, change, change.deployed, running, now
    )


def working(observed: Observed, order: LongOrder, phase: Phase, detail: str) -> Plan:
    """The progress of a long order; if it is not under way, the order is given."""
    work = observed.work(type(order))
    if work is None:
        orders: tuple[Order, ...] = (order,)
        if observed.database.exists and not isinstance(order, Migrate):  # Migrate opens the database by itself
            orders = (MendDatabase(), order)
        return Take(phase=phase, detail=detail, orders=orders, again_after=0)
    return Wait(phase=phase, detail=work.detail or detail, fraction=work.fraction)


def _archived(
    environment: Environment, observed: Observed, change: Change, running: Deployed, now: datetime
) -> Plan | None:
    """The archive of the database as it is; None = it is written. Maintenance keeps its own status meanwhile."""
    if not change.archived:
        if environment.status is Status.UPDATING:
            return Happen(phase=Phase.SNAPSHOT, detail=ARCHIVING, event=Event.SNAPSHOT_BEGUN)
        return _archive(environment, observed, change, running, now)
    if environment.status is Status.CREATING_SNAPSHOT:
        return Happen(phase=Phase.SNAPSHOT, detail=ARCHIVED, event=Event.SNAPSHOT_TAKEN)
    return None


def _archive(environment: Environment, observed: Observed, change: Change, running: Deployed, now: datetime) -> Plan:
    work = observed.work(Archive)
    if work is None or not work.done:
        return working(observed, Archive(revision=change.revision), Phase.SNAPSHOT, ARCHIVING)
    taken = Snapshot(
        identifier=environment.identifier,
        number=change.revision,
        taken_at=now,
        spec=environment.spec,
        deployed=running,
        size=work.size,
    )
    return Reach(phase=Phase.SNAPSHOT, detail=ARCHIVED, snapshot=taken, change=replace(change, archived=True))


def _replaced(
    environment: Environment,
    observed: Observed,
    change: Change,
    wanted: Deployed,
    running: Deployed,
    now: datetime,
) -> Plan | None:
    """The rehearsal, the end of everything that uses the database, the copy, the exchange; None = all is done."""
    before = (environment.spec, running)
    if not change.rehearsed:
        rehearse = Rehearse(
            revision=change.revision, seed=change.seed, spec=change.spec, deployed=wanted, before=before
        )
        detail = "Migrating a copy of the metadata database."
        return _long(observed, rehearse, replace(change, rehearsed=True), Phase.REHEARSAL, detail)
    if not change.migrated:
        migrate = Migrate(revision=change.revision, seed=change.seed, spec=change.spec, deployed=wanted, before=before)
        detail = "Making the coming metadata database."
        return letting_go.emptied(environment, observed, change.strategy, now) or _long(
            observed, migrate, replace(change, migrated=True), Phase.MIGRATE, detail
        )
    if change.swapped:
        return None
    return Take(
        phase=Phase.SWITCH,
        detail="Replacing the metadata database.",
        orders=(Swap(revision=change.revision),),
        reached=replace(change, swapped=True),
        again_after=0,
    )


def _long(observed: Observed, order: LongOrder, reached: Change, phase: Phase, detail: str) -> Plan:
    """A long order with the database; when it is done, the change is `reached`."""
    work = observed.work(type(order))
    if work is None or not work.done:
        return working(observed, order, phase, detail)
    known = replace(reached, report=(*reached.report, *work.report))
    return Reach(phase=phase, detail=detail, change=known)
