"""The decision: from what is wished and what is seen, the one next step. Pure.

`loop` observes, calls `plan`, and carries out what it says. Plans are level-triggered: they depend on the present facts
alone, so a plan that was never carried out is simply made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from aerodrome.backends.contract import Step
from aerodrome.model.environment import READY, Environment, Failure
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.observed import Observed, Unit

QUICK = 0.1
"""Seconds between two looks while something is under way."""

CALM = 2.0
"""Seconds between two looks at an environment that is as it should be."""

LIMITS = {
    "database": ("DATABASE_NOT_MADE", timedelta(minutes=10)),
    "files": ("FILES_NOT_WRITTEN", timedelta(minutes=1)),
    "start": ("UNIT_UNHEALTHY", timedelta(minutes=5)),
}
"""Phases of a creation: what it is called when one takes longer than this. Seconds are usual for each; a first database
waits for Airflow's migration, and a machine under heavy load may need a minute to start."""

STOP_LIMIT = timedelta(seconds=20)
"""How long the units of an environment that is to go may take to stop; its tasks are not waited for beyond that."""

RESTART_LIMIT = 4
"""A unit that died this often before it was ever ready will not recover by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now: at most one step and at most one event, and when to look again."""

    phase: str
    detail: str
    step: Step | None = None
    event: Event | None = None
    failure: Failure | None = None
    """A creation that is found to have failed: write it down; the teardown follows."""

    failing_unit: str | None = None
    """The unit whose last lines belong to the failure."""

    fraction: float | None = None
    again_after: float = QUICK


def plan(environment: Environment, observed: Observed, now: datetime) -> Plan:
    """The next move for one environment."""
    match environment.status:
        case Status.CREATING if environment.failure is not None:
            return _teardown(environment, observed, now, Event.FAILED)
        case Status.CREATING:
            return (
                _overdue(environment, observed, now) or _build(observed) or _wait_until_ready(observed, Event.CREATED)
            )
        case Status.AVAILABLE:
            return _watch(observed)
        case Status.UNAVAILABLE:
            return _build(observed) or _wait_until_ready(observed, Event.RECOVERED)
        case Status.DELETING:
            return _teardown(environment, observed, now, Event.REMOVED)
        case Status.CREATE_FAILED | Status.DELETED:
            return Plan(phase="settled", detail="", again_after=CALM)


def _build(observed: Observed) -> Plan | None:
    """What is still missing, in the order in which things need each other."""
    installation = observed.installation
    if not installation.done:
        return Plan(
            phase="install",
            detail=installation.detail or "Installing Airflow.",
            fraction=installation.fraction,
            step=Step.INSTALL,
        )
    if not observed.database:
        return Plan(phase="database", detail="Making the metadata database.", step=Step.DATABASE, again_after=0)
    if not observed.files:
        return Plan(phase="files", detail="Writing the configuration.", step=Step.FILES, again_after=0)
    if not observed.cell:
        return Plan(phase="start", detail="Starting the cell.", step=Step.CELL, again_after=0)
    return None


def _wait_until_ready(observed: Observed, done: Event) -> Plan:
    if observed.all_ready:
        return Plan(phase=READY, detail="Every unit is ready.", event=done)
    ready = [unit for unit in observed.units if unit.is_ready]
    missing = sorted(observed.expected_units - {unit.name for unit in ready})
    waiting = Plan(
        phase="start",
        detail=f"Waiting for {', '.join(missing)}.",
        fraction=len(ready) / max(1, len(observed.expected_units)),
    )
    if done is Event.RECOVERED:
        return waiting  # what once worked is tried for ever: the cell backs off by itself
    return _hopeless(observed) or waiting


def _hopeless(observed: Observed) -> Plan | None:
    """The failure of a creation one of whose units keeps dying; None while there is hope."""
    dying = next((unit for unit in observed.units if not unit.is_ready and unit.restarts >= RESTART_LIMIT), None)
    if dying is None:
        return None
    message = f"The {dying.name} ended {dying.restarts} times before it was ready{_why(dying)}."
    return _failed("UNIT_FAILED", message, dying.name)


def _overdue(environment: Environment, observed: Observed, now: datetime) -> Plan | None:
    """The failure of a creation whose present phase takes longer than it ever should."""
    progress = environment.progress
    code, limit = LIMITS.get(progress.phase, ("", timedelta.max))
    if now - progress.phase_started_at <= limit or observed.all_ready:
        return None
    late = sorted(observed.expected_units - {unit.name for unit in observed.units if unit.is_ready})
    message = f"Not done after {limit.total_seconds():.0f} s: {progress.detail}"
    return _failed(code, message, late[0] if late else None)


def _why(unit: Unit) -> str:
    return f" (last time: {unit.last_exit})" if unit.last_exit else ""


def _failed(code: str, message: str, unit: str | None) -> Plan:
    failure = Failure(code=code, message=message)
    return Plan(phase="failed", detail=message, failure=failure, failing_unit=unit, again_after=0)


def _watch(observed: Observed) -> Plan:
    """An available environment: its cell keeps the units; only the cell itself is ours to miss."""
    if not observed.cell:
        return Plan(phase="lost", detail="The cell is gone.", event=Event.LOST, again_after=0)
    if observed.bereaved:
        return Plan(phase=READY, detail="Telling Airflow which tasks were lost.", step=Step.REPORT_LOST_TASKS)
    if observed.all_ready:
        return Plan(phase=READY, detail="Every unit is ready.", again_after=CALM)
    ready = {unit.name for unit in observed.units if unit.is_ready}
    return Plan(
        phase=READY,
        detail=f"Being started again: {', '.join(sorted(observed.expected_units - ready))}.",
        again_after=CALM,
    )


def _teardown(environment: Environment, observed: Observed, now: datetime, done: Event) -> Plan:
    """Take away what exists, in the order in which things need each other; then say so.

    A failed creation keeps its files: the logs are what a person needs next.
    """
    progress = environment.progress
    late = progress.phase == "stop" and now - progress.phase_started_at > STOP_LIMIT
    if observed.cell and not late:
        return Plan(phase="stop", detail="Stopping the units.", step=Step.STOP_CELL)
    if observed.cell or observed.leftovers:
        return Plan(phase="stop", detail="Ending what does not stop by itself.", step=Step.END_LEFTOVERS)
    if observed.database:
        return Plan(phase="clean-up", detail="Dropping the database.", step=Step.DROP_DATABASE)
    if observed.traces and done is Event.REMOVED:
        return Plan(phase="clean-up", detail="Removing the files.", step=Step.REMOVE_FILES)
    return Plan(phase="gone", detail="Nothing is left running.", event=done, again_after=0)
