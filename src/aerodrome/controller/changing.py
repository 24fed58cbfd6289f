"""The decisions about a change: from the wish to units that serve; until the last step what runs is left alone.

A creation is a change from nothing. An update starts the new revision's cell beside the old one and switches when all
of it serves. Where the metadata database moves (another Airflow version, a snapshot), that is rehearsed on a copy
first; then the old cell is drained, the database replaced, and the new cell started. Whatever fails, `undoing`
follows. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from aerodrome.backends.contract import Step
from aerodrome.controller import keeping
from aerodrome.controller.plans import Plan, failed
from aerodrome.model.change import Change, Kind
from aerodrome.model.environment import READY, Environment
from aerodrome.model.history import Snapshot
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.observed import Observed, Work
from aerodrome.model.release import Deployed

LIMITS = {
    "install": ("VERSION_NOT_INSTALLED", timedelta(minutes=45)),
    "release": ("RELEASE_NOT_BUILT", timedelta(minutes=45)),
    "database": ("DATABASE_NOT_MADE", timedelta(minutes=10)),
    "files": ("FILES_NOT_WRITTEN", timedelta(minutes=1)),
    "services": ("UNHEALTHY", timedelta(minutes=2)),
    "start": ("UNHEALTHY", timedelta(minutes=5)),
}
"""Phases of a change: what it is called when one takes longer than this. Seconds are usual for each; a first database
waits for Airflow's migration, and a machine under heavy load may need a minute to start. A release has time limits of
its own; its limit, and that of Airflow's own packages, ends the waiting for a package index that is away."""

DATABASE_WORK = {
    Step.ARCHIVE: ("snapshot", "Writing an archive of the metadata database."),
    Step.REHEARSE: ("rehearsal", "Migrating a copy of the metadata database."),
    Step.MIGRATE: ("migrate", "Making the metadata database that is to come."),
}


def change(environment: Environment, observed: Observed, wish: Change, now: datetime) -> Plan:
    """The next move of a change."""
    if environment.failure is not None:
        return Plan(phase="failed", detail=environment.failure.message, event=Event.UPDATE_BROKEN, again_after=0)
    running = environment.deployed
    is_moving = wish.rehearsed and not wish.swapped
    return (
        _overdue(environment, observed, wish, now)
        or keeping.installed(observed)
        or (None if is_moving else keeping.services(observed) or _altered(environment, observed))
        or (None if is_moving else _meanwhile(observed, wish, running))
        or _release(environment, observed, wish)
        or (_database(observed, wish) if running is None else None)
        or (_move(environment, observed, wish, running, now) if running and wish.moves_database(running) else None)
        or _units(environment, observed, wish)
        or _done(wish)
    )


def _altered(environment: Environment, observed: Observed) -> Plan | None:
    """What the change's units need of the database; the phase, and its time, goes on."""
    altered = keeping.database(observed)
    return None if altered is None else replace(altered, phase=environment.progress.phase)


def _meanwhile(observed: Observed, wish: Change, running: Deployed | None) -> Plan | None:
    """What runs goes on until it is to be replaced; None = it does, or its time is over."""
    if running is None or wish.swapped or observed.cell(wish.revision).alive:
        return None
    return keeping.cell(observed, running.cell)


def _release(environment: Environment, observed: Observed, wish: Change) -> Plan | None:
    """The release, built and tried beside what runs; None = it is there."""
    if wish.deployed is not None:
        return None
    done = _work(observed, Step.RELEASE)
    if done is None or done.deployed is None:
        return _working(observed, Step.RELEASE, "release", "Building the release.")
    known = replace(wish, deployed=replace(done.deployed, cell=wish.revision), report=(*wish.report, *done.report))
    if not known.moves_units(environment.spec, environment.deployed) and environment.deployed is not None:
        known = replace(known, deployed=replace(done.deployed, cell=environment.deployed.cell))
    return Plan(phase="release", detail="The release is built.", change=known, again_after=0)


def _database(observed: Observed, wish: Change) -> Plan | None:
    """The database of an environment that is being created; of a snapshot it takes as long as that is large."""
    if observed.database:
        return None
    if wish.seed is not None:
        return _working(observed, Step.SEED, "seed", "Making the metadata database from the snapshot.")
    return Plan(phase="database", detail="Making the metadata database.", step=Step.DATABASE, again_after=0)


def _move(environment: Environment, observed: Observed, wish: Change, running: Deployed, now: datetime) -> Plan | None:
    """The database, from an archive of what it was to its place; None = it is there."""
    return _snapshot(environment, observed, wish, running, now) or _replacement(environment, observed, wish, now)


