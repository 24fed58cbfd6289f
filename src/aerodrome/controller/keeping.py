"""The decisions about what runs: bring it up, watch it, and let go what another revision has replaced. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from aerodrome.backends.contract import Step
from aerodrome.controller import maintenance
from aerodrome.controller.plans import CALM, Plan, failed
from aerodrome.model.change import Strategy
from aerodrome.model.environment import READY, Environment, Failure
from aerodrome.model.lifecycle import Event
from aerodrome.model.observed import Cell, Observed, Unit

SCHEDULER = "scheduler"
"""The unit that looks after tasks."""

BROKER = "redis"
"""The service that workers cannot start without."""

FORCED_LIMIT = timedelta(seconds=15)
"""How long tasks may hold up a change that is not to wait for them; those of its own workers have five seconds."""

STOPPED_PATIENCE = 10.0
"""Seconds for which the process of a cell may be stopped by a signal until it is replaced."""

CELL_PATIENCE = 90.0
"""Seconds for which a cell may give no answer; it hears nothing while a nursery imports, a minute at the most."""

DAMAGED = "DATABASE_DAMAGED"

RESTART_LIMIT = 4
"""A unit that died this often before it was ever ready will not recover by itself."""


def ground(observed: Observed) -> Plan | None:
    """What must be there before any unit of Airflow, in the order in which things need each other; None = all is."""
    return installed(observed) or services(observed)


def installed(observed: Observed) -> Plan | None:
    """The Airflow version; None = it is there."""
    installation = observed.installation
    if not installation.done:
        return Plan(
            phase="install",
            detail=installation.detail or "Installing Airflow.",
            fraction=installation.fraction,
            step=Step.INSTALL,
        )
    return None


def services(observed: Observed) -> Plan | None:
    """The folders, Redis and the sidecar; None = they are there."""
    if not observed.files:
        return Plan(phase="files", detail="Making the folders.", step=Step.FILES, again_after=0)
    if not observed.services.alive:
        return Plan(phase="services", detail="Starting Redis and the sidecar.", step=Step.SERVICES, again_after=0)
    return None


def database(observed: Observed) -> Plan | None:
    """What the units need of the database that can be set anew; None = it is as they need it."""
    if not observed.altered:
        return None
    note = f"What runs there has changed {', '.join(observed.altered)}: set anew, for Airflow could not work with it."
    detail = "Setting anew what was changed of the database."
    return Plan(phase=READY, detail=detail, step=Step.MEND_DATABASE, note=("NOTE", note), again_after=0)


def release(observed: Observed) -> Plan | None:
    """The release that the environment runs, built again where its folder is gone; None = it is there."""
    return None if observed.content else _rebuilding(observed) or _unbuilt(observed)


def _rebuilding(observed: Observed) -> Plan | None:
    """The building of the release that is gone; None = it is there, or cannot be built."""
    work, detail = observed.work, "Building the lost release again."
    if observed.content:
        return None
    if work is None or work.step != Step.REBUILD:
        note = "The folder of the release is gone from the disk: the release is built again from the bucket."
        return Plan(phase=READY, detail=detail, step=Step.REBUILD, note=("NOTE", note), again_after=0)
    if work.trouble is not None:
        return None
    return Plan(phase=READY, detail=work.detail or detail, step=Step.REBUILD if work.done else None, again_after=1.0)


def _unbuilt(observed: Observed) -> Plan | None:
    """What keeps the release that is gone from being built again; None = nothing."""
    work = observed.work
    if observed.content or work is None or work.trouble is None:
        return None
    told = f"{work.trouble.code}: {work.trouble.message}"
    return Plan(phase=READY, detail=told, trouble=work.trouble, again_after=CALM)


def _reinstalled(observed: Observed) -> Plan | None:
    """The Airflow version that units run, where its folder is gone under them; None = it is there."""
    missing = installed(observed)
    return None if missing is None else replace(missing, phase=READY)


def cell(observed: Observed, revision: int) -> Plan | None:
    """The start of a revision's cell; None = it lives."""
    if observed.cell(revision).alive:
        return None
    if BROKER in observed.services.wanted - observed.services.ready:
        return Plan(phase="services", detail="Waiting for Redis.")
    return Plan(phase="start", detail="Starting the cell.", step=Step.CELL, revision=revision, again_after=0)


