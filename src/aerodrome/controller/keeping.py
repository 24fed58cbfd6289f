"""The decisions about environments without a change: watch them, and bring back what is lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from aerodrome.controller import bringing_up, crewing, letting_go, maintenance, ordering, scaling, zones_lost
from aerodrome.controller.plans import CALM, Begin, Happen, Plan, Take, Wait
from aerodrome.controller.scaling import Pace
from aerodrome.model import zones
from aerodrome.model.environment import Environment, Failure
from aerodrome.model.lifecycle import Event
from aerodrome.model.observed import (
    LOGS,
    NO_CELL,
    TEMPORARY,
    CellState,
    DiskImage,
    LimitMet,
    Observed,
    RuntimeSeen,
    TasksSeen,
)
from aerodrome.model.orders import CellOrder, Death, Point, ReportDeaths
from aerodrome.model.phases import Phase

SCHEDULER = "scheduler"
"""The kind of unit that looks after tasks."""

GIB = 2**30

MEMORY = "memory"
"""The limit of that name; the other one is that of processes."""

DAMAGED = "DATABASE_DAMAGED"

EXHAUSTED = "DATABASE_CONNECTIONS_EXHAUSTED"
TOO_LARGE = "DATABASE_TOO_LARGE"

TOLD_FOR = 15.0
"""Seconds in which Airflow acts on what it was told; it looks for lost tasks every few."""

REMEMBERED = 60.0
"""Seconds for which it is remembered that a worker's death was told which is not there any more."""

RECENT = 10
"""So many revisions before the present one may still have tasks that run, as far as the database says."""

MOST_DEATHS = 50
"""The most that are told at once; more follow at the next look."""


def recover(environment: Environment, observed: Observed) -> Plan:
    """Bring back an environment that lost its processes. It worked once, so this has no limit; cells back off."""
    missing = bringing_up.ground(observed, ordering.services(environment))
    if missing is not None:
        return missing
    if not observed.database.exists:
        detail = "The metadata database is gone: bring it back, or restore a snapshot into another environment."
        return Wait(phase=Phase.LOST, detail=detail, again_after=CALM)
    return (
        bringing_up.database(environment, observed, Phase.DATABASE)
        or bringing_up.release(environment, observed, Phase.RELEASE)
        or served(environment, observed)
        or Happen(phase=Phase.READY, detail="Every unit is ready.", event=Event.RECOVERED)
    )


def served(environment: Environment, observed: Observed) -> Plan | None:
    """The cell that serves, with all units ready, and services and requests pointed to it; None = it is so."""
    running = environment.deployed
    if running is None:
        return None
    return (
        bringing_up.cell(environment, observed, running)
        or bringing_up.cell_as_ordered(environment, observed, running)
        or bringing_up.waiting(observed, running.cell, but_ending=True)
        or bringing_up.services_as_ordered(observed, ordering.services(environment))
        or pointed(observed, running.cell)
    )


def pointed(observed: Observed, revision: int) -> Plan | None:
    """Points the requests to a revision's web server; None = they are."""
    if observed.runtime.served == revision:
        return None
    orders = (Point(revision=revision),)
    return Take(phase=Phase.READY, detail="Every unit is ready: requests are led there.", orders=orders, again_after=0)


def watch(environment: Environment, observed: Observed, now: datetime, pace: Pace) -> Plan:
    """Watch a settled environment. Cells look after units; the controller looks after cells."""
    revision = environment.serving
    if not observed.services.alive or not observed.cell(revision).alive:
        return Happen(phase=Phase.LOST, detail="The cell is gone.", event=Event.LOST)
    first = (
        bringing_up.database(environment, observed, Phase.READY)
        or zones_lost.moved(environment, observed, Phase.READY)
        or lost_tasks(environment, observed, revision, Phase.READY)
        or bringing_up.installed(observed, Phase.READY)  # the folder of the version may be gone while units run
        or bringing_up.rebuilding(environment, observed, Phase.READY)
        or crewing.crewed(environment, observed, Phase.READY, pace)
        or crewing.served(environment, observed, pace)
        or crewing.queued_again(environment, observed, Phase.READY)
        or zones_lost.returned(environment, observed, Phase.READY)
        or _as_ordered(environment, observed)
    )
    if first is not None:
        return first
    due = maintenance.due(environment, observed.releases.patch, now)
    if due is not None:
        return Begin(phase=Phase.MAINTENANCE, detail="The maintenance window has begun.", change=due)
    others = {other: found for other, found in observed.cells.items() if other != revision}
    if others:
        return letting_go.retire(environment, others)
    trouble = (
        bringing_up.unbuilt(observed, Phase.READY) or _damaged(observed) or _exhausted(observed) or _outgrown(observed)
    )
    if trouble is not None:
        return trouble
    detail = bringing_up.restarting(observed, revision) or "Every unit is ready."
    return Wait(phase=Phase.READY, detail=detail, again_after=scaling.pause(environment.spec))