def _snapshot(
    environment: Environment, observed: Observed, wish: Change, running: Deployed, now: datetime
) -> Plan | None:
    """The archive of the database as it is; None = it is written. Maintenance keeps its own status meanwhile."""
    phase, detail = DATABASE_WORK[Step.ARCHIVE]
    if not wish.archived:
        if environment.status is Status.UPDATING:
            return Plan(phase=phase, detail=detail, event=Event.SNAPSHOT_BEGUN, again_after=0)
        return _archive(environment, observed, wish, running, now)
    if environment.status is Status.CREATING_SNAPSHOT:
        return Plan(phase=phase, detail="The archive is written.", event=Event.SNAPSHOT_TAKEN, again_after=0)
    return None


def _replacement(environment: Environment, observed: Observed, wish: Change, now: datetime) -> Plan | None:
    """The rehearsal, the copy that everybody leaves the database for, and the exchange; None = it is done."""
    if not wish.rehearsed:
        return _long(observed, Step.REHEARSE, replace(wish, rehearsed=True))
    if not wish.migrated:
        everybody_leaves = keeping.emptied(environment, observed, wish.strategy, now)
        return everybody_leaves or _long(observed, Step.MIGRATE, replace(wish, migrated=True))
    if wish.swapped:
        return None
    detail, swapped = "Replacing the metadata database.", replace(wish, swapped=True)
    return Plan(phase="switch", detail=detail, step=Step.SWAP, change=swapped, again_after=0)


def _archive(environment: Environment, observed: Observed, wish: Change, running: Deployed, now: datetime) -> Plan:
    done = _work(observed, Step.ARCHIVE)
    if done is None:
        phase, detail = DATABASE_WORK[Step.ARCHIVE]
        return _working(observed, Step.ARCHIVE, phase, detail)
    taken = Snapshot(
        identifier=environment.identifier,
        number=wish.revision,
        taken_at=now,
        spec=environment.spec,
        deployed=running,
        size=done.size,
    )
    return Plan(
        phase="snapshot",
        detail="The archive is written.",
        snapshot=taken,
        change=replace(wish, archived=True),
        again_after=0,
    )


def _long(observed: Observed, step: Step, reached: Change) -> Plan:
    """A long step with the database; when it is done, the change is `reached`."""
    phase, detail = DATABASE_WORK[step]
    done = _work(observed, step)
    if done is None:
        return _working(observed, step, phase, detail)
    known = replace(reached, report=(*reached.report, *done.report))
    return Plan(phase=phase, detail=detail, change=known, again_after=0)


def _work(observed: Observed, step: Step) -> Work | None:
    """What came of a long step; None = it is not done."""
    work = observed.work
    return work if work is not None and work.step == step and work.done else None


def _working(observed: Observed, step: Step, phase: str, detail: str) -> Plan:
    """A long step as it goes on; one that is not under way is begun."""
    work = observed.work
    if work is None or work.step != step:
        return Plan(phase=phase, detail=detail, step=step, again_after=0)
    return Plan(phase=phase, detail=work.detail or detail, fraction=work.fraction)


def _units(environment: Environment, observed: Observed, wish: Change) -> Plan | None:
    """The new revision's units beside the old one's; None = they serve, or none are needed."""
    running = environment.deployed
    if wish.deployed is None or (running is not None and wish.deployed.cell == running.cell):
        return None
    revision = wish.revision
    if running is not None and not observed.cell(revision).alive:
        old, detail = observed.cell(running.cell), "Stopping what must not run twice."
        if old.is_whole:
            return Plan(phase="start", detail=detail, step=Step.QUIET, revision=running.cell, again_after=0)
        if any(unit.is_ending for unit in old.units):
            return Plan(phase="start", detail=detail)
    return (
        keeping.cell(observed, revision)
        or keeping.hopeless(environment, observed, revision)
        or keeping.waiting(observed, revision)
    )


def _done(wish: Change) -> Plan:
    event = Event.CREATED if wish.kind is Kind.CREATE else Event.UPDATED
    revision = wish.deployed.cell if wish.deployed is not None else wish.revision
    return Plan(phase=READY, detail="Every unit is ready.", step=Step.SWITCH, revision=revision, event=event)


def _overdue(environment: Environment, observed: Observed, wish: Change, now: datetime) -> Plan | None:
    """The failure of a change whose present phase takes longer than it ever should."""
    progress = environment.progress
    code, limit = LIMITS.get(progress.phase, ("", timedelta.max))
    late = observed.cell(wish.revision)
    if now - progress.phase_started_at <= limit or late.all_ready:
        return None
    missing = sorted(late.wanted - late.ready)
    message = f"Not done after {limit.total_seconds():.0f} s: {progress.detail}"
    return failed(code, message, (missing[0], wish.revision) if missing else None)
