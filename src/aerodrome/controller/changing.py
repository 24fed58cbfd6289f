"""The decisions about a change, from the request to units that serve. What runs goes on until the last step. Pure.

A creation is a change from nothing. An update starts the new revision's cell beside the old one, and switches when all
of it serves. If the metadata database moves (another Airflow version, a snapshot), the move is rehearsed on a copy
first; then the old cell is drained, the database replaced, and the new cell started. If anything fails, `undoing`
follows.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from aerodrome.controller import bringing_up, crewing, keeping, moving, ordering, zones_lost
from aerodrome.controller.plans import Happen, Plan, Reach, Take, Wait, failed
from aerodrome.controller.scaling import Pace
from aerodrome.model.change import Change, ChangeKind
from aerodrome.model.environment import Environment
from aerodrome.model.lifecycle import Event
from aerodrome.model.observed import Observed
from aerodrome.model.orders import Build, Keep, MakeDatabase, MendDatabase, SeedDatabase
from aerodrome.model.phases import LIMITS, Limit, Phase
from aerodrome.model.release import Deployed

NO_LIMIT = Limit("", timedelta.max)


def advance(environment: Environment, observed: Observed, change: Change, now: datetime, pace: Pace) -> Plan:
    """The next move of a change."""
    if environment.failure is not None:
        return Happen(phase=Phase.FAILED, detail=environment.failure.message, event=Event.UPDATE_BROKEN)
    running = environment.deployed
    is_moving = change.rehearsed and not change.swapped
    return (
        _overdue(environment, observed, change, now)
        or bringing_up.installed(observed)
        or (None if is_moving else _meanwhile(environment, observed, change, pace))
        or _release(environment, observed, change)
        or (_database(observed, change) if running is None else None)
        or (moving.moved(environment, observed, change, running, now) if running else None)
        or _units(environment, observed, change)
        or _switched(observed, change)
        or _done(change)
    )


def _meanwhile(environment: Environment, observed: Observed, change: Change, pace: Pace) -> Plan | None:
    """The services, and the cell that runs until the change replaces it; None = both run, and no task is forgotten."""
    running, phase = environment.deployed, Phase(environment.progress.phase)
    ground = bringing_up.services(observed, ordering.services(environment)) or bringing_up.database(
        environment, observed, phase
    )
    if ground is not None or running is None or change.swapped or observed.cell(change.revision).alive:
        return ground
    # A hibernation that had just begun has stopped all units but workers with tasks.
    is_drained = observed.cell(running.cell).keep is Keep.TASKS
    return (
        zones_lost.moved(environment, observed, phase)
        or bringing_up.cell(environment, observed, running)
        or (bringing_up.cell_as_ordered(environment, observed, running) if is_drained else None)
        or crewing.crewed(environment, observed, phase, pace)
        or keeping.lost_tasks(environment, observed, running.cell, phase)
        or crewing.queued_again(environment, observed, phase)
        or zones_lost.returned(environment, observed, phase)
    )


def _release(environment: Environment, observed: Observed, change: Change) -> Plan | None:
    """The release, built and tried beside what runs; None = it is there."""
    if change.deployed is not None:
        return None
    work, running = observed.work(Build), environment.deployed
    if work is None:
        build = Build(
            revision=change.revision,
            spec=change.spec,
            version=observed.releases.version,
            lock=observed.releases.lock,
            before=(environment.spec, running) if running is not None else None,
        )
        orders = (MendDatabase(), build) if observed.database.exists else (build,)
        return Take(phase=Phase.RELEASE, detail="Building the release.", orders=orders, again_after=0)
    if not work.done or work.deployed is None:
        detail = work.detail or "Building the release."
        return Wait(phase=Phase.RELEASE, detail=detail, fraction=work.fraction)
    known = replace(change, deployed=work.deployed, report=(*change.report, *work.report))
    placed = replace(known, deployed=_placed(environment, known, work.deployed))
    return Reach(phase=Phase.RELEASE, detail="The release is built.", change=placed)


def _placed(environment: Environment, change: Change, built: Deployed) -> Deployed:
    """The release with the numbers of its cell and database; `change` has the release already."""
    running, own = environment.deployed, replace(built, cell=change.revision, spread=bool(change.spec.zones))
    if running is None or change.moves_database(running):
        return replace(own, database=change.revision)
    if change.moves_units(environment.spec, running):
        return replace(own, database=running.database, takes_over=True)
    return replace(
        built,
        cell=running.cell,
        database=running.database,
        takes_over=running.takes_over,
        spread=running.spread,
    )


def _database(observed: Observed, change: Change) -> Plan | None:
    """The database of a new environment. There is no time limit to make it from a snapshot, which can be large."""
    if observed.database.exists:
        return None
    releases = observed.releases
    if change.seed is not None:
        order = SeedDatabase(revision=change.revision, seed=change.seed, version=releases.version)
        return moving.working(observed, order, Phase.SEED, "Making the metadata database from the snapshot.")
    make = MakeDatabase(version=releases.version, lock=releases.lock, options=change.spec.airflow_configuration_options)
    return Take(phase=Phase.DATABASE, detail="Making the metadata database.", orders=(make,), again_after=0)


def _units(environment: Environment, observed: Observed, change: Change) -> Plan | None:
    """The units of the change: a new cell beside the old one, or a new order for the old one. None = they serve."""
    running, wanted = environment.deployed, change.deployed
    if wanted is None:
        return None
    if running is not None and wanted.cell != running.cell and not observed.cell(wanted.cell).alive:
        old = observed.cell(running.cell)
        if old.alive and old.keep in {None, Keep.ALL}:
            order = replace(ordering.cell(environment, running.cell, running, old), keep=Keep.SHARED)
            return Take(phase=Phase.START, detail=_QUIETING, orders=(order,), again_after=0)
        if any(unit.is_ending for unit in old.units):
            return Wait(phase=Phase.START, detail=_QUIETING)
    # The restarts of a cell that goes on count from before the change, which is not to blame for them.
    is_kept = running is not None and wanted.cell == running.cell
    return (
        bringing_up.cell(environment, observed, wanted)
        or bringing_up.cell_as_ordered(environment, observed, wanted)
        or (None if is_kept else bringing_up.hopeless(environment, observed, wanted.cell))
        or bringing_up.waiting(observed, wanted.cell)
    )


def _switched(observed: Observed, change: Change) -> Plan | None:
    """Points the services and the requests to the cell of the change; None = they are."""
    if change.deployed is None:
        return None
    order = ordering.services_of(change.spec, change.deployed.database)
    return bringing_up.services_as_ordered(observed, order) or keeping.pointed(observed, change.deployed.cell)


def _done(change: Change) -> Plan:
    event = Event.CREATED if change.kind is ChangeKind.CREATE else Event.UPDATED
    return Happen(phase=Phase.READY, detail="Every unit is ready.", event=event)


def _overdue(environment: Environment, observed: Observed, change: Change, now: datetime) -> Plan | None:
    """The failure of a change when its present phase has taken too long."""
    progress = environment.progress
    limit = LIMITS.get(Phase(progress.phase), NO_LIMIT)
    late = observed.cell(change.revision)
    if now - progress.phase_started_at <= limit.time or late.all_ready:
        return None
    missing = sorted(late.wanted - late.ready)
    message = f"Not done after {limit.time.total_seconds():.0f} s: {progress.detail}"
    return failed(limit.code, message, (missing[0], change.revision) if missing else None)


_QUIETING = "Stopping what must not run twice."