def waiting(observed: Observed, revision: int) -> Plan | None:
    """What a revision's cell still waits for; None = every unit serves."""
    cells = (observed.services, observed.cell(revision))
    missing = sorted(name for each in cells for name in each.wanted - each.ready)
    if all(each.all_ready for each in cells):
        return None
    wanted = sum(len(each.wanted) for each in cells)
    return Plan(
        phase="start",
        detail=f"Waiting for {', '.join(missing)}." if missing else "Waiting for the cell.",
        fraction=1 - len(missing) / max(1, wanted),
    )


def hopeless(environment: Environment, observed: Observed, revision: int) -> Plan | None:
    """The failure of a change one of whose units keeps dying; None while there is hope."""
    # Services are as old as the environment, and so are their restarts: only a creation starts them itself.
    services = observed.services.units if environment.deployed is None else ()
    found = [
        (unit, whose)
        for units, whose in ((services, None), (observed.cell(revision).units, revision))
        for unit in units
        if not unit.is_ready and unit.restarts >= RESTART_LIMIT
    ]
    if not found:
        return None
    dying, whose = found[0]
    message = f"The {dying.name} ended {dying.restarts} times before it was ready{_why(dying)}."
    return failed("UNIT_FAILED", message, (dying.name, whose))


def recover(environment: Environment, observed: Observed) -> Plan:
    """An environment whose processes are gone: what once worked is tried for ever, and cells back off by themselves."""
    revision = serving(environment)
    missing = ground(observed)
    if missing is not None:
        return missing
    if not observed.database:
        detail = "The metadata database is gone: bring it back, or restore a snapshot into another environment."
        return Plan(phase="lost", detail=detail, again_after=CALM)
    ready = Plan(phase=READY, detail="Every unit is ready.", step=Step.SWITCH, revision=revision, event=Event.RECOVERED)
    altered = database(observed)
    if altered is not None:
        return replace(altered, phase="database")
    lost = release(observed)
    if lost is not None:
        return replace(lost, phase="release")
    return cell(observed, revision) or resumed(observed, revision) or waiting(observed, revision) or ready


def silent(environment: Environment, observed: Observed) -> Plan | None:
    """What becomes of cells that give no answer; None = all answer. Nothing else is decided without their word.

    A cell is killed alone, so its units go on, and another one adopts them as after any death of a cell.
    """
    mute = {whose: each for whose, each in ((None, observed.services), *observed.cells.items()) if each.silent_for}
    phase = environment.progress.phase
    for whose, each in mute.items():
        if each.silent_for <= (STOPPED_PATIENCE if each.stopped else CELL_PATIENCE):
            continue
        name = "The cell of the services" if whose is None else f"The cell of revision {whose}"
        cause = "was stopped by a signal" if each.stopped else "gave no answer"
        sentence = f"{name} {cause} for {each.silent_for:.0f} s; it is replaced, and its units go on."
        note = ("CELL_HUNG", sentence)
        return Plan(phase=phase, detail=sentence, step=Step.END_CELL, revision=whose, note=note, again_after=0)
    return Plan(phase=phase, detail="Waiting for a cell that does not answer.", again_after=1.0) if mute else None


def hangs(observed: Observed) -> list[tuple[int | None, Unit]]:
    """The units that their cells had to kill, for they did nothing any more, with the revision (None: a service)."""
    everything = ((None, observed.services), *observed.cells.items())
    return [(whose, unit) for whose, each in everything for unit in each.units if unit.hung]


def resumed(observed: Observed, revision: int) -> Plan | None:
    """The return of units that a broken-off change had stopped on purpose; None = none is missing."""
    if observed.cell(revision).is_whole:
        return None
    return Plan(phase="start", detail="Starting all units again.", step=Step.RESUME, revision=revision, again_after=0)


def watch(environment: Environment, observed: Observed, now: datetime) -> Plan:
    """A settled environment: its cells keep the units; only the cells themselves are ours to miss."""
    revision = serving(environment)
    if not observed.services.alive or not observed.cell(revision).alive:
        return Plan(phase="lost", detail="The cell is gone.", event=Event.LOST, again_after=0)
    first = database(observed) or _lost_tasks(observed, revision) or _reinstalled(observed) or _rebuilding(observed)
    if first is not None:
        return first
    due = maintenance.due(environment, observed.patch, now)
    if due is not None:
        return Plan(phase="maintenance", detail="The maintenance window has begun.", begin=due, again_after=0)
    others = {other: found for other, found in observed.cells.items() if other != revision}
    if others:
        return retire(others)
    return _unbuilt(observed) or _damaged(observed) or _served(observed, revision)