def deaths(
    seen: RuntimeSeen, tasks: TasksSeen | None, *, told: Mapping[tuple[int, str], float], revision: int, now: datetime
) -> tuple[Death, ...]:
    """The workers that died, without those that Airflow was `told` about (revision and worker → time of death).

    Tasks that run on a worker which is not there have died with it, however it went. After a cell died with all its
    units, the next one does not know how they ended; but whoever had a worker's name was dead when it was started.
    DAG code may have made up such tasks: only workers of cells and of the last revisions up to the present `revision`
    count, and so many at once.
    """
    workers = {(of, worker.name): worker for of, cell in seen.cells.items() for worker in cell.workers}
    died = {
        key: worker.exited_at
        for key, worker in workers.items()
        if worker.exited_at is not None and told.get(key, 0.0) < worker.exited_at
    }
    unseen: dict[tuple[int, str], float] = {}
    for key in tasks.running if tasks is not None else ():
        began = workers[key].started_at if key in workers and workers[key].exited_at is None else None
        if began is not None and told.get(key, 0.0) < began <= now.timestamp():  # else the clock was set back
            unseen[key] = began
    for of, worker in tasks.running if tasks is not None else ():
        is_believed = of in seen.cells or revision - RECENT <= of <= revision
        is_gone = is_believed and not _may_run(seen, of, worker)
        if is_gone and told.get((of, worker), 0.0) + TOLD_FOR < now.timestamp():
            died.setdefault((of, worker), now.timestamp())
    found = (
        *(Death(revision=of, worker=worker, at=at) for (of, worker), at in died.items()),
        *(Death(revision=of, worker=worker, at=at, is_seen=False) for (of, worker), at in unseen.items()),
    )
    return found[:MOST_DEATHS]


def lost_tasks(environment: Environment, observed: Observed, revision: int, phase: Phase) -> Plan | None:
    """Reports dead workers to Airflow; None = Airflow knows about them, or cannot be told yet."""
    # Lost tasks are handed to a scheduler. Airflow finds a dead scheduler only after five minutes.
    schedules = any(zones.parted(name)[0] == SCHEDULER for name in observed.cell(revision).ready)
    if not observed.deaths or not schedules or environment.deployed is None:
        return None
    orders = (ReportDeaths(version=environment.deployed.version, deaths=observed.deaths),)
    return Take(phase=phase, detail="Telling Airflow which tasks were lost.", orders=orders)


def still_told(told: Mapping[tuple[int, str], float], seen: RuntimeSeen, now: datetime) -> dict[tuple[int, str], float]:
    """What Airflow was told, without what nobody asks about any more."""
    units = {(revision, worker.name) for revision, cell in seen.cells.items() for worker in cell.workers}
    oldest = now.timestamp() - REMEMBERED
    return {key: at for key, at in told.items() if key in units or at >= oldest}


def _may_run(seen: RuntimeSeen, revision: int, worker: str) -> bool:
    cell = seen.cells.get(revision, NO_CELL)
    if cell.state is CellState.RUNNING:
        return any(unit.name == worker for unit in cell.units)
    return cell.runs  # nobody knows its units


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What happened to a unit, and is told once."""

    kind: str
    """Of the event."""

    revision: int | None
    """The unit's; None = it is a service."""

    unit: str
    """Of a full disk: what is on it."""
    at: float
    """Seconds since 1970."""

    sentence: str


UNIT_HUNG = "UNIT_HUNG"
OUT_OF_MEMORY = "OUT_OF_MEMORY"
OUT_OF_PROCESSES = "OUT_OF_PROCESSES"
DISK_FULL = "DISK_FULL"
INCIDENTS = frozenset({UNIT_HUNG, OUT_OF_MEMORY, OUT_OF_PROCESSES, DISK_FULL})
"""The kinds of events for them."""