def _lost_tasks(observed: Observed, revision: int) -> Plan | None:
    """What Airflow is to be told of dead workers; None = it knows, or cannot be told yet."""
    # Lost tasks are handed to a scheduler; one that has died with them would be found dead in five minutes only.
    if not observed.bereaved or SCHEDULER not in observed.cell(revision).ready:
        return None
    return Plan(phase=READY, detail="Telling Airflow which tasks were lost.", step=Step.REPORT_LOST_TASKS)


def _damaged(observed: Observed) -> Plan | None:
    """What a person must mend in the database; None = nothing is known to be wrong."""
    if not observed.damage:
        return None
    trouble = Failure(code=DAMAGED, message=observed.damage)
    return Plan(phase=READY, detail=f"{DAMAGED}: {observed.damage}", trouble=trouble, again_after=CALM)


def _served(observed: Observed, revision: int) -> Plan:
    """The calm of an environment with nothing to do but, at most, to wait for a unit."""
    late = waiting(observed, revision)
    if late is None:
        return Plan(phase=READY, detail="Every unit is ready.", again_after=CALM)
    return Plan(phase=READY, detail=late.detail.replace("Waiting for", "Being started again:"), again_after=CALM)


def retire(others: Mapping[int, Cell]) -> Plan:
    """Let cells go that another has replaced: their tasks end on the release that they started with."""
    revision, step, detail = _next([(other, *_retirement(found)) for other, found in sorted(others.items())])
    return Plan(phase=READY, detail=detail, step=step, revision=revision, again_after=CALM if step is None else 0.2)


def _next(moves: list[tuple[int, Step | None, str]]) -> tuple[int, Step | None, str]:
    """Which comes first: a cell that only waits for its tasks does not keep the others from their next step."""
    return next((move for move in moves if move[1] is not None), moves[0])


def _retirement(found: Cell) -> tuple[Step | None, str]:
    if not found.alive:
        if found.leftovers:
            return (Step.REVIVE if found.draining else Step.END_LEFTOVERS), "Looking after what a dead cell left."
        return Step.RETIRE, "Removing what the former revision left."
    if not found.draining:
        return Step.DRAIN, "Letting the former revision end with its tasks."
    if found.workers:
        return (
            None,
            f"{_workers(found)} of the former revision {'end' if len(found.workers) > 1 else 'ends'} with its tasks.",
        )
    return Step.STOP_CELL, "Stopping the former revision."


def emptied(environment: Environment, observed: Observed, strategy: Strategy, now: datetime) -> Plan | None:
    """The end of everything that uses the database before that is replaced; None = nothing does."""
    moves = [(revision, *_retirement(found)) for revision, found in sorted(observed.cells.items())]
    left = [move for move in moves if move[1] is not Step.RETIRE]
    if left:
        revision, step, detail = _next(left)
        if step is None and strategy is Strategy.FORCED and is_over(environment, "drain", FORCED_LIMIT, now):
            step, detail = Step.END_LEFTOVERS, "Ending the tasks of a former revision."
        pause = 1.0 if step is None else 0.2
        return Plan(phase="drain", detail=detail, step=step, revision=revision, again_after=pause)
    if observed.services.alive:
        return Plan(phase="drain", detail="Stopping Redis and the sidecar.", step=Step.STOP_SERVICES)
    if observed.services.leftovers:
        return Plan(phase="drain", detail="Ending what does not stop by itself.", step=Step.END_ALL)
    return None


def _workers(found: Cell) -> str:
    count = len(found.workers)
    return f"{count} worker{'s' if count > 1 else ''}"


def serving(environment: Environment) -> int:
    """The revision whose cell serves."""
    return environment.deployed.cell if environment.deployed is not None else environment.revision


def _why(unit: Unit) -> str:
    return f" (last time: {unit.last_exit})" if unit.last_exit else ""


def is_over(environment: Environment, phase: str, limit: timedelta, now: datetime) -> bool:
    """Whether the environment has been in this phase for longer than that."""
    progress = environment.progress
    return progress.phase == phase and now - progress.phase_started_at > limit