def incidents(observed: Observed) -> list[Incident]:
    """What has happened to units last: their cells killed them because they hung, or they have met a limit."""
    found = []
    for whose, cell in ((None, observed.services), *observed.cells.items()):
        chosen = cell.order.environment_class if isinstance(cell.order, CellOrder) else "its EnvironmentClass"
        for unit in cell.units:
            if unit.hung:
                sentence = f"{unit.name} {unit.hung}; it was ended and is started again."
                at = unit.exited_at or 0.0
                found.append(Incident(kind=UNIT_HUNG, revision=whose, unit=unit.name, at=at, sentence=sentence))
            for met in unit.limits_met:
                kind, sentence = _limit(unit.name, met, chosen)
                found.append(Incident(kind=kind, revision=whose, unit=unit.name, at=met.at, sentence=sentence))
        # The services' cell has no other disks than the revisions' cells.
        if whose is not None:
            found += [
                Incident(kind=DISK_FULL, revision=whose, unit=each.name, at=each.full_at, sentence=_full(each))
                for each in cell.images
                if each.full_at is not None
            ]
    return found


def _full(image: DiskImage) -> str:
    """What has filled, what comes of it, and what to do."""
    remedies = {
        TEMPORARY: "Let tasks remove what they have written to /tmp, TMPDIR and AIRFLOW_HOME, or write to the bucket; "
        "AERODROME_TEMPORARY_BYTES gives more, and an update begins with an empty one.",
        LOGS: "The oldest are removed, so older tasks' logs are in CloudWatch Logs alone; AERODROME_TASK_LOGS_BYTES "
        "gives more to new environments.",
    }
    what = f"The environment's disk for {image.name} is full ({image.size / GIB:.1f} GiB)"
    return f"{what}: programs were refused to write more. {remedies.get(image.name, '')}".strip()


def _limit(unit: str, met: LimitMet, chosen: str) -> tuple[str, str]:
    """The kind of event for a limit that was met, and its sentence."""
    remedy = "Choose a larger EnvironmentClass, or let DAG code take less."
    if met.limit == MEMORY:
        of = "its environment's limit" if met.allowed is None else f"{met.allowed / GIB:.1f} GiB by {chosen}"
        return OUT_OF_MEMORY, f"{unit} ran out of memory ({of}): the kernel ended what took most of it. {remedy}"
    of = "its environment's limit" if met.allowed is None else f"{met.allowed} by {chosen}"
    return OUT_OF_PROCESSES, f"{unit} may have no more processes and threads ({of}): more were refused. {remedy}"


def _as_ordered(environment: Environment, observed: Observed) -> Plan | None:
    """What an interrupted change has left different from the present orders; None = nothing."""
    running = environment.deployed
    if running is None:
        return None
    if not zones_lost.rests(observed, observed.cell(running.cell)):
        ordered = bringing_up.cell_as_ordered(environment, observed, running)
        if ordered is not None:
            return ordered
    return bringing_up.services_as_ordered(observed, ordering.services(environment)) or pointed(observed, running.cell)


def _damaged(observed: Observed) -> Plan | None:
    """What a person must mend in the database; None = nothing is known to be wrong."""
    damage = observed.database.damage
    return bringing_up.troubled(Failure(code=DAMAGED, message=damage), Phase.READY) if damage else None


def _exhausted(observed: Observed) -> Plan | None:
    """That the environment has no connection left; None = it has. Only it suffers from that."""
    number = observed.database.exhausted
    if number is None:
        return None
    message = (
        f"The environment holds all {number} connections to its metadata database that it may have, so its own tasks, "
        "parsing and web pages fail. Most often DAG code opens them, by queries at the top of a DAG file or in tasks. "
        "No other environment is concerned."
    )
    return bringing_up.troubled(Failure(code=EXHAUSTED, message=message), Phase.READY)


def _outgrown(observed: Observed) -> Plan | None:
    """That the database takes the disk from others; None = it does not."""
    most = observed.database.outgrown
    if most is None:
        return None
    message = (
        f"The environment's metadata database has more than {most / 2**30:.1f} GiB. Nothing keeps it from growing on, "
        "and when PostgreSQL's disk is full no environment works. Find what fills it, such as large XComs or what "
        "tasks write there themselves, and remove old runs."
    )
    return bringing_up.troubled(Failure(code=TOO_LARGE, message=message), Phase.READY)
